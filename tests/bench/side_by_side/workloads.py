"""What is asked of the contenders."""

from dataclasses import dataclass

DISTINCT, LIVE, FORGED = 10_000, 100_000, 1_000
CACHE_MIB = 512  # what scopegate's cache may take: room for LIVE tokens
SCOPEGATE, BOTH = ("scopegate",), ("scopegate", "nginx-plain")


@dataclass
class Workload:
    name: str
    title: str
    tokens: str = "hot.txt"   # "-": no token
    path: str = "/orders"
    # Or "h2load", "rotate" (rotate.py), "idle": connections that say nothing after one request, "verify": no load at all,
    # but the program tests/bench/verify.rs.
    tool: str = "wrk"
    conns: int = 64
    outstanding: int = 32     # requests at a time, for rotate
    think: tuple = (0, 0)     # milliseconds before every request
    warm: int = 0             # seconds of warm-up beyond --warm
    refused: bool = False     # must every answer be a refusal?
    plain: bool = True        # does it make sense without a token check?
    only: tuple = ()          # contenders; () for all
    usual: bool = True        # is it measured when no workloads are named?
    workers: int = 1
    pinned: bool = True       # see bench.py
    routes: int = 0           # routes beside the usual two, asked for in turn
    tls: bool = False
    close: bool = False       # a new connection for every request
    beside: str = ""          # tokens of an equal load at the same time, which is not among the latencies


def scale(name, title, **other):
    return Workload(name, title, usual=False, **{"only": SCOPEGATE, **other})


WORKLOADS = [
    Workload("hot", "One valid token, 64 keep-alive connections"),
    Workload("distinct", f"{DISTINCT:,} distinct valid tokens in turn", tokens=f"valid-{DISTINCT}.txt", warm=3, plain=False),
    Workload("badsig", f"{FORGED:,} distinct tokens, signature does not verify", tokens=f"badsig-{FORGED}.txt",
             refused=True, plain=False),
    Workload("verify", "A signature, verified by the library alone", tool="verify", only=SCOPEGATE),
    Workload("notoken", "No token", tokens="-", refused=True, plain=False),
    Workload("h2", "HTTP/2 clear text, 8 connections x 16 streams, one valid token", tool="h2load", conns=8),
    Workload("big", "64 KiB response body, one valid token", path="/big"),
    Workload("calm", "64 connections with 10-50 ms think time (about 2,100 requests/s), one valid token", think=(10, 50)),
    # What holds when there is more of everything: report.py names what each is compared with.
    scale("tokens100k", f"{LIVE:,} distinct valid tokens in turn", tokens=f"valid-{LIVE}.txt", warm=9),
    scale("routes10", "10 routes in turn", routes=10),
    scale("routes10k", "10,000 routes in turn", routes=10_000, warm=2),
    scale("routes100k", "100,000 routes in turn", routes=100_000, warm=4),
    scale("conns64", "64 connections in turn, 32 requests at a time", tool="rotate", only=BOTH),
    scale("conns10k", "10,000 connections in turn, 32 requests at a time", tool="rotate", conns=10_000, only=BOTH),
    scale("idle10k", "10,000 connections that are kept and say nothing", tool="idle", conns=10_000, only=BOTH),
    scale("workers1", "One worker, nothing pinned", pinned=False, only=BOTH),
    scale("workers2", "Two workers, nothing pinned", pinned=False, workers=2, only=BOTH),
    scale("few", "Two workers, four connections", conns=4, pinned=False, workers=2, only=BOTH),
    scale("tls", "TLS, 64 keep-alive connections", tls=True, only=BOTH),
    scale("tlsnew", "TLS, a new connection for every request", tls=True, close=True, only=BOTH),
    scale("newconn", "A new connection for every request", close=True, only=BOTH),
    scale("forgedmix", "As calm, beside the same load of forged tokens", think=(10, 50), beside=f"badsig-{FORGED}.txt"),
]
