"""What both programs need: processes that end with the test, a gateway, and a client that shows what it got."""

import base64
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = pathlib.Path(__file__).parent
DEADLINE = 40  # seconds, for anything


class Failure(Exception):
    pass


class Checks:
    """Counts what holds, and shows what does not."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def equal(self, what, found, expected):
        self.that(what, found == expected, f"found    {found!r}\n     expected {expected!r}")

    def that(self, what, holds, otherwise=""):
        if holds:
            self.passed += 1
            print(f"ok   {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL {what}\n     {otherwise}", flush=True)

    def close(self, least):
        print(f"{self.passed} passed, {self.failed} failed")
        if self.failed or self.passed < least:
            raise Failure(f"{self.failed} failed; {self.passed} of at least {least} passed")


class Signer:
    """An issuer with one key."""

    def __init__(self):
        self.key = Ed25519PrivateKey.generate()
        public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.jwks = json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": encoded(public)}]})

    def token(self, **claims):
        claims = {"iss": "https://idp.test", "aud": "api", "exp": int(time.time()) + 3600, **claims}
        message = ".".join(encoded(json.dumps(part).encode()) for part in [{"alg": "EdDSA", "kid": "k"}, claims])
        return message + "." + encoded(self.key.sign(message.encode()))


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Answer:
    """An answer, with its fields as they came."""

    def __init__(self, status, fields, body):
        self.status = status
        self.fields = fields
        self.body = body

    def all(self, name):
        return [value for field, value in self.fields if field.lower() == name]

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.fields} {self.body[:2000]!r}"


class Client:
    """Requests to a port, each on a connection of its own."""

    def __init__(self, port):
        self.port = port

    def ask(self, method, target, fields=(), body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        with contextlib.closing(connection):
            has_host = any(name == "Host" for name, _ in fields)
            connection.putrequest(method, target, skip_host=has_host, skip_accept_encoding=True)
            for name, value in fields:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())

    def ask_at_once(self, count, target):
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda _: self.ask("GET", target), range(count)))


@contextlib.contextmanager
def running(directory, name, command, **options):
    """A process with its children, whose output goes to a file; the file is shown if the test fails."""
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **options)
    process.log = log
    try:
        yield process
    except BaseException:
        print(f"--- the end of {log.name}\n{log.read_text(errors='replace')[-2000:]}", flush=True)
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_ports(count):
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in listeners]


def until(what, process, holds):
    end = time.monotonic() + DEADLINE
    while not holds():
        if process.poll() is not None:
            raise Failure(f"the process ended before this came true: {what}")
        if time.monotonic() > end:
            raise Failure(f"not true in time: {what}")
        time.sleep(0.05)


def listens(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


@contextlib.contextmanager
def gateway(scopegate, directory, text, *arguments, command="run"):
    """A gateway with this configuration; the port is that of its client."""
    directory = pathlib.Path(tempfile.mkdtemp(dir=directory))
    (directory / "gateway.toml").write_text(text)
    port, admin = free_ports(2)
    line = [scopegate, command, "--config", str(directory / "gateway.toml"), "--listen", f"127.0.0.1:{port}",
            "--admin", f"127.0.0.1:{admin}", *arguments]
    with running(directory, "gateway", line) as process:
        until("the gateway listens", process, lambda: listens(port))
        client = Client(port)
        client.log, client.process = process.log, process
        yield client
