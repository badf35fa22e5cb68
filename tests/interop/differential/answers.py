"""Answers of an upstream with abuses, and what clients read of them behind the gateway.

Each case is an answer to the first of two requests on a connection; the second one gets a plain answer. The upstream keeps its
connections open where it can, so that what is left of an answer would be the beginning of another client's.
"""

import asyncio
import contextlib
import http.client
import io
import random

import grammar
import h11
import httptools
import reader
from judge import Finding
from reader import desync

AT_ONCE = 24  # connections; some wait for an upstream that says no more

STATUS_LINES = [
    b"HTTP/1.0 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1  200 OK", b"HTTP/1.1 200  OK", b"HTTP/1.2 200 OK", b"HTTP/2.0 200 OK", b"http/1.1 200 OK", b"HTTP/1.1 20 OK",
    b"HTTP/1.1 2000 OK", b"HTTP/1.1 099 OK", b"HTTP/1.1 600 OK", b"HTTP/1.1 999 OK", b"HTTP/1.1 200 O\xffK", b"HTTP/1.1 200 O\0K", b"HTTP/1.1 200 O\rK", b"HTTP/1.1\t200 OK",
    b"HTTP/1.1 +200 OK", b"HTTP/1.1 2 0 OK", b"HTTP/1.1 200OK", b"ICY 200 OK", b" HTTP/1.1 200 OK", b"\r\nHTTP/1.1 200 OK", b"\nHTTP/1.1 200 OK", b"x\r\nHTTP/1.1 200 OK", b"",
    b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 205 Reset Content", b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 100 Continue", b"HTTP/1.1 199 x",
    b"HTTP/1.1 404 Not Found", b"HTTP/1.1 500 x", b"HTTP/1.1 302 Found", b"HTTP/1.1 206 Partial", b"HTTP/1.1 408 x", b"HTTP/1.1 426 x", b"HTTP/1.1 407 x",
]  # fmt: skip
ODD_FIELDS = [
    b"X : y", b" X: y", b"X", b": y", b"X\0: y", b"X(: y", b"\"X\": y", b"X Y: z", b"X-A: \0", b"X-A: a\rb", b"X-A: a\nX-B: c", b"X-A: a\r\n folded", b"X-A: \x01", b"X-A: \x7f",
    b"X-A: " + b"v" * 5000, b"X-A: 1\r\nX-A: 2", b"Set-Cookie: a=1\r\nSet-Cookie: b=2", b"Set-Cookie: a=1, b=2", b"Connection: close", b"Connection: keep-alive", b"Connection: X-A",
    b"Connection: X-Marker", b"Connection: content-length", b"Connection: transfer-encoding", b"Keep-Alive: timeout=5", b"Proxy-Connection: close", b"Upgrade: h2c", b"Upgrade: websocket",
    b"Connection: upgrade\r\nUpgrade: websocket", b"Trailer: X-T", b"TE: trailers", b"Content-Encoding: gzip", b"Transfer_Encoding: chunked", b"Content_Length: 3", b"X-Request-Id: spoofed",
    b"Via: 1.0 x", b"Location: //evil.test/", b"Content-Type: text/html", b"WWW-Authenticate: Basic", b"Access-Control-Allow-Origin: *", b"X-Hi: \xff", b"Date: x", b"Date: x\r\nDate: y", b"",
    b"Content-Length : 3", b"Transfer-Encoding : chunked", b"Content-Length\0: 3", b"HTTP/1.1 200 OK", b"Content-Type: a\r\nContent-Type: b", b"Age: 5", b"X-E:",
]  # fmt: skip
INTERIM = [
    b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"HTTP/1.1 103 x\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
    b"HTTP/1.1 103 x\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 100 Continue\n\n", b"HTTP/1.1 102 x\r\nX-Marker: other\r\n\r\n", b"HTTP/1.1 101 x\r\n\r\n", b"HTTP/1.0 100 x\r\n\r\n",
    b"HTTP/1.1 103 x\r\nConnection: close\r\n\r\n",
]  # fmt: skip
STEPS = ["status"] * 3 + ["field"] * 4 + ["framing"] * 8 + ["interim"] * 2 + ["end"] * 2 + ["second"] * 2 + ["cut"] * 2
METHODS = [b"GET"] * 5 + [b"HEAD"] * 2 + [b"POST", b"OPTIONS", b"DELETE"]


class AnswerCase:
    def __init__(self, seed, number):
        self.seed, self.number, self.name = seed, number, b"%d-a%d" % (seed, number)
        self.chance = random.Random(f"{seed}/answer/{number}")
        self.method = self.chance.choice(METHODS)
        self.closes = self.chance.random() < 0.5
        # Few are awaited to the end of the gateway's patience.
        self.is_patient = self.chance.random() < 0.95
        self.pieces = self._pieces()

    def is_open(self):
        """Whether more has to come, so that a gateway would wait."""
        try:
            answer, _ = strictly(b"".join(self.pieces), self.method)
        except (reader.Malformed, desync.Partial):
            return True
        return not answer.is_whole or not (answer.values(b"content-length") or answer.values(b"transfer-encoding"))

    def _pieces(self):
        chance = self.chance
        status, fields, before, after = b"HTTP/1.1 200 OK", [chance.choice(grammar.FIELDS)], [], []
        request = grammar.Request(random.Random(0), self.name)
        request.chance, request.length, request.coding, request.odd_chunks, request.coding_name = chance, None, None, 0, b"Transfer-Encoding:"
        request.frame(chance.choice(["none", "length", "length", "chunked", "chunked"]))
        odd_ends, cut = 0, False
        for _ in range(chance.choices([0, 1, 2, 3], [15, 45, 30, 10])[0]):
            step = chance.choice(STEPS)
            if step == "status":
                status = chance.choice(STATUS_LINES)
            elif step == "field":
                fields.insert(chance.randrange(len(fields) + 1), chance.choice(ODD_FIELDS))
            elif step == "framing":
                request.odd_framing(chance.choice(["", "body"]))
            elif step == "interim":
                before.append(chance.choice(INTERIM))
            elif step == "end":
                odd_ends += 1
            elif step == "second":
                after.append(plain_answer(self.name + b".smuggled"))
            else:
                cut = True
        lines, body = [b"X-Marker: " + self.name + b".0", *fields], request.body()
        framing = []
        if request.length is not None:
            length = len(b"".join(body)) if request.coding is None or chance.random() < 0.5 else chance.choice([0, 4, 5])
            length = max(length + chance.choice([0] * 8 + [1, -1, 100]), 0)
            framing.append(b"Content-Length: " + request.length.replace(b"N", b"%d" % length))
        if request.coding is not None:
            framing.append(request.coding_name + b" " + request.coding)
        chance.shuffle(framing)
        lines[1:1] = framing
        ends = [b"\r\n"] * (len(lines) + 2)
        for _ in range(odd_ends):
            ends[chance.randrange(len(ends))] = chance.choice(grammar.ODD_ENDS)
        pieces = [*before, status, ends[0], *(piece for pair in zip(lines, ends[1:]) for piece in pair), ends[-1], *body, *after]
        if cut:
            pieces = pieces[: chance.randrange(1, len(pieces))]
        return [piece for piece in pieces if piece]


def plain_answer(marker):
    return b"HTTP/1.1 200 OK\r\nX-Marker: %s\r\nContent-Length: %d\r\n\r\n%s" % (marker, len(marker), marker)


class Upstream:
    """Answers by the name of the case in the request."""

    def __init__(self, answers):
        self.answers, self.problems = answers, []

    async def serve(self, read, write):
        data = b""
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while piece := await read.read(1 << 16):
                data += piece
                while data:
                    try:
                        request, data = desync.read(data, strict=True)
                    except desync.Partial:
                        break
                    except desync.Malformed as error:
                        self.problems.append(f"{error}: {data[:200]!r}")
                        data = b""
                        break
                    answer, closes = self.answer(b"".join(request.values(b"x-case")))
                    write.write(answer)
                    await write.drain()
                    if closes:
                        write.close()
                        return
        write.close()

    def answer(self, name):
        case, _, place = name.rpartition(b".")
        if place == b"0" and case in self.answers:
            found = self.answers[case]
            return b"".join(found.pieces), found.closes or (found.is_patient and found.is_open())
        return plain_answer(name), False


def asked(case):
    fields = b"Host: api.test\r\n"
    if case.method == b"POST":
        fields += b"Content-Length: 0\r\n"
    first = case.method + b" /a HTTP/1.1\r\nX-Case: " + case.name + b".0\r\n" + fields + b"\r\n"
    return first + b"GET /b HTTP/1.1\r\nX-Case: " + case.name + b".1\r\nHost: api.test\r\n\r\n"


# Of one connection only, or the gateway's own in every answer.
HELD = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"transfer-encoding", b"content-length", b"via", b"x-request-id", b"date", b"proxy-authenticate"}


def problems(case, heard):
    """What a client could have been made to believe."""
    methods = [case.method, b"GET"]
    try:
        answers = reader.answers(heard, methods)
    except reader.Malformed as error:
        yield "answer", f"a client could read it in two ways: {error}"
        return
    if len(answers) > 2:
        yield "answers", f"{len(answers)} answers to two requests"
    for place, answer in enumerate(answers[:2]):
        marker = answer.value(b"x-marker")
        if not marker and (answer.status in (502, 504) or b'"code":"' in answer.body):
            continue
        if place == 1 and (marker != case.name + b".1" or answer.body != marker or not answer.is_whole):
            yield "another", f"{marker!r} {answer.status} {answer.body[:80]!r} for the second request"
        elif place == 0:
            yield from of_first(case, answer)
    if len(answers) < 2 and not (answers and (answers[0].values(b"connection") == [b"close"] or not answers[0].is_whole)):
        yield "unanswered", f"{len(answers)} answers to two requests"
    yield from other_readers(heard, methods, answers)


def of_first(case, answer):
    """Differences between an answer that was given on, and what can be read of the upstream's."""
    sent = b"".join(case.pieces)
    try:
        expected, behind = strictly(sent, case.method)
    except (reader.Malformed, desync.Partial) as error:
        yield "forwarded", f"{answer.status} of what is no answer: {error}"
        return
    if expected.status != answer.status:
        yield "status", f"{expected.status}, and a client reads {answer.status}"
    is_until_close = not expected.values(b"content-length") and not expected.values(b"transfer-encoding")
    if answer.is_whole and (expected.body != answer.body or not (expected.is_whole or is_until_close)):
        yield "body", f"{expected.body[:80]!r}, and a client reads {answer.body[:80]!r}"
    if not answer.is_whole and not expected.body.startswith(answer.body):
        yield "body", f"{expected.body[:80]!r}, and a client reads {answer.body[:80]!r}"
    options = {option.strip().lower() for value in expected.values(b"connection") for option in value.split(b",")}
    kept = [[field for field in message.fields if field[0] not in HELD | options] for message in (expected, answer)]
    if sorted(kept[0]) != sorted(kept[1]):
        yield "field", f"{sorted(kept[0])}, and a client reads {sorted(kept[1])}"


def strictly(data, method):
    """The final answer in an upstream's bytes, and what is behind it."""
    while True:
        end = reader.HEAD_END.search(data)
        at = end.end() if end else len(data)
        head = reader.re.sub(rb"\r?\n", b"\r\n", data[:at])
        answer, rest = reader.answer_of(head + data[at:], method, is_strict=False)
        if answer.status >= 200:
            return answer, rest
        if answer.status == 101:
            raise reader.Malformed("another protocol, for which nobody has asked")
        data = rest


def other_readers(heard, methods, answers):
    """Three clients that others have written, on the same bytes."""
    expected = [(answer.status, answer.body) for answer in answers if answer.is_whole]
    for name, read in (("h11", by_h11), ("llhttp", by_llhttp), ("http.client", by_http_client)):
        try:
            found = read(heard, methods)
        except Exception as error:  # noqa: BLE001: whatever they say
            found = repr(error)
        if found[: len(expected)] != expected or (isinstance(found, list) and len(found) > len(answers)):
            yield "readers", f"{name} reads {str(found)[:200]}, and not {str(expected)[:200]}"


def by_h11(heard, methods):
    client, found = h11.Connection(h11.CLIENT), []
    client.receive_data(heard)
    client.receive_data(b"")
    for method in methods:
        client.send(h11.Request(method=method, target="/", headers=[("Host", "a")] + [("Content-Length", "0")] * (method == b"POST")))
        client.send(h11.EndOfMessage())
        status, body = None, b""
        while True:
            try:
                event = client.next_event()
            except h11.RemoteProtocolError:
                return found
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            elif not isinstance(event, h11.InformationalResponse):
                return found
        found.append((status, body))
        if client.our_state is not h11.DONE or client.their_state is not h11.DONE:
            return found
        client.start_next_cycle()
    return found


class Llhttp:
    def __init__(self):
        self.found, self.body = [], b""

    def on_message_begin(self):
        self.body = b""

    def on_body(self, data):
        self.body += data

    def on_message_complete(self):
        if self.parser.get_status_code() >= 200:
            self.found.append((self.parser.get_status_code(), self.body))


def by_llhttp(heard, methods):
    # llhttp has to be told that an answer is to HEAD, and httptools does not tell it.
    if b"HEAD" in methods:
        return [(answer.status, answer.body) for answer in reader.answers(heard, methods) if answer.is_whole]
    client = Llhttp()
    client.parser = httptools.HttpResponseParser(client)
    try:
        client.parser.feed_data(heard)
    except httptools.HttpParserError:
        return client.found
    # An answer up to the end of the connection: llhttp is told of the end by nobody.
    found = client.found
    whole = [(answer.status, answer.body) for answer in reader.answers(heard, methods) if answer.is_whole]
    return found + whole[len(found) :] if len(found) == len(whole) - 1 and b"content-length" not in heard.lower().rsplit(b"http/1.", 1)[-1] else found


class Socket:
    def __init__(self, stream):
        self.stream = stream

    def makefile(self, _):
        return self.stream


class Stream(io.BytesIO):
    def close(self):
        """Answers close their file, and the next one reads on."""


def by_http_client(heard, methods):
    stream, found = Stream(heard), []
    for method in methods:
        if stream.tell() == len(heard):
            break
        response = http.client.HTTPResponse(Socket(stream), method=method.decode())
        try:
            response.begin()
            found.append((response.status, response.read()))
        except (http.client.HTTPException, OSError, ValueError):
            return found
        if response.will_close:
            break
    return found


async def run(cases, port_of_upstream, exchange, port):
    """Sends all cases, and returns what was found and the number of answers that were given on."""
    upstream = Upstream({case.name: case for case in cases})
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", port_of_upstream)
    findings, given, queue = [], 0, list(cases)

    async def work():
        nonlocal given
        while queue:
            case = queue.pop()
            heard = await exchange(port, asked(case))
            if heard is None:
                findings.append(Finding("hung", "not answered in time", case, "answers"))
                continue
            given += b"x-marker: " + case.name + b".0" in heard
            findings.extend(Finding(kind, said, case, "answers") for kind, said in problems(case, heard))

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    server.close()
    findings.extend(Finding("upstream", said, None, "answers") for said in upstream.problems)
    return findings, given, upstream
