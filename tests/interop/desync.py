"""Sends what may desynchronize two readers of HTTP/1.1 through a gateway, and judges what arrives behind it (docs/design/requirements.md#p02).

    desync.py SCOPEGATE CASES         started by desync.sh; CASES holds the YAML of http_desync_guardian; needs PyYAML

Each case is sent in several ways: with `Host` before and after its fields, since most have none and would be refused for that
alone, and with bodies that mean something else to each reading of its head. Behind it comes a request to `/marker`. What may
follow is computed by the reader below, which has RFC 9112 in its strictest sense and shares nothing with the gateway.
"""

import concurrent.futures
import contextlib
import itertools
import pathlib
import re
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

import yaml

DEADLINE = 10  # seconds, for anything
MORE = 0.2  # seconds that a gateway which waits for the rest of a body is given to do something else
CASES = 158  # of the crate, without those that stand there twice

CONFIG = """
[log]
access = "off"

[upstreams.up]
url = "http://127.0.0.1:%d"

[[routes]]
path     = "/**"
upstream = "up"
public   = true
"""

# What AWS calls compliant and a gateway that authorizes by path does not forward: the code of the answer, and why.
CODING = ("invalid_framing", "a coding besides chunked: upstreams differ in which they know")
PARAMETER = ("400", "a parameter of chunked, which has none (RFC 9112 section 7)")
CONTROL = ("ambiguous_path", "an encoded control character: some upstreams decode it, and others do not")
EXCEPTIONS = {
    "Correct TE OK": CODING,
    "Transfer-Encoding: identity and chunked OK": CODING,
    "Multiple transfer encoding headers in a single request OK": CODING,
    "TE with custom parameters OK": PARAMETER,
    "Different Transfer-Encoding headers": CODING,
    "Different Transfer-Encoding headers combined": CODING,
    "Transfer-Encoding with a param: chunked;custom_param": PARAMETER,
    "Empty URI": ("400", "there is no target between the two spaces of the request line"),
    "%09 in URI is OK": CONTROL,
    "%0D in URI is OK": CONTROL,
    "%0A in URI is OK": CONTROL,
}


# ---------------------------------------------------------------------------------------------------- the reader


class Malformed(Exception):
    """No reading of it is the only one."""


class Partial(Exception):
    """More has to come."""


class Message:
    def __init__(self, method, target, version, fields):
        self.method, self.target, self.version, self.fields = method, target, version, fields
        self.body, self.is_last = b"", False

    def values(self, name):
        return [value for field, value in self.fields if field == name]

    def __repr__(self):
        return f"{self.method!r} {self.target!r} {self.body[:40]!r}"


TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
LINE = re.compile(rb"(%s) ([\x21-\x7e\x80-\xff]+) (HTTP/1\.[01])" % TOKEN)
FIELD = re.compile(rb"(%s):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*" % TOKEN)
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})([ \t]*;[\t\x20-\x7e\x80-\xff]*)?")


def read(data, strict):
    """The first request of some bytes, and what is behind it. `strict` is for what a gateway sends: nothing to mend."""
    while not strict and data.startswith(b"\r\n"):
        data = data[2:]
    lines, rest = section(data)
    line = LINE.fullmatch(lines[0])
    if not line:
        raise Malformed(f"the request line {lines[0]!r}")
    request = Message(*line.groups(), fields(lines[1:]))
    if b"#" in request.target:
        if strict:
            raise Malformed("a fragment")
        # It is the client's own (RFC 3986 section 3.5), and no part of what is authorized and forwarded.
        request.target = request.target.partition(b"#")[0]
    lengths, codings = request.values(b"content-length"), request.values(b"transfer-encoding")
    if codings:
        if [coding.lower() for coding in codings] != [b"chunked"] or request.version == b"HTTP/1.0":
            raise Malformed(f"the codings {codings}")
        if lengths and strict:
            raise Malformed("a length and a coding")
        request.body, rest = chunked(rest, strict)
    elif lengths:
        if len(set(lengths)) > 1 or not re.fullmatch(rb"[0-9]{1,18}", lengths[0]) or (strict and len(lengths) > 1):
            raise Malformed(f"the lengths {lengths}")
        length = int(lengths[0])
        if len(rest) < length:
            raise Partial
        request.body, rest = rest[:length], rest[length:]
    options = {o.strip().lower() for value in request.values(b"connection") for o in value.split(b",")}
    is_old = request.version == b"HTTP/1.0" and b"keep-alive" not in options
    # RFC 9112 section 6.1: behind a length and a coding nothing is read.
    request.is_last = is_old or b"close" in options or bool(lengths and codings)
    return request, rest


def section(data):
    """The lines up to the empty one, and what is behind it. Each ends in CR LF, and neither is anywhere else."""
    head, end, rest = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    # The last line may have come in part, and its CR be the first half of its end.
    for line in lines if end else [*lines[:-1], lines[-1].removesuffix(b"\r")]:
        if re.search(rb"[\r\n\0]", line):
            raise Malformed(f"a line {line[:80]!r}")
    if not end:
        raise Partial
    return lines, rest


def fields(lines):
    found = []
    for line in lines:
        field = FIELD.fullmatch(line)
        if not field:
            raise Malformed(f"the field {line[:80]!r}")
        found.append((field[1].lower(), field[2]))
    return found


def chunked(data, strict):
    body = b""
    while True:
        line, end, rest = data.partition(b"\r\n")
        if not end and len(line) < 1000 and b"\n" not in line:
            raise Partial
        chunk = CHUNK.fullmatch(line)
        if not chunk or (strict and chunk[2]):
            raise Malformed(f"the chunk {line[:80]!r}")
        size = int(chunk[1], 16)
        if size == 0:
            if rest.startswith(b"\r\n"):
                return body, rest[2:]
            trailers, rest = section(rest)
            fields(trailers)
            return body, rest
        if len(rest) < size + 2:
            if not b"\r\n".startswith(rest[size:]):
                raise Malformed("no end of a chunk")
            raise Partial
        if rest[size : size + 2] != b"\r\n":
            raise Malformed("no end of a chunk")
        body, data = body + rest[:size], rest[size + 2 :]


def reading(data):
    """The requests in what a client sends, and why there are no more: whole, last, partial or refused."""
    requests = []
    while data:
        try:
            request, data = read(data, strict=False)
        except Partial:
            return requests, "partial"
        except Malformed:
            return requests, "refused"
        requests.append(request)
        if request.is_last:
            return requests, "last"
    return requests, "whole"


# ---------------------------------------------------------------------------------------------------- both ends


class Upstream(socketserver.ThreadingTCPServer):
    """Answers what is one request and nothing else with 200 and the number of its arrival; keeps all of it."""

    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Connection)
        self.arrivals, self.problems, self.cut, self.lock = [], [], [], threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def arrived(self, request):
        with self.lock:
            self.arrivals.append(request)
            return len(self.arrivals) - 1


class Connection(socketserver.BaseRequestHandler):
    def handle(self):
        data = b""
        with contextlib.suppress(ConnectionError):
            while piece := self.request.recv(1 << 20):
                data += piece
                while data:
                    try:
                        request, data = read(data, strict=True)
                    except Partial:
                        break
                    except Malformed as error:
                        self.server.problems.append((str(error), data))
                        return
                    number = self.server.arrived(request)
                    self.request.sendall(b"HTTP/1.1 200 OK\r\nX-Saw: %d\r\nContent-Length: 0\r\n\r\n" % number)
        if data:
            self.server.cut.append(data)


ANSWER = re.compile(rb"HTTP/1\.[01] ([2-5]\d\d) [^\r\n]*\r\n(.*?)\r\n\r\n(\{[^\r\n]*\})?", re.S)
SAW = re.compile(rb"\r\nx-saw: (\d+)", re.I)
CODE = re.compile(rb'"code":"(\w+)"')


class Answer:
    def __init__(self, found):
        saw, code = SAW.search(b"\r\n" + found[2]), CODE.search(found[3] or b"")
        self.status, self.saw = int(found[1]), saw and int(saw[1])
        self.code = code[1].decode() if code else ""


class Wire:
    """The bytes of one connection, how they have to be read, and what the gateway answered."""

    def __init__(self, case, data):
        self.case, self.data = case, data
        self.requests, self.end = reading(data)
        self.answers, self.is_closed = [], False

    def send(self, port):
        heard, deadline = b"", time.monotonic() + DEADLINE
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
            sender = threading.Thread(target=self.write, args=(client,))
            sender.start()
            while not self.is_heard(heard):
                is_partial = self.end == "partial" and len(self.answers) == len(self.requests)
                client.settimeout(MORE if is_partial else max(deadline - time.monotonic(), 0.001))
                try:
                    piece = client.recv(1 << 16)
                except TimeoutError:
                    break
                except ConnectionError:
                    piece = b""
                if not piece:
                    self.is_closed = True
                    break
                heard += piece
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            sender.join()

    def write(self, client):
        with contextlib.suppress(OSError):
            client.sendall(self.data)

    def is_heard(self, heard):
        """Whether nothing more is to come: not where the connection has to be closed."""
        self.answers = [Answer(found) for found in ANSWER.finditer(heard)]
        return self.end == "whole" and len(self.answers) >= len(self.requests)

    def problems(self, arrivals, whole):
        """What another reader could have been made to believe. `whole` are the numbers of what arrived of this wire."""
        for number, answer in enumerate(self.answers):
            if number < len(self.requests) and answer.status == 200:
                yield from differences(self.requests[number], arrivals[answer.saw])
            elif number > len(self.requests) or not 400 <= answer.status < 500:
                yield f"answer {number + 1} is {answer.status}"
            elif number == len(self.requests) and self.end not in ("refused", "partial"):
                yield f"answer {number + 1} is to no request"
        seen = [answer.saw for answer in self.answers if answer.status == 200]
        if set(seen) != set(whole):
            yield f"{len(whole)} requests arrived, and {len(seen)} were answered with 200"
        is_refused = bool(self.answers) and self.answers[-1].status >= 400
        if self.end == "refused" and not (is_refused and self.is_closed):
            yield "not refused and closed"
        if self.end == "last" and not self.is_closed:
            yield "not closed"
        if len(self.answers) < len(self.requests) and not (is_refused and self.is_closed):
            yield f"{len(self.answers)} answers to {len(self.requests)} requests"


# Of one connection only, or what the gateway alone may say; under any of these names nothing of the client's arrives.
HELD = re.compile(
    rb"host|connection|keep-alive|te|upgrade|proxy-.*|expect|via|forwarded|x-forwarded-.*|x-real-ip|x-request-id"
    rb"|traceparent|tracestate|transfer-encoding|content-length"
)


def differences(sent, arrived):
    """How a request that arrived is another than the one that was sent."""
    for what in ("method", "target", "body"):
        if getattr(sent, what) != getattr(arrived, what):
            yield f"another {what}: {getattr(sent, what)[:60]!r}, {getattr(arrived, what)[:60]!r}"
    # Servers in the way of CGI know no difference between `_` and `-`.
    twins = [name.replace(b"_", b"-") for name, _ in arrived.fields]
    framings = [name for name in twins if name in (b"content-length", b"transfer-encoding")]
    if len(framings) > 1:
        yield f"two framings: {framings}"
    kept = [[f for f in message.fields if not HELD.fullmatch(f[0].replace(b"_", b"-"))] for message in (sent, arrived)]
    if sorted(kept[0]) != sorted(kept[1]):
        yield f"other fields: {set(kept[0]) ^ set(kept[1])}"


@contextlib.contextmanager
def gateway(scopegate, upstream):
    """The port of a gateway in front of an upstream. When it has ended, nothing more arrives."""
    with tempfile.TemporaryDirectory() as folder:
        config, log = pathlib.Path(folder, "gateway.toml"), pathlib.Path(folder, "log")
        config.write_text(CONFIG % upstream.server_address[1])
        command = [scopegate, "run", "--config", config, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            yield port(process, log)
            process.terminate()
            if process.wait(DEADLINE) != 0:
                sys.exit(f"FAILED: SIGTERM ended the gateway with {process.returncode}\n{log.read_text()[-4000:]}")
        finally:
            process.kill()
            process.wait()


def port(process, log):
    deadline = time.monotonic() + DEADLINE
    while not (found := re.search(r"listening address=127\.0\.0\.1:(\d+)", log.read_text())):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"FAILED: the gateway does not listen\n{log.read_text()}")
        time.sleep(0.02)
    return int(found[1])


def exchange(scopegate, wires):
    """Sends each, and returns the problems of each."""
    upstream = Upstream()
    with gateway(scopegate, upstream) as at, concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda wire: wire.send(at), wires))
    upstream.shutdown()
    upstream.server_close()
    whole = {}
    for number, request in enumerate(upstream.arrivals):
        whole.setdefault(b"".join(request.values(b"x-case")), []).append(number)
    problems = [list(wire.problems(upstream.arrivals, whole.pop(label(n), []))) for n, wire in enumerate(wires)]
    for error, data in upstream.problems:
        problems.append([f"no request arrived: {error} in {data[:400]!r}"])
    for data in upstream.cut:
        found = re.search(rb"\r\nx-case: (\d+)\r\n", data, re.I)
        if not found or wires[int(found[1])].end not in ("refused", "partial"):
            problems.append([f"a part of a request arrived: {data[:400]!r}"])
    problems += [[f"of no case: {upstream.arrivals[numbers[0]]}"] for numbers in whole.values()]
    return problems


def label(number):
    return b"%d" % number


# ---------------------------------------------------------------------------------------------------- the cases


def main(scopegate, folder):
    # single-case.yaml repeats a case, for whoever debugs it.
    files = sorted(file for file in folder.glob("*.yaml") if file.name != "single-case.yaml")
    cases = [case for file in files for case in yaml.safe_load(file.read_text(encoding="utf-8"))]
    if len(cases) != CASES:
        sys.exit(f"FAILED: {len(cases)} cases in {folder}, and not {CASES}")
    wires = []
    for number, case in enumerate(cases):
        for data in dict.fromkeys(texts(case)):
            wires.append(Wire(number, data.replace(b"CASE", label(len(wires)))))
    started = time.monotonic()
    problems = exchange(scopegate, wires)
    failures = [(wire, found) for wire, found in itertools.zip_longest(wires, problems) if found]
    report(cases, wires, failures, time.monotonic() - started)


def texts(case):
    """All ways to send a case."""
    values = [(str(field["name"]), str(field["value"])) for field in case["headers"] or []]
    # HTTP/0.9 says no version, and no space before it.
    line = " ".join([case["method"], case["uri"], case["version"]]).removesuffix(" " * (not case["version"]))
    lengths = [re.search(r"\d{1,7}", value) for name, value in values if re.search("content.length", name, re.I)]
    marker = b"GET /marker HTTP/1.1\r\nHost: api.test\r\nX-Case: CASE\r\n\r\n"
    chunks = b"5\r\nhello\r\n0\r\n\r\n"
    bodies = [b"", chunks]
    for length in {int(found[0]) for found in lengths if found}:
        smuggled = chunks + marker.replace(b"marker", b"smuggled")
        bodies.append(smuggled[:length].ljust(length, b"x"))
    ours = [("X-Case", "CASE")]
    if not any(name.lower() == "host" for name, _ in values):
        ours.append(("Host", "api.test"))
    for encode, place in itertools.product((octets, str.encode), (0, 1)):
        ordered = values + ours if place else ours + values
        head = b"\r\n".join([encode(line), *(encode(f"{name}: {value}") for name, value in ordered), b"\r\n"])
        for body in bodies:
            yield head + body + marker


def octets(text):
    """A character as the octet of its number, where it is one: `\\xa0` in a case may mean either."""
    return b"".join(bytes([ord(c)]) if ord(c) < 256 else c.encode() for c in text)


def report(cases, wires, failures, took):
    rows = {}
    for number, case in enumerate(cases):
        tier, sent = case["expected"]["tier"], [wire for wire in wires if wire.case == number]
        is_forwarded = any(wire.answers and wire.answers[0].status == 200 for wire in sent)
        found = list(dict.fromkeys(problem for wire, problems in failures if wire in sent for problem in problems))
        if tier == "Compliant":
            found += complaints(case["name"], sent, is_forwarded)
        if found:
            print(f"MUST-FAILURE: {tier}, {case['name']!r}: {'; '.join(found)}")
        is_exception = tier == "Compliant" and case["name"] in EXCEPTIONS
        row = (1, len(sent), is_forwarded, not is_forwarded, is_exception, bool(found))
        rows[tier] = [a + b for a, b in zip(rows.get(tier, [0] * len(row)), row)]
    unnamed = [problems for wire, problems in failures if wire is None]
    for problems in unnamed:
        print(f"MUST-FAILURE: {'; '.join(problems)}")
    table = [("", "cases", "connections", "forwarded", "refused", "exceptions", "must-failures")]
    table += [(tier, *row) for tier, row in sorted(rows.items())]
    table.append(("all", *(sum(column) for column in zip(*rows.values()))))
    for title, *cells in table:
        print(f"{title:<12}" + "".join(f"{cell:>14}" for cell in cells))
    for title, (code, reason) in EXCEPTIONS.items():
        print(f"exception: {title!r}: {code}: {reason}")
    print(f"{len(wires)} connections in {took:.1f} s")
    if count := table[-1][-1] + len(unnamed):
        sys.exit(f"FAILED: {count} must-failures")


def complaints(title, sent, is_forwarded):
    """Why a compliant case was not treated as one."""
    firsts = [wire.answers[0] for wire in sent if wire.requests and wire.answers]
    refusals = {answer.code or str(answer.status) for wire in sent for answer in wire.answers[:1] if answer.status != 200}
    if title in EXCEPTIONS:
        code = EXCEPTIONS[title][0]
        return [] if not is_forwarded and refusals == {code} else [f"an exception for {code}, and not: {refusals}"]
    if is_forwarded and all(answer.status == 200 for answer in firsts):
        return []
    return [f"compliant, and refused: {refusals}"]


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve())
