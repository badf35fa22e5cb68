"""Tables from results.jsonl, and what scopegate promises beside what was measured."""

import json
import statistics

from contenders import CONTENDERS
from workloads import WORKLOADS

ORDER = [c.name for c in CONTENDERS]
QUIET = 10  # percent of a core that other programs may take before a measurement is left out

# A promise: its name, its limit, and what it divides: (workload, contender, figure) by another, or by a number.
S, N = "scopegate", "nginx-plain"
PROMISES = [
    ("hot token, CPU beside nginx", 1.0, ("hot", S, "cpu_us"), ("hot", N, "cpu_us")),
    ("100,000 live tokens beside one, CPU", 1.4, ("tokens100k", S, "cpu_us"), ("hot", S, "cpu_us")),
    ("10,000 routes beside 10, CPU", 1.1, ("routes10k", S, "cpu_us"), ("routes10", S, "cpu_us")),
    ("10,000 connections beside 64, CPU", 1.1, ("conns10k", S, "cpu_us"), ("conns64", S, "cpu_us")),
    ("two workers beside one, CPU", 1.1, ("workers2", S, "cpu_us"), ("workers1", S, "cpu_us")),
    ("four connections on two workers, busier by less busy", 1.2, 1, ("few", S, "spread")),
    ("TLS, CPU beside nginx", 1.15, ("tls", S, "cpu_us"), ("tls", N, "cpu_us")),
    ("new connections, CPU beside nginx", 1.2, ("newconn", S, "cpu_us"), ("newconn", N, "cpu_us")),
    ("p99 beside forged tokens by p99 without", 3.0, ("forgedmix", S, "p99_us"), ("calm", S, "p99_us")),
    ("idle memory, MiB RSS", 8, ("hot", S, "idle_rss_kib"), 1024),
    ("10,000 idle connections, MiB RSS", 150, ("idle10k", S, "conns_rss_kib"), 1024),
    ("start to the first answer, ms", 20, ("hot", S, "ready_s"), 0.001),
]


def report(work):
    rows = [json.loads(l) for l in (work / "results.jsonl").read_text().splitlines()]
    good = [r for r in rows if "error" not in r]
    # A measurement that other programs disturbed is left out where there is a quiet one.
    calm = lambda r: r.get("foreign", 0.0) <= QUIET
    exists = {(r["workload"], r["contender"]) for r in good if calm(r)}
    kept = [r for r in good if calm(r) or (r["workload"], r["contender"]) not in exists]
    groups = {}
    for r in kept:
        groups.setdefault((r["workload"], r["contender"]), []).append(r)
    out = promises(groups) + starts(kept)
    for w in WORKLOADS:
        out += table(w, {c: groups[w.name, c] for c in ORDER if (w.name, c) in groups})
    out += quality(kept, len(good) - len(kept))
    out += [f"\nFailed: {r['contender']} {r['workload']} round {r['round']}: {r['error']}" for r in rows if "error" in r]
    text = "\n".join(out) + "\n"
    (work / "tables.md").write_text(text)
    print(text)


def three(rows, key, form, factor=1):
    """Median, and from least to most."""
    v = sorted(r[key] * factor for r in rows)
    middle = form.format(statistics.median(v))
    return middle if len(v) < 2 else f"{middle} ({form.format(v[0])}–{form.format(v[-1])})"


def promises(groups):
    out = []
    for title, limit, above, below in PROMISES:
        value, ground = figure(groups, above), figure(groups, below)
        if value is not None and ground:
            ratio = value / ground
            out.append(f"| {title} | {limit} | {ratio:.2f} | {'yes' if ratio <= limit else '**no**'} |")
    return ["| promise | at most | measured | kept |", "|---|---|---|---|", *out] if out else []


def figure(groups, what):
    if not isinstance(what, tuple):
        return what
    workload, contender, key = what
    found = [r[key] for r in groups.get((workload, contender), []) if key in r]
    return statistics.median(found) if found else None


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
