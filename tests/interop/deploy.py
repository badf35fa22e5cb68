"""What no schema knows of deploy/: that its files agree with each other, and that a gateway lives with them.

    deploy.py SCOPEGATE WORKDIR         started by deploy.sh, from the root of the repository; needs PyYAML
"""

import contextlib
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import yaml

try:
    import tomllib
except ImportError:  # Python before 3.11
    import tomli as tomllib

DEPLOY = pathlib.Path("deploy")
DEADLINE = 10  # seconds that anything here may take


def main(scopegate, work):
    manifest = {d["kind"]: d for d in yaml.safe_load_all((DEPLOY / "kubernetes/sidecar.yaml").read_text())}
    text = manifest["ConfigMap"]["data"]["gateway.toml"]
    print("- deploy/: the files agree with each other")
    agree(manifest, tomllib.loads(text))
    print("- deploy/: scopegate check on every gateway.toml")
    configmap = work / "configmap.toml"
    configmap.write_text(text)
    for path in (pathlib.Path("gateway.toml"), DEPLOY / "gateway.toml", configmap):
        run = subprocess.run([scopegate, "check", "--config", path], capture_output=True, text=True, timeout=DEADLINE)
        expect(run.returncode == 0, f"{path}: {run.stderr}")
    print("- sidecar.yaml: a gateway on its ConfigMap answers its probes and follows its updates")
    sidecar(scopegate, work, manifest, text)
    print("- compose.yaml: its command answers on every address that a port is published from")
    compose(scopegate, work, services()["gateway"])


# ------------------------------------------------------------------------------------------------ on paper


def agree(manifest, config):
    pod = manifest["Deployment"]["spec"]["template"]
    spec = pod["spec"]
    gateway, app = spec["containers"]
    ports = {p["name"]: p["containerPort"] for p in gateway["ports"]}
    labels = pod["metadata"]["labels"]

    expect(port(config["server"]["listen"]) == ports["http"], "the port \"http\" is not where the gateway listens")
    expect(port(config["server"]["admin"]) == ports["admin"], "the port \"admin\" is not the admin listener's")
    expect(pod["metadata"]["annotations"]["prometheus.io/port"] == str(ports["admin"]), "prometheus.io/port")
    expect(app["readinessProbe"]["httpGet"]["port"] == ports["http"], "the application's probe passes the gateway by")
    service = manifest["Service"]["spec"]
    expect([p["targetPort"] for p in service["ports"]] == ["http"], "the Service does not point at the gateway")
    policy = manifest["NetworkPolicy"]["spec"]
    for selector in (service["selector"], policy["podSelector"]["matchLabels"],
                     manifest["Deployment"]["spec"]["selector"]["matchLabels"]):
        expect(selector.items() <= labels.items(), f"{selector} does not select the pod")
    named = [p["port"] for rule in policy["ingress"] for p in rule["ports"]]
    expect(named == list(ports), "the NetworkPolicy names other ports than the gateway's")

    upstream = config["upstreams"]["orders"]["url"]
    expect(upstream == "http://" + app["env"][0]["value"], "the application does not listen where the upstream is")
    expect(upstream.startswith("http://127.0.0.1:"), "the upstream is not on the pod's loopback")

    mount = gateway["volumeMounts"][0]
    expect("subPath" not in mount, "a subPath mount never changes")
    expect(gateway["args"] == ["run", "--config", mount["mountPath"] + "/gateway.toml"], "args")
    volume = next(v for v in spec["volumes"] if v["name"] == mount["name"])
    expect(volume["configMap"]["name"] == manifest["ConfigMap"]["metadata"]["name"], "the volume's ConfigMap")

    dockerfile = (DEPLOY / "Dockerfile").read_text()
    expect(f"USER {spec['securityContext']['runAsUser']}:" in dockerfile, "runAsUser is not the image's")
    expect("CMD " + json.dumps(gateway["args"]) in dockerfile, "args are not the image's")

    drain, grace = 20, spec["terminationGracePeriodSeconds"]  # seconds; no file here sets another drain
    before = gateway["lifecycle"]["preStop"]["sleep"]["seconds"]
    expect("drain" not in config["server"], "this script thinks that the drain is the default")
    expect(before + drain < app["lifecycle"]["preStop"]["sleep"]["seconds"] < grace, "the pod stops in the wrong order")
    unit = (DEPLOY / "scopegate.service").read_text()
    expect(int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.M)[1]) > drain, "TimeoutStopSec cuts the drain short")
    gateway = services()["gateway"]
    expect(int(gateway["stop_grace_period"].rstrip("s")) > drain, "stop_grace_period cuts the drain short")
    open_ports = {port(argument) for argument in gateway["command"] if argument.startswith("--") and ":" in argument}
    expect({port(p) for p in gateway["ports"]} == open_ports, "compose publishes other ports than the flags open")
    for service in services().values():
        expect(all(p.startswith("127.0.0.1:") for p in service["ports"]), "compose publishes beyond this machine")
    job, = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    target, = job["static_configs"][0]["targets"]
    expect(f"--admin=0.0.0.0:{port(target)}" in gateway["command"], "Prometheus does not scrape the admin listener")
    expect(target.split(":")[0] in services(), "Prometheus scrapes a service that is not there")
    hosts = tomllib.loads(pathlib.Path("gateway.toml").read_text())["server"]["admin_hosts"]
    expect(target.split(":")[0] in hosts, "the admin listener is not asked by the name that Prometheus uses")


def services():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def port(address):
    return int(address.rsplit(":", 1)[1])


# ---------------------------------------------------------------------------------------------------- live


def sidecar(scopegate, work, manifest, text):
    app = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    # Another place for the upstream, and an issuer that refuses the connection at once: it must serve all the same.
    text = text.replace("127.0.0.1:8081", "127.0.0.1:%d" % app.server_port)
    text = text.replace("https://idp.example.com/", "http://127.0.0.1:1/")
    mount = ConfigMap(work / "etc", text)
    listen, admin = free_port(), free_port()
    command = [scopegate, "run", "--config", mount.folder / "gateway.toml",
               "--listen", f"127.0.0.1:{listen}", "--admin", f"127.0.0.1:{admin}"]
    with running(command, work / "sidecar.log") as gateway:
        lives_with(gateway, mount, manifest, text, listen, admin)
    app.shutdown()


def compose(scopegate, work, service):
    # The image's program, this folder in place of the mount, and other ports, since those may be taken here.
    moved = {port(p): free_port() for p in service["ports"]}
    moves = {f"0.0.0.0:{old}": f"0.0.0.0:{new}" for old, new in moved.items()} | {"/config/": "./"}
    command = [re.sub("|".join(map(re.escape, moves)), lambda m: moves[m[0]], a) for a in service["command"]]
    with running([scopegate, *command], work / "compose.log") as gateway:
        # 127.0.0.2 is this machine as well, but nothing that listens on 127.0.0.1 alone answers there.
        for old, path in ((8080, "/healthz"), (9090, "/readyz"), (9400, "/.well-known/openid-configuration")):
            until(f"{path} on port {old} answers 200", lambda: status(moved[old], path, "127.0.0.2") == 200, gateway)
        for host, answer in (("gateway:9090", 200), ("rebound.example", 421)):
            expect(status(moved[9090], "/metrics", "127.0.0.2", {"Host": host}) == answer, f"{host}: not {answer}")
        stop(gateway)


@contextlib.contextmanager
def running(command, log):
    """A started gateway, which is gone at the end whatever happens; what it said is shown when that is a failure."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield process
    except BaseException:
        sys.stderr.write(log.read_text()[-4000:])
        raise
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def lives_with(gateway, mount, manifest, text, listen, admin):
    beside, app = manifest["Deployment"]["spec"]["template"]["spec"]["containers"]
    for probe in ("livenessProbe", "readinessProbe"):
        path = beside[probe]["httpGet"]["path"]
        until(f"{probe}: {path} answers 200", lambda: status(admin, path) == 200, gateway)
    path = app["readinessProbe"]["httpGet"]["path"]
    expect(status(listen, path) == 200, "the application's probe does not reach it through the gateway")
    expect(status(listen, "/orders") == 401, "a request without a token is not refused")
    expect(status(listen, "/added") == 404, "a path of no route is found")

    public = '\n[[routes]]\npath = "/added"\nupstream = "orders"\nmethods = ["GET"]\npublic = true\n'
    mount.swap(text + public)
    until("a swapped ConfigMap adds a route", lambda: status(listen, "/added") == 200, gateway)
    mount.swap("this is no configuration")
    ok = "scopegate_config_last_reload_successful"
    until("a broken one shows in the metrics", lambda: metric(admin, ok) == 0, gateway)
    expect(status(listen, "/added") == 200, "a broken ConfigMap changed what serves")
    mount.swap(text)
    until("a good one is taken again", lambda: status(listen, "/added") == 404, gateway)
    expect(metric(admin, ok) == 1, "the metrics still say that the last reload failed")

    stop(gateway)


def stop(gateway):
    gateway.send_signal(signal.SIGTERM)
    expect(gateway.wait(DEADLINE) == 0, f"SIGTERM ended the gateway with {gateway.returncode}")


class ConfigMap:
    """A folder as the kubelet keeps one: `gateway.toml` leads to `..data`, and `..data` is swapped by a rename."""

    def __init__(self, folder, text):
        self.folder, self.version = folder, 0
        folder.mkdir()
        self.swap(text)
        (folder / "gateway.toml").symlink_to("..data/gateway.toml")

    def swap(self, text):
        old, self.version = self.folder / f"..v{self.version}", self.version + 1
        new = self.folder / f"..v{self.version}"
        new.mkdir()
        (new / "gateway.toml").write_text(text)
        (self.folder / "..data_tmp").symlink_to(new.name)
        os.rename(self.folder / "..data_tmp", self.folder / "..data")
        if old.exists():
            (old / "gateway.toml").unlink()
            old.rmdir()


class App(http.server.BaseHTTPRequestHandler):
    """The application beside the gateway: 200 for everything."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def status(at, path, host="127.0.0.1", fields=None):
    return get(at, path, host, fields)[0]


def metric(at, name):
    found = re.search(rf"^{name} (\S+)$", get(at, "/metrics")[1], re.M)
    return float(found[1]) if found else None


def get(at, path, host="127.0.0.1", fields=None):
    connection = http.client.HTTPConnection(host, at, timeout=DEADLINE)
    try:
        connection.request("GET", path, headers=fields or {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    except ConnectionRefusedError:
        return 0, ""  # not listening yet
    finally:
        connection.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


def until(what, condition, gateway):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        expect(gateway.poll() is None, f"the gateway ended before this came true: {what}")
        expect(time.monotonic() < deadline, f"not true within {DEADLINE} s: {what}")
        time.sleep(0.05)


def expect(condition, otherwise):
    if not condition:
        sys.exit(f"FAILED: {otherwise}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve())
