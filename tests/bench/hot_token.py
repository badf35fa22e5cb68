"""CPU time per request: scopegate with a hot token against nginx without a check. Started by run.sh.

Each gateway has one worker and core 0 for itself; the upstream (an nginx that answers from memory) and the load (wrk)
share core 1. A gateway is started afresh for every measurement and warmed up, the gateways take turns, and who begins
changes from round to round. CPU time is user and system time of all processes of a gateway, from /proc/PID/stat.

It is the measure that can be compared: requests per second are capped by core 1 for anything cheap enough, and the
speed of a shared machine changes from minute to minute. Compare only medians of one run.
"""

import argparse
import base64
import http.client
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

GATEWAY_CORE, LOAD_CORE = 0, 1
TICK = os.sysconf("SC_CLK_TCK")
ISSUER, AUDIENCE, KID = "https://idp.example.com/", "https://api.example.com", "bench"
BODY = '{"orders":[{"id":1,"item":"a book","quantity":2},{"id":2,"item":"a pen","quantity":10}],"next":null}'

SCOPEGATE = """
[server]
listen  = "127.0.0.1:{port}"
admin   = "off"
workers = 1
[log]
access = "off"
[issuers.idp]
issuer    = "{issuer}"
audience  = "{audience}"
jwks_file = "jwks.json"
[upstreams.orders]
url = "http://127.0.0.1:{upstream}"
[[routes]]
path     = "/orders"
upstream = "orders"
methods  = {{ GET = "orders.read", POST = "orders.write" }}
"""

# Both nginx: no access log, keep-alive without an end, so that connections are not part of what is measured.
NGINX = """
daemon off;
worker_processes 1;
pid {dir}/pid;
error_log {dir}/error.log error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_timeout 3600s;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    {http}
}}
"""
UPSTREAM = """
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ default_type application/json; return 200 '{body}'; }}
    }}
"""
FORWARDING = """
    upstream orders {{
        server 127.0.0.1:{upstream};
        keepalive 512;
        keepalive_requests 1000000000;
        keepalive_timeout 3600s;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header X-Forwarded-For $remote_addr;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ proxy_pass http://orders; }}
    }}
"""


# ------------------------------------------------------------------------------------------- key and token


class Signer:
    """An RSA-2048 key by the openssl program, and RS256 tokens of it (RFC 7515)."""

    def __init__(self, folder):
        self.key = folder / "signing.pem"
        run("openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.key)
        modulus = run("openssl", "rsa", "-in", self.key, "-noout", "-modulus").decode()
        n = bytes.fromhex(modulus.strip().removeprefix("Modulus="))
        jwk = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KID, "n": b64(n), "e": "AQAB"}
        (folder / "jwks.json").write_text(json.dumps({"keys": [jwk]}))

    def token(self, scope):
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "bench", "client_id": "bench", "scope": scope, "version": 2,
                  "iat": now, "auth_time": now, "exp": now + 86400, "token_use": "access", "jti": os.urandom(16).hex()}
        signed = b64json({"kid": KID, "alg": "RS256"}) + "." + b64json(claims)
        return signed + "." + b64(run("openssl", "dgst", "-sha256", "-sign", self.key, input=signed.encode()))


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def b64json(value):
    return b64(json.dumps(value, separators=(",", ":")).encode())


def run(*command, input=None):
    return subprocess.run(command, input=input, check=True, capture_output=True).stdout


# ----------------------------------------------------------------------------------------------- processes


class Process:
    """A started program with its children: one core, one log, CPU time so far."""

    def __init__(self, command, core, log):
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(["taskset", "-c", str(core), *map(str, command)],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def pids(self):
        """It and its children. A gateway here has no grandchildren."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [self.process.pid, *map(int, children.read_text().split())]

    def cpu(self):
        """Seconds of user and of system time."""
        fields = [stat_fields(pid) for pid in self.pids()]
        return sum(int(f[11]) for f in fields) / TICK, sum(int(f[12]) for f in fields) / TICK

    def wait_listening(self, port):
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"bench: {self.process.args} does not listen:\n{self.log.read_text()}")
                time.sleep(0.02)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def stat_fields(pid):
    """The fields of /proc/PID/stat after the name, which may hold spaces: [11] is utime, [12] stime,
    [13] and [14] the same of children that were waited for."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def others_cpu(ours):
    """Seconds of CPU time so far of every process that has no part in this, and of its children that have ended."""
    total = 0
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) not in ours:
            try:
                fields = stat_fields(entry)
            except OSError:
                continue
            total += sum(map(int, fields[11:15]))
    return total / TICK


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


# ------------------------------------------------------------------------------------------- what is measured


def nginx(folder, http_block):
    folder.mkdir()
    conf = folder / "nginx.conf"
    conf.write_text(NGINX.format(dir=folder, http=http_block))
    return ["nginx", "-p", folder, "-c", conf, "-e", folder / "error.log"]


def status(port, token=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/orders", headers={"Authorization": f"Bearer {token}"} if token else {})
    code = connection.getresponse().status
    connection.close()
    return code


def load(port, token, seconds, connections):
    """wrk's counts. An answer other than 200 or a broken connection makes a measurement worthless, and ends the run."""
    text = run("taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
               "--timeout", "5s", "-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:{port}/orders").decode()
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"bench: not all went well:\n{text}")
    requests, took = re.search(r"(\d+) requests in ([\d.]+)s", text).groups()
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    return int(requests), float(took), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]]


def measure(command, port, token, upstream, log, a):
    with Process(command, GATEWAY_CORE, log) as gateway:
        gateway.wait_listening(port)
        load(port, token, 1, a.connections)
        ours = {os.getpid(), *gateway.pids(), *upstream.pids()}
        others, (user, system) = others_cpu(ours), gateway.cpu()
        requests, took, p99 = load(port, token, a.seconds, a.connections)
        (user2, system2), others = gateway.cpu(), others_cpu(ours) - others
    per_request = lambda seconds: 1e6 * seconds / requests
    return {"user": per_request(user2 - user), "system": per_request(system2 - system), "rps": requests / took,
            "cpu": per_request(user2 - user + system2 - system), "p99": p99, "others": 100 * max(0, others) / took}


def check_that_it_checks(command, port, signer, log):
    """A gateway that lets everything through would win any comparison."""
    with Process(command, GATEWAY_CORE, log) as gateway:
        gateway.wait_listening(port)
        got = [status(port), status(port, signer.token("orders.readonly")), status(port, signer.token("orders.read"))]
    if got != [401, 403, 200]:
        sys.exit(f"bench: no token, a wrong scope and a good token got {got}, not [401, 403, 200]")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--binary", type=pathlib.Path, required=True, help="the release binary of scopegate")
    p.add_argument("--work", type=pathlib.Path, required=True, help="where to write; emptied first")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=int, default=4, help="of one measurement")
    p.add_argument("--connections", type=int, default=64)
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    if os.cpu_count() < 2:
        sys.exit("bench: two cores are needed, one for the gateway and one for load and upstream")
    binary, work = a.binary.resolve(), a.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    work.chmod(0o755)  # nginx' worker may be another user

    signer = Signer(work)
    token = signer.token("orders.read orders.write")
    ports = {name: free_port() for name in ("upstream", "scopegate", "nginx")}
    (work / "gateway.toml").write_text(SCOPEGATE.format(
        port=ports["scopegate"], upstream=ports["upstream"], issuer=ISSUER, audience=AUDIENCE))
    commands = {
        "scopegate": [binary, "run", "--config", work / "gateway.toml"],
        "nginx": nginx(work / "nginx", FORWARDING.format(port=ports["nginx"], upstream=ports["upstream"])),
    }
    upstream = nginx(work / "upstream", UPSTREAM.format(port=ports["upstream"], body=BODY))

    results = {name: [] for name in commands}
    with Process(upstream, LOAD_CORE, work / "upstream.log") as up:
        up.wait_listening(ports["upstream"])
        check_that_it_checks(commands["scopegate"], ports["scopegate"], signer, work / "scopegate.log")
        for turn in range(a.rounds):
            for name in list(commands)[:: 1 if turn % 2 == 0 else -1]:
                m = measure(commands[name], ports[name], token, up, work / f"{name}.log", a)
                results[name].append(m)
                print(f"round {turn + 1} {name:9} {m['cpu']:5.1f} µs ({m['user']:.1f} user, {m['system']:.1f} system) "
                      f"{m['rps']:6.0f}/s, other programs {m['others']:.1f} % of a core", file=sys.stderr, flush=True)
    (work / "results.json").write_text(json.dumps(results, indent=1))
    report(results, binary, a)


# -------------------------------------------------------------------------------------------------- report


def report(results, binary, a):
    base = statistics.median(m["cpu"] for m in results["nginx"])
    titles = {"scopegate": "scopegate, RS256 token and scope checked", "nginx": "nginx, forwarding unchecked"}
    print("\n| | CPU µs per request | lowest – highest | user | system | against nginx | requests/s | p99 ms |")
    print("|---|---|---|---|---|---|---|---|")
    for name, title in titles.items():
        of = lambda key: statistics.median(m[key] for m in results[name])
        low, high = min(m["cpu"] for m in results[name]), max(m["cpu"] for m in results[name])
        print(f"| {title} | {of('cpu'):.1f} | {low:.1f} – {high:.1f} | {of('user'):.1f} | {of('system'):.1f} "
              f"| {of('cpu') / base:.2f} | {of('rps'):.0f} | {of('p99'):.2f} |")
    others = [m["others"] for of in results.values() for m in of]
    print(f"\nMedians of {a.rounds} rounds of {a.seconds} s in turn, {a.connections} keep-alive connections, one worker "
          f"each. {machine(binary)} Other programs took {statistics.median(others):.1f} % of a core (median; at most "
          f"{max(others):.1f} %).")
    if max(others) > 10:
        print("bench: the machine was not quiet: do not publish these figures", file=sys.stderr)


def machine(binary):
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    nginx_version = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip().split("/")[-1]
    wrk_version = subprocess.run(["wrk", "-v"], capture_output=True, text=True).stdout.split()[1]
    return (f"{os.cpu_count()} cores, {model[1] if model else platform.machine()}, {platform.system()} "
            f"{platform.release()}; {run(binary, '--version').decode().strip()}, nginx {nginx_version}, "
            f"wrk {wrk_version}.")


if __name__ == "__main__":
    main()
