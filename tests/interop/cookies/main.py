"""Sends credentials in many spellings through a gateway to applications that tell what they read.

    main.py SCOPEGATE EXPRESS          started by cookies.sh; EXPRESS is the Express application

What holds for each request that the gateway lets pass, and for each application: where the token goes on, the application
reads the one that was judged or none; where it does not, the application reads none; and no forged one, anywhere, also not
in a place that other routes to it judge and this one does not. That the spellings mean something is checked by asking the
applications directly: each of them reads the forged one often enough.
"""

import base64
import contextlib
import http.client
import itertools
import json
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = pathlib.Path(__file__).parent
DEADLINE = 20  # seconds, for anything
FORGED = "FORGED"

# What some parser drops or reads otherwise before, in and after a name.
BEFORE = ["", " ", "\t", '"', "=", " = ", "\xa0", "\x85", "%20", "+", "[", "$", ".", "?", "a=b, ", "a=b,", "a=b ", 'a="', 'a="x"', "x "]
AFTER = ["", " ", "\t", '"', "\xa0", "\xe2\x80\x83", "%20", "+", "[", "[0]", "[]", "]", "%00", "%00x", ".", "\x85"]
EQUALS = ["=", "=", " = ", "= "]
SEPARATORS = ["; ", ";", ", ", " ;", " "]
PER_KIND = 260  # requests, to each of the routes of each application


def spellings(name):
    """A name as a client may write it."""
    half = len(name) // 2
    return [name, name, name.upper(), name.title(), name.replace("_", "."), name.replace("_", " "),
            name.replace("_", "["), name.replace("_", "+"), name.replace("_", "%5F"),
            name[:half] + "%%%02x" % ord(name[half]) + name[half + 1:]]


def spelt(chance, name):
    """A name with something before it, after it, or neither."""
    before = chance.choice(BEFORE) if chance.random() < 0.4 else ""
    after = chance.choice(AFTER) if chance.random() < 0.4 else ""
    return before + chance.choice(spellings(name)) + after


def cookies(chance, good):
    """One, two or three pairs, each with a spelling of `session`, in one field or several."""
    def pair(value):
        return spelt(chance, "session") + chance.choice(EQUALS) + value
    values = chance.choice([[good], [FORGED, good], [good, FORGED], [good, FORGED], [FORGED, good], [FORGED], [good, "", FORGED]])
    plain = chance.random() < 0.7
    pairs = [f"session={good}" if plain and value == good else pair(value) for value in values]
    pairs = ["a=b"] * chance.randrange(2) + pairs + ["c=d"] * chance.randrange(2)
    if chance.random() < 0.2:
        return "/", [("Cookie", pair) for pair in pairs]
    text = pairs[0]
    for pair in pairs[1:]:
        text += chance.choice(SEPARATORS) + pair
    return "/", [("Cookie", text)]


def in_query(text):
    return "".join(c if 0x20 < ord(c) < 0x7f and c != '"' else "%%%02X" % ord(c) for c in text)


def parameters(chance, good):
    def pair(value):
        return in_query(spelt(chance, "access_token")) + "=" + value
    values = chance.choice([[good], [FORGED, good], [good, FORGED], [FORGED]])
    pairs = [f"access_token={good}" if value == good and chance.random() < 0.7 else pair(value) for value in values]
    return "/?" + chance.choice(["&", "&", ";", "&x=1&"]).join(["a=1"] + pairs), []


FIELDS = ["X-Token", "X_Token", "x_token", "X.Token", "X~Token", "X-TOKEN", "x!token"]


def fields(chance, good):
    values = chance.choice([[good], [FORGED, good], [good, FORGED], [FORGED]])
    return "/", [(chance.choice(FIELDS), value) for value in values]


def elsewhere(chance, kind, target, lines):
    """A request of one kind with forged credentials in the places of the other kinds, which other routes judge."""
    if kind != "parameter" and chance.random() < 0.5:
        target += "?a=1&" + in_query(spelt(chance, "access_token")) + "=" + FORGED
    if kind != "cookie" and chance.random() < 0.5:
        lines = lines + [("Cookie", spelt(chance, "session") + chance.choice(EQUALS) + FORGED)]
    if kind != "field" and chance.random() < 0.5:
        lines = lines + [(chance.choice(FIELDS), FORGED)]
    return target, lines


KINDS = {"cookie": (cookies, "cookie:session"), "parameter": (parameters, "query:access_token"),
         "field": (fields, "header:x-token")}


class Failure(Exception):
    pass


class Signer:
    """An issuer with one key, and a token of it."""

    def __init__(self):
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.jwks = json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": encoded(public)}]})
        claims = {"iss": "https://idp.test", "aud": "api", "scope": "read", "exp": int(time.time()) + 3600, "sub": "alice"}
        message = ".".join(encoded(json.dumps(part).encode()) for part in [{"alg": "EdDSA", "kid": "k"}, claims])
        self.token = message + "." + encoded(key.sign(message.encode()))


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def configuration(jwks, applications):
    """For each application and kind of place a route that forwards the token, and one that does not; for each application a
    route that takes tokens from `Authorization`."""
    text = f"[log]\naccess = \"off\"\n[issuers.idp]\nissuer = \"https://idp.test\"\naudience = \"api\"\njwks = '{jwks}'\n"
    for name, port in applications.items():
        text += f'[upstreams.{name}]\nurl = "http://127.0.0.1:{port}"\n'
        text += f'[[groups]]\nprefix = "/{name}/bearer"\nupstream = "{name}"\nscopes = "read"\nroutes = [{{ path = "/" }}]\n'
        for kind, (_, source) in KINDS.items():
            for prefix, forwards in [("kept", "forward_token = true\n"), ("removed", "")]:
                text += (f'[[groups]]\nprefix = "/{name}/{kind}/{prefix}"\nupstream = "{name}"\nscopes = "read"\n'
                         f'token_from = "{source}"\n{forwards}routes = [{{ path = "/" }}]\n')
    return text


class Client:
    """Requests one after the other to a port, byte for byte."""

    def __init__(self, port):
        self.port = port
        self.connection = None

    def ask(self, target, lines):
        for last in [False, True]:
            try:
                return self.once(target, lines)
            except (http.client.HTTPException, ConnectionError):
                # A server may close between two requests.
                self.connection = None
                if last:
                    raise

    def once(self, target, lines):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        self.connection.putrequest("GET", target, skip_accept_encoding=True)
        for name, value in lines:
            self.connection.putheader(name, value.encode("latin-1"))
        self.connection.endheaders()
        answer = self.connection.getresponse()
        return answer.status, answer.read()


def read(body, kind):
    """What an application reads, what in the places of other kinds, and what in `Authorization`, as texts."""
    told = json.loads(body)
    others = [told[other] for other in KINDS if other != kind]
    return json.dumps(told[kind]), json.dumps(others), told["authorization"]


def check(gateway, name, kind, chance, good):
    """Returns how many requests were let pass."""
    make, _ = KINDS[kind]
    passed = 0
    for _ in range(PER_KIND):
        target, lines = elsewhere(chance, kind, *make(chance, good))
        lines = lines + [("Authorization", "Bearer " + FORGED)] * chance.randrange(2)
        for prefix in ["kept", "removed"]:
            path = f"/{name}/{kind}/{prefix}{target}"
            status, body = gateway.ask(path, lines)
            if status in (400, 401):
                continue
            if status != 200:
                raise Failure(f"{status} to {path} {lines}: {body}")
            passed += 1
            found, others, authorization = read(body, kind)
            # A token in a query goes no further, whatever the route says.
            may_see = prefix == "kept" and kind != "parameter"
            if FORGED in found + others or authorization is not None or good in found and not may_see:
                raise Failure(f"{name} reads {found}, {others} and {authorization} of {path} {lines}")
            if not any(good in value for _, value in lines) and good not in target:
                raise Failure(f"without a good token: {path} {lines}")
    return passed


def check_bearer(gateway, name, chance, good):
    """With a good token in `Authorization` every request passes, and nothing forged with it."""
    for _ in range(PER_KIND):
        target, lines = elsewhere(chance, "bearer", "/", [("Authorization", "Bearer " + good)])
        path = f"/{name}/bearer{target}"
        status, body = gateway.ask(path, lines)
        if status != 200:
            raise Failure(f"{status} to {path} {lines}: {body}")
        _, others, authorization = read(body, "authorization")
        if FORGED in others or authorization != "Bearer " + good:
            raise Failure(f"{name} reads {others} and {authorization} of {path} {lines}")


def count_forged(direct, kind, chance, good):
    """How many requests with both values an application would read the forged one of."""
    make, _ = KINDS[kind]
    count = 0
    for _ in range(PER_KIND):
        target, lines = make(chance, good)
        both = target + " ".join(value for _, value in lines)
        if FORGED in both and good in both:
            status, body = direct.ask(target, lines)
            count += status == 200 and FORGED in read(body, kind)[0]
    return count


@contextlib.contextmanager
def running(command, **options):
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for_port(process, port):
    end = time.monotonic() + DEADLINE
    while True:
        with contextlib.suppress(ConnectionError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        if process.poll() is not None or time.monotonic() > end:
            raise Failure(f"nothing listens on {port}: {process.args}")
        time.sleep(0.05)


def main(scopegate, express):
    signer = Signer()
    with contextlib.ExitStack() as stack:
        applications = {}
        for name, command in {
            "express": ["node", express],
            "django": [sys.executable, str(HERE / "applications.py"), "django"],
            "starlette": [sys.executable, str(HERE / "applications.py"), "starlette"],
        }.items():
            process = stack.enter_context(running(command, stdout=subprocess.PIPE, text=True))
            applications[name] = int(process.stdout.readline() or 0) or sys.exit(f"FAILED: {name} does not start")
        applications["php"] = free_port()
        command = ["php", "-S", f"127.0.0.1:{applications['php']}", str(HERE / "index.php")]
        php = stack.enter_context(running(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (directory / "gateway.toml").write_text(configuration(signer.jwks, applications))
        port, admin = free_port(), free_port()
        command = [scopegate, "run", "--config", str(directory / "gateway.toml"), "--listen", f"127.0.0.1:{port}",
                   "--admin", f"127.0.0.1:{admin}"]
        process = stack.enter_context(running(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_for_port(process, port)
        wait_for_port(php, applications["php"])
        for name in applications:
            check_bearer(Client(port), name, random.Random(name), signer.token)
        for (name, own), kind in itertools.product(applications.items(), KINDS):
            seed = f"{name} {kind}"
            forged = count_forged(Client(own), kind, random.Random(seed), signer.token)
            passed = check(Client(port), name, kind, random.Random(seed), signer.token)
            print(f"- {name}, {kind}: {passed} of {2 * PER_KIND} pass; without the gateway {forged} read the forged one", flush=True)
            if passed < PER_KIND // 20 or forged < 3:
                raise Failure("these spellings show nothing")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Failure as failure:
        sys.exit(f"FAILED: {failure}")
