#!/usr/bin/env python3
"""Measure HTTP gateways side by side on one machine.

  bench.py probe  --work DIR [--only a,b]        what each one accepts and refuses
  bench.py run    --work DIR [--only a,b] [...]  measure, append to results.jsonl
  bench.py report --work DIR                     tables from results.jsonl
  bench.py list                                  contenders and workloads

Everything listens on and talks to 127.0.0.1. A contender is started afresh for every measurement, loaded for a fixed number
of seconds, and stopped by its process id. Within a round each workload goes through all contenders before the next workload
begins, so that what is compared is measured close together; then the next round repeats all of it.

Before and after each measurement a fixed piece of work is timed on core 0. On a shared host that number moves although
nothing here has changed, and the report shows by how much. The CPU time that other programs took during a measurement is
recorded as well ("foreign"); a measurement in which it was more than --foreign percent of one core is taken again, three
times at most, and the least disturbed one is kept.

The gateway has one worker and core 0 for itself; the upstream and the load generator share core 1. In workloads that are not
pinned, everything shares both cores. The measure that stays honest when core 1 is the busier one is CPU time of the
gateway's processes per request, from /proc; it is taken in every run.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import time

import tokens
from contenders import CONTENDERS, H2PORT, HERE, PORT, TLSPORT, UPSTREAM, exe, fill, variables
from report import report
from running import (GATEWAY_CORE, LOAD_CORE, Running, append, calibrate, core_times, get, grown, other_programs, share,
                     steal, wait_until_closed, wait_until_quiet)
from workloads import DISTINCT, FORGED, LIVE, WORKLOADS

ALL_CORES = os.sched_getaffinity(0)


def first_token(path):
    with open(path) as f:
        return f.readline().strip()


class Bench:
    def __init__(self, a):
        self.a = a
        self.work = pathlib.Path(a.work).resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.given = dict(x.split("=", 1) for x in a.exe)
        names = [w for w in a.workloads.split(",") if w]
        self.workloads = [w for w in WORKLOADS if (w.name in names if names else w.usual)]
        self.tokens = self.work / "tokens"
        many = any(w.name == "tokens100k" for w in self.workloads)
        tokens.make(self.tokens, (DISTINCT, LIVE) if many else (DISTINCT,), FORGED)
        self.chosen = [c for c in CONTENDERS if not a.only or c.name in a.only.split(",")]

    def folder(self, name):
        d = self.work / "run" / name
        d.mkdir(parents=True, exist_ok=True)
        os.chmod(d, 0o755)
        return d

    def install(self, files, folder, workload, more={}):
        values = {**variables(self.work, folder, workload), **more}
        for f in files:
            (folder / f).write_text(fill((HERE / "configs" / f).read_text(), values, self.given))
        return values

    def upstream(self):
        d = self.folder("upstream")
        (d / "www").mkdir(exist_ok=True)
        (d / "www" / "big").write_bytes(bytes(range(32, 96)) * 1024)
        for p in (d, d / "www", self.work, self.work / "run", self.tokens):
            os.chmod(p, 0o755)
        self.install(["upstream-nginx.conf"], d, WORKLOADS[0])
        r = Running([exe("nginx", self.given), "-p", str(d), "-c", str(d / "upstream-nginx.conf"), "-e", str(d / "error.log")],
                    LOAD_CORE, d / "output.log")
        self.until_200(r, UPSTREAM, None)
        return r

    def until_200(self, running, port, token, seconds=60):
        headers = [("Authorization", f"Bearer {token}")] if token else []
        end = time.perf_counter() + seconds
        last = "no answer"
        while time.perf_counter() < end:
            if running.p.poll() is not None:
                raise RuntimeError(f"ended with status {running.p.returncode}, see {running.log.name}")
            try:
                status, _, _ = get(port, headers=headers, timeout=2)
                if status == 200:
                    return time.perf_counter() - running.started
                last = f"status {status}"
            except (OSError, IndexError, ValueError):
                pass
            time.sleep(0.001)
        raise RuntimeError(f"not ready after {seconds} s ({last})")

    def start(self, c, w=WORKLOADS[0]):
        d = self.folder(c.name)
        values = self.install(c.files, d, w, c.values)
        wait_until_closed([PORT, H2PORT, TLSPORT])
        cores = GATEWAY_CORE if w.pinned else None
        log = d / ("access.log" if c.logs else "output.log")
        r = Running([fill(x, values, self.given) for x in c.cmd], cores, log)
        try:
            r.ready = self.until_200(r, PORT, first_token(self.tokens / "hot.txt"))
        except RuntimeError:
            r.stop()
            raise
        return r

    # ------------------------------------------------------------------ probe

    def probe(self):
        hot = first_token(self.tokens / "hot.txt")
        tok = lambda f: [("Authorization", "Bearer " + first_token(self.tokens / f))]
        cases = [
            ("valid", tok("hot.txt")),
            ("none", []),
            ("empty", [("Authorization", "Bearer ")]),
            ("garbage", [("Authorization", "Bearer abc")]),
            ("basic", [("Authorization", "Basic dTpw")]),
            ("lower-case", [("authorization", "bearer " + hot)]),
            ("badsig", tok("badsig.txt")),
            ("expired", tok("expired.txt")),
            ("wrongaud", tok("wrongaud.txt")),
            ("wrongiss", tok("wrongiss.txt")),
            ("algnone", tok("algnone.txt")),
            ("wrongscope", tok("wrongscope.txt")),
            ("twice", [("Authorization", "Bearer " + hot), ("Authorization", "Bearer abc")]),
        ]
        out = {}
        up = self.upstream()
        try:
            for c in self.chosen:
                if c.auth:
                    out[c.name] = self.probe_one(c, cases)
        finally:
            up.stop()
        (self.work / "probe.json").write_text(json.dumps(out, indent=1))
        names = [n for n, _ in cases]
        print("| | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
        for c, v in out.items():
            print(f"| {c} | " + " | ".join(str(v[n]["status"]) for n in names) + " |")
        print()
        for c, v in out.items():
            for n in ("none", "badsig", "wrongscope"):
                print(f"{c} / {n}: {v[n]['status']} WWW-Authenticate: {v[n]['www-authenticate']!r} {v[n]['body'][:60]!r}")

    def probe_one(self, c, cases):
        found = {}
        r = self.start(c)
        try:
            for name, headers in cases:
                try:
                    s, h, b = get(PORT, headers=headers)
                except (OSError, IndexError, ValueError) as e:
                    s, h, b = 0, {}, str(e).encode()
                found[name] = {"status": s, "www-authenticate": h.get("www-authenticate"), "body": b[:160].decode("latin-1")}
        finally:
            r.stop()
        return found

    # ------------------------------------------------------------------- load

    def wrk(self, w, port, seconds):
        url = f"{'https' if w.tls else 'http'}://127.0.0.1:{TLSPORT if w.tls else port}{w.path}"

        def command(file):
            found = file if file == "-" else str(self.tokens / file)
            return [exe("wrk", self.given), "-t1", f"-c{w.conns}", f"-d{seconds}s", "--timeout", "5s", "-s",
                    str(HERE / "load.lua"), url, "--", found, *map(str, w.think), str(w.routes), "1" if w.close else "0"]

        beside = self.spawn(w, command(w.beside)) if w.beside else None
        r = self.result(self.spawn(w, command(w.tokens)), seconds)
        r["good"] = r["requests"] - r["refused"]
        r["answered"] = r["requests"]
        if beside:
            r["answered"] += self.result(beside, seconds)["requests"]
        return r

    def h2load(self, w, port, seconds):
        log = pathlib.Path("/dev/shm") / f"bench-h2load-{os.getpid()}.log"
        token = first_token(self.tokens / w.tokens)
        text = self.text(self.spawn(
            w, [exe("h2load", self.given), "-t1", f"-c{w.conns}", "-m16", f"-D{seconds}", f"--log-file={log}",
                "-H", f"authorization: Bearer {token}", f"http://127.0.0.1:{port}{w.path}"]), seconds)
        try:
            took = sorted(int(l.split()[2]) for l in log.read_text().splitlines())
        finally:
            log.unlink(missing_ok=True)
        codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
        if not codes or not took:
            raise RuntimeError("h2load: " + text[-300:])
        good, _, c4, c5 = map(int, codes.groups())
        at = lambda q: took[min(len(took) - 1, int(len(took) * q))]
        return {"requests": good + c4 + c5, "answered": good + c4 + c5, "seconds": float(seconds), "refused": c4 + c5,
                "good": good, "socket_errors": int(re.search(r"(\d+) errored", text)[1]),
                "p50_us": at(.5), "p90_us": at(.9), "p99_us": at(.99), "p999_us": at(.999), "max_us": took[-1]}

    def rotating(self, w, port):
        """A rotate.py whose connections are open."""
        process = self.spawn(w, [sys.executable, str(HERE / "rotate.py"), str(port), w.path, str(self.tokens / w.tokens),
                                 str(w.conns), str(w.outstanding), str(self.a.seconds)])
        text = process.stdout.readline()
        if not text.startswith("READY"):
            raise RuntimeError("rotate: " + (text + process.communicate()[0])[-300:])
        return process

    def rotate(self, process):
        process.stdin.write("go\n")
        process.stdin.flush()
        text = process.stdout.readline()
        if not text.startswith("RESULT"):
            raise RuntimeError("rotate: " + (text + process.communicate()[0])[-300:])
        r = json.loads(text.split(" ", 1)[1])
        return {**r, "good": r["requests"] - r["refused"], "answered": r["requests"]}

    def spawn(self, w, command):
        cores = LOAD_CORE if w.pinned else ALL_CORES
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def text(self, process, seconds):
        try:
            return process.communicate(timeout=seconds + 60)[0]
        finally:
            process.kill()

    def result(self, process, seconds):
        text = self.text(process, seconds)
        found = re.search(r"^RESULT (.*)$", text, re.M)
        if not found:
            raise RuntimeError("wrk: " + text[-300:])
        return json.loads(found[1])

    # ---------------------------------------------------------------- measure

    def measure(self, c, r, up, w):
        port = H2PORT if w.tool == "h2load" and c.h2 == "own" else PORT
        if w.tool == "rotate":
            rotating = self.rotating(w, port)
            drive = lambda *_: self.rotate(rotating)
        else:
            rotating, drive = None, self.h2load if w.tool == "h2load" else self.wrk
            drive(w, port, self.a.warm + w.warm)
        r.reset_peak()
        mine = {os.getpid(), *r.pids(), *up.pids(), *([rotating.pid] if rotating else [])}
        wait_until_quiet(mine, self.a.foreign)
        before = calibrate()
        others, (cpu, kernel), ucpu, cores = other_programs(mine), r.cpu(), up.cpu()[0], core_times()
        workers = r.workers()
        res = drive(w, port, self.a.seconds)
        (cpu2, kernel2), ucpu, cores2 = r.cpu(), up.cpu()[0] - ucpu, core_times()
        cpu, kernel = cpu2 - cpu, kernel2 - kernel
        foreign = grown(others, other_programs(mine))
        workers = [b - a for a, b in zip(workers, r.workers())]
        if rotating:
            rotating.communicate(timeout=30)  # ends its input, upon which it closes its connections
        after = calibrate()
        n = max(1, res["answered"])
        busy = {k: round(100 * share(cores[k], cores2[k]), 1) for k in cores}
        res.update(
            rps=res["requests"] / res["seconds"], cpu_us=1e6 * cpu / n, kernel_us=1e6 * kernel / n,
            upstream_cpu_us=1e6 * ucpu / n, cores=busy, steal=steal(cores, cores2),
            spread=min(workers) / max(workers) if workers and max(workers) else 1.0,
            peak_rss_kib=r.memory("VmHWM"), pss_kib=r.memory("Pss"),
            wrong=res["good"] if w.refused else res["refused"], speed_ms=(before + after) / 2,
            foreign=100 * foreign / res["seconds"],
        )
        return res

    def idle(self, r, w):
        """Memory with connections that made one request each and are kept."""
        token = first_token(self.tokens / w.tokens)
        call = f"GET {w.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        open_ones = []
        try:
            for _ in range(w.conns):
                s = socket.create_connection(("127.0.0.1", PORT), 5)
                open_ones.append(s)
                s.sendall(call)
                if not s.recv(65536).startswith(b"HTTP/1.1 200"):
                    raise RuntimeError(f"connection {len(open_ones)} got no 200")
            # The last of them have just had their answer.
            time.sleep(1)
            return {"conns_rss_kib": r.memory("VmRSS"), "conns_pss_kib": r.memory("Pss")}
        finally:
            for s in open_ones:
                s.close()

    def verify(self):
        """Microseconds for a signature alone, on the gateway's core."""
        text = subprocess.run([exe("verify", self.given)], capture_output=True, text=True, timeout=120,
                              preexec_fn=lambda: os.sched_setaffinity(0, GATEWAY_CORE)).stdout
        found = re.search(r"bare verification.* ([\d.]+) us", text)
        if not found:
            raise RuntimeError("verify: " + text[-300:])
        return {"bare_us": float(found[1])}

    def run(self):
        path = self.work / "results.jsonl"
        up = self.upstream()
        try:
            for rnd in range(1, self.a.rounds + 1):
                for w in self.workloads:
                    for pid in up.pids():
                        os.sched_setaffinity(pid, LOAD_CORE if w.pinned else ALL_CORES)
                    # Who comes after the dearest finds the host as that left it: not always the same one.
                    fit = [c for c in self.chosen if self.makes_sense(c, w)]
                    first = rnd % max(len(fit), 1)
                    for c in fit[first:] + fit[:first]:
                        self.one(path, rnd, w, c, up)
        finally:
            up.stop()

    def makes_sense(self, c, w):
        return ((c.auth or w.plain) and (c.h2 or w.tool != "h2load") and (c.tls or not w.tls)
                and (not w.only or c.name in w.only) and (not c.only or w.name in c.only))

    def one(self, path, rnd, w, c, up):
        base = {"contender": c.name, "round": rnd, "workload": w.name, "at": int(time.time())}
        try:
            r = self.start(c, w)
        except RuntimeError as e:
            append(path, {**base, "error": f"did not start: {e}"})
            print(f"{c.name}: did not start: {e}", flush=True)
            return
        try:
            time.sleep(0.3)
            start = {"ready_s": r.ready, "idle_rss_kib": r.memory("VmRSS"), "idle_pss_kib": r.memory("Pss"),
                     "processes": len(r.pids())}
            try:
                if w.tool == "idle":
                    m = self.idle(r, w)
                elif w.tool == "verify":
                    m = self.verify()
                else:
                    m = self.least_disturbed(c, r, up, w)
            except (OSError, RuntimeError, subprocess.TimeoutExpired) as e:
                m = {"error": str(e)[:300]}
            if c.logs:
                m = self.logged(m, pathlib.Path(r.log.name))
        finally:
            r.stop()
        append(path, {**base, **start, **m})
        print(f"round {rnd} {w.name:10} {c.name:16} " + line(m), flush=True)

    def logged(self, m, log):
        """The same, if the log that it is to be measured with was written. Nobody reads it, and it is large."""
        size = log.stat().st_size
        log.unlink()
        return m if size > 50 * m.get("answered", 0) else {"error": f"{size} bytes of log for {m.get('answered')} requests"}

    def least_disturbed(self, c, r, up, w):
        m = self.measure(c, r, up, w)
        for _ in range(2):
            if m["foreign"] <= self.a.foreign:
                break
            m = min(m, self.measure(c, r, up, w), key=lambda x: x["foreign"])
        return m


def line(m):
    if "error" in m:
        return m["error"]
    if "bare_us" in m:
        return f"{m['bare_us']:.1f} us"
    if "conns_rss_kib" in m:
        return f"rss {m['conns_rss_kib'] / 1024:.1f} MiB, pss {m['conns_pss_kib'] / 1024:.1f} MiB"
    return (f"{m['rps']:8.0f}/s cpu {m['cpu_us']:6.1f} us p50 {m['p50_us']:6} p99 {m['p99_us']:7} us "
            f"rss {m['peak_rss_kib'] / 1024:6.1f} MiB cores {m['cores']} spread {m['spread']:.2f} "
            f"foreign {m['foreign']:.1f}% wrong {m['wrong']} errors {m['socket_errors']}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["probe", "run", "report", "list"])
    p.add_argument("--work", default="out", help="folder for tokens, configurations, logs and results")
    p.add_argument("--only", default="", help="contenders, by name, with commas")
    p.add_argument("--workloads", default="", help="workloads, by name, with commas; the usual ones when none is named")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=6)
    p.add_argument("--warm", type=int, default=1)
    p.add_argument("--foreign", type=float, default=4.0, metavar="PERCENT",
                   help="measure again when other programs took more than this of one core")
    p.add_argument("--exe", action="append", default=[], metavar="NAME=PATH", help="where a program is")
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if a.what == "list":
        for c in CONTENDERS:
            print(f"{c.name:16} {'checks tokens' if c.auth else 'forwards only'}")
        for w in WORKLOADS:
            print(f"{w.name:16} {w.title}")
    elif a.what == "report":
        report(pathlib.Path(a.work))
    else:
        b = Bench(a)
        b.probe() if a.what == "probe" else b.run()


if __name__ == "__main__":
    main()
