"""Tables from results.jsonl, and what scopegate promises beside what was measured."""

import json
import statistics

from contenders import CONTENDERS
from workloads import CACHE_MIB, DISTINCT, LIVE, WORKLOADS

ORDER = [c.name for c in CONTENDERS]
QUIET = 10  # percent of a core that other programs may take before a measurement is left out

S, N = "scopegate", "nginx-plain"
SL, NL = "scopegate-logged", "nginx-logged"
LUA, HAPROXY, ENVOY, H = "nginx-lua-cache", "haproxy", "envoy-cache", "haproxy-plain"

# What is promised: its name, at most how much is aimed at and has to be at the very least (None where there is no such
# limit), and how it is worked out. `f.cpu("hot", N)` is the CPU time of a request; see Figures.
PROMISES = [
    ("hot token, CPU: by nginx that checks nothing", 1.0, None, lambda f: f.cpu("hot") / f.cpu("hot", N)),
    ("— each with its access log", 1.0, None, lambda f: f.cpu("hot", SL) / f.cpu("hot", NL)),
    ("— a line of scopegate's, CPU µs", 2, None, lambda f: f.cpu("hot", SL) - f.cpu("hot")),
    ("— by nginx with Lua and a cache", None, 1.0, lambda f: f.cpu("hot") / f.cpu("hot", LUA)),
    ("— by Envoy with a cache", None, 0.25, lambda f: f.cpu("hot") / f.cpu("hot", ENVOY)),
    ("— by HAProxy that verifies", None, 1 / 3, lambda f: f.cpu("hot") / f.cpu("hot", HAPROXY)),
    (f"{DISTINCT:,} tokens in turn, CPU: by one", 1.1, 1.25, lambda f: f.cpu("distinct") / f.cpu("hot")),
    ("forged signature, CPU: by the verification alone and a refusal without a token", 1.0, None,
     lambda f: f.cpu("badsig") / (f.of("verify", S, "bare_us") + f.cpu("notoken"))),
    ("— by HAProxy", None, 1.0, lambda f: f.cpu("badsig") / f.cpu("badsig", HAPROXY)),
    ("no token, CPU: by HAProxy", 1.0, 1.2, lambda f: f.cpu("notoken") / f.cpu("notoken", HAPROXY)),
    ("HTTP/2, hot token, CPU: by HAProxy that checks nothing", 1.0, None, lambda f: f.cpu("h2") / f.cpu("h2", H)),
    ("— by nginx that checks nothing", None, 0.75, lambda f: f.cpu("h2") / f.cpu("h2", N)),
    ("64 KiB, CPU: by nginx that checks nothing", 1.0, 1.05, lambda f: f.cpu("big") / f.cpu("big", N)),
    ("think time, p50: ms beyond nginx that checks nothing", 0.0, 0.05, lambda f: f.ms("calm", "p50") - f.ms("calm", "p50", N)),
    ("think time, p99: ms beyond nginx that checks nothing", 0.0, 0.05, lambda f: f.ms("calm", "p99") - f.ms("calm", "p99", N)),
    (f"{LIVE:,} live tokens, CPU: by one", 1.4, None, lambda f: f.cpu("tokens100k") / f.cpu("hot")),
    (f"{LIVE:,} live tokens, MiB beyond idle memory", CACHE_MIB, None,
     lambda f: f.mib("tokens100k", "peak_rss_kib") - f.mib("tokens100k", "idle_rss_kib")),
    ("10,000 routes, CPU: by 10", 1.1, None, lambda f: f.cpu("routes10k") / f.cpu("routes10")),
    ("10,000 connections, CPU: by 64", 1.1, None, lambda f: f.cpu("conns10k") / f.cpu("conns64")),
    ("two workers, CPU: by one", 1.1, None, lambda f: f.cpu("workers2") / f.cpu("workers1")),
    ("four connections on two workers: the busier by the less busy", 1.2, None, lambda f: 1 / f.of("few", S, "spread")),
    ("TLS, CPU: by nginx", 1.15, None, lambda f: f.cpu("tls") / f.cpu("tls", N)),
    ("new connections, CPU: by nginx", 1.2, None, lambda f: f.cpu("newconn") / f.cpu("newconn", N)),
    ("new connections with TLS, CPU: by nginx", 1.2, None, lambda f: f.cpu("tlsnew") / f.cpu("tlsnew", N)),
    ("p99 beside as many forged tokens: by p99 without", 3.0, None, lambda f: f.ms("forgedmix", "p99") / f.ms("calm", "p99")),
    ("idle memory, MiB RSS", 8, None, lambda f: f.mib("hot", "idle_rss_kib")),
    ("10,000 idle connections, MiB RSS", 150, None, lambda f: f.mib("idle10k", "conns_rss_kib")),
    ("start to the first answer, ms", 20, None, lambda f: 1000 * f.of("hot", S, "ready_s")),
]


class Figures:
    """Medians of what was measured. A LookupError: it was not."""

    def __init__(self, groups):
        self.groups = groups

    def of(self, workload, contender, key):
        return statistics.median(r[key] for r in self.groups[workload, contender])

    def cpu(self, workload, contender=S):
        return self.of(workload, contender, "cpu_us")

    def ms(self, workload, quantile, contender=S):
        return self.of(workload, contender, quantile + "_us") / 1000

    def mib(self, workload, key):
        return self.of(workload, S, key) / 1024


def report(work):
    rows = [json.loads(l) for l in (work / "results.jsonl").read_text().splitlines()]
    good = [r for r in rows if "error" not in r]
    # A measurement that other programs disturbed is left out where there is a quiet one.
    calm = lambda r: r.get("foreign", 0.0) <= QUIET
    exists = {(r["workload"], r["contender"]) for r in good if calm(r)}
    kept = [r for r in good if calm(r) or (r["workload"], r["contender"]) not in exists]
    groups = grouped(kept)
    out = promises(kept) + starts(kept)
    for w in WORKLOADS:
        out += table(w, {c: groups[w.name, c] for c in ORDER if (w.name, c) in groups})
    out += quality(kept, len(good) - len(kept))
    out += [f"\nFailed: {r['contender']} {r['workload']} round {r['round']}: {r['error']}" for r in rows if "error" in r]
    text = "\n".join(out) + "\n"
    (work / "tables.md").write_text(text)
    print(text)


def grouped(rows):
    groups = {}
    for r in rows:
        groups.setdefault((r["workload"], r["contender"]), []).append(r)
    return groups


def three(rows, key, form, factor=1):
    """Median, and from least to most."""
    v = sorted(r[key] * factor for r in rows)
    middle = form.format(statistics.median(v))
    return middle if len(v) < 2 else f"{middle} ({form.format(v[0])}–{form.format(v[-1])})"


def promises(rows):
    out = ["| promise | at most | must | measured | kept | must kept |", "|---" * 6 + "|"]
    limit = lambda value: "" if value is None else f"{value:.3g}"
    for title, goal, must, work_out in PROMISES:
        values = measured(rows, work_out)
        told = f"{statistics.median(values):.2f}" if values else ""
        if len(values) > 1:
            told += f" ({min(values):.2f}–{max(values):.2f})"
        out.append(f"| {title} | {limit(goal)} | {limit(must)} | {told} | {verdict(values, goal)} | {verdict(values, must)} |")
    return out


def measured(rows, work_out):
    """What comes out in each round, since what is measured close together is what can be compared. If no round has all that
    it takes, what comes out of all of them."""
    values = []
    for number in [*sorted({r["round"] for r in rows}), None]:
        if number is None and values:
            break
        try:
            values.append(work_out(Figures(grouped(r for r in rows if number in (None, r["round"])))))
        except LookupError:
            pass
        except ZeroDivisionError:  # a worker that had nothing to do
            values.append(float("inf"))
    return values


def verdict(values, limit):
    if limit is None:
        return ""
    if not values:
        return "not measured"
    return "kept" if statistics.median(values) <= limit else "**not**"


def starts(rows):
    out = ["\n### Start and idle memory\n", "| contender | first 200, ms | idle RSS, MiB | idle PSS, MiB | processes |",
           "|---|---|---|---|---|"]
    for c in ORDER:
        v = [r for r in rows if r["contender"] == c and not r["workload"].startswith("routes")]
        if v:
            out.append(f"| {c} | {three(v, 'ready_s', '{:.0f}', 1000)} | {three(v, 'idle_rss_kib', '{:.1f}', 1 / 1024)} "
                       f"| {three(v, 'idle_pss_kib', '{:.1f}', 1 / 1024)} | {v[-1]['processes']} |")
    return out


def table(w, got):
    if not got:
        return []
    if w.tool == "verify":
        return [f"\n### {w.title}\n\n{three(got[S], 'bare_us', '{:.1f}')} µs"]
    if w.tool == "idle":
        return [f"\n### {w.title}\n", "| contender | RSS MiB | PSS MiB |", "|---|---|---|"] + [
            f"| {c} | {three(v, 'conns_rss_kib', '{:.1f}', 1 / 1024)} | {three(v, 'conns_pss_kib', '{:.1f}', 1 / 1024)} |"
            for c, v in got.items()]
    cpu = {c: statistics.median(r["cpu_us"] for r in v) for c, v in got.items()}
    out = [f"\n### {w.title}\n", "| contender | CPU µs/request | of it kernel | beside nginx-plain | requests/s | p50 ms "
           "| p99 ms | peak RSS MiB | cores busy % | wrong/errors |", "|---" * 10 + "|"]
    for c in sorted(got, key=cpu.get):
        v = got[c]
        cores = "/".join(f"{statistics.median(r['cores'][k] for r in v):.0f}" for k in sorted(v[0]["cores"]))
        beside = f"{cpu[c] / cpu[N]:.2f}" if N in cpu else "–"
        out.append(f"| {c} | {three(v, 'cpu_us', '{:.1f}')} | {three(v, 'kernel_us', '{:.1f}')} | {beside} "
                   f"| {three(v, 'rps', '{:.0f}')} | {three(v, 'p50_us', '{:.2f}', 0.001)} "
                   f"| {three(v, 'p99_us', '{:.2f}', 0.001)} | {three(v, 'peak_rss_kib', '{:.1f}', 1 / 1024)} | {cores} "
                   f"| {sum(r['wrong'] for r in v)}/{sum(r['socket_errors'] for r in v)} |")
    return out


def quality(rows, left_out):
    loads = [r for r in rows if "steal" in r]
    if not loads:
        return []
    most = lambda key: f"median {statistics.median(r[key] for r in loads):.1f} %, most {max(r[key] for r in loads):.1f} %"
    return [f"\n{len(loads)} measurements; {left_out} left out, since other programs took more than {QUIET} % of a core. "
            f"Stolen by the host: {most('steal')}. Other programs: {most('foreign')} of a core. The fixed piece of work took "
            f"{three(loads, 'speed_ms', '{:.1f}')} ms."]
