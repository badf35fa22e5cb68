"""Reads what a client sends as RFC 9112 has it, and what the gateway sends to the client; shares nothing with the gateway.

The reader of requests is the one of desync.py, with the two leniencies that the gateway documents: the lines of a head may
end in LF alone (RFC 9112 section 2.2; docs/traffic.md), and white space may stand between the size of a chunk and the end of
its line (docs/reliability.md). A size may begin with any number of zeros.
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import desync  # noqa: E402
from desync import Malformed, Partial  # noqa: E402

ABSOLUTE = re.compile(rb"https?://([^/?#]*)([^#]*)", re.I)
desync.CHUNK = re.compile(rb"0*([0-9A-Fa-f]{1,16})[ \t]*(;[\t\x20-\x7e\x80-\xff]*)?")
HEAD_END = re.compile(rb"\n\r?\n")


def requests(data):
    """The requests of a client, and why there are no more: whole, last, partial or refused."""
    found = []
    while data:
        try:
            request, data = one(data)
        except Partial:
            return found, "partial"
        except Malformed:
            return found, "refused"
        found.append(request)
        if request.is_last:
            return found, "last"
    return found, "whole"


def one(data):
    while (line := data[:2]) == b"\r\n" or line[:1] == b"\n":
        data = data[2:] if line == b"\r\n" else data[1:]
    if not data:
        raise Partial
    end = HEAD_END.search(data)
    at = end.end() if end else len(data)
    request, rest = desync.read(re.sub(rb"\r?\n", b"\r\n", data[:at]) + data[at:], strict=False)
    hosts = request.values(b"host")
    request.host = hosts[0] if hosts else b""
    absolute = ABSOLUTE.fullmatch(request.target)
    if absolute:
        # RFC 9112 section 3.2.2: the authority of the target counts, and not `Host`.
        request.host, request.target = absolute[1], absolute[2]
        if not request.target.startswith(b"/"):
            request.target = b"/" + request.target
    if len(hosts) > 1 or (not hosts and request.version == b"HTTP/1.1" and not absolute):
        raise Malformed(f"the hosts {hosts}")
    return request, rest


STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?")


class Answer:
    def __init__(self, version, status, fields):
        self.version, self.status, self.fields = version, status, fields
        self.body, self.trailers, self.is_whole = b"", [], True

    def values(self, name):
        return [value for field, value in self.fields if field == name]

    def value(self, name):
        return b", ".join(self.values(name))


def answers(data, methods):
    """The final answers in the bytes from a gateway that has closed the connection, each read for the method of its request.

    Raises `Malformed` for everything that a client could read in another way. An answer that the end of the connection cuts
    short is not whole.
    """
    found = []
    while data:
        answer, data = answer_of(data, methods[len(found)] if len(found) < len(methods) else b"GET")
        if answer.status >= 200:
            found.append(answer)
    return found


def answer_of(data, method, is_strict=True):
    """The first answer of some bytes, and what is behind it. Of an upstream (not `is_strict`) a length may stand twice, or
    beside a coding, which then counts (RFC 9112 section 6.3); lines of chunks may have more than a size; and a body that is
    malformed is one that was cut short."""
    try:
        lines, rest = desync.section(data)
    except Partial:
        raise Malformed(f"half a head: {data[:80]!r}") from None
    line = STATUS.fullmatch(lines[0])
    if not line:
        raise Malformed(f"the status line {lines[0][:80]!r}")
    answer = Answer(int(line[1]), int(line[2]), desync.fields(lines[1:]))
    lengths, codings = answer.values(b"content-length"), answer.values(b"transfer-encoding")
    if is_strict and len(lengths) + len(codings) > 1 or len(set(lengths)) > 1:
        raise Malformed(f"the framing {lengths} {codings}")
    if lengths and not re.fullmatch(rb"\d{1,19}", lengths[0]):
        raise Malformed(f"the length {lengths}")
    if codings and ([coding.lower() for coding in codings] != [b"chunked"] or answer.version == 0):
        raise Malformed(f"the coding {codings}")
    if answer.status < 200 or answer.status in (204, 304) or method == b"HEAD":
        return answer, rest
    if codings:
        return answer, chunks_of(answer, rest, is_strict)
    if lengths:
        length = int(lengths[0])
        answer.body, rest = rest[:length], rest[length:]
        answer.is_whole = len(answer.body) == length
        return answer, rest
    answer.body = rest
    return answer, b""


def chunks_of(answer, data, is_strict):
    try:
        return rest_of_chunks(answer, data, is_strict)
    except Malformed:
        if is_strict:
            raise
        answer.is_whole = False
        return b""


def rest_of_chunks(answer, data, is_strict):
    while True:
        line, end, rest = data.partition(b"\r\n")
        if not end:
            answer.is_whole = False
            return b""
        chunk = desync.CHUNK.fullmatch(line)
        if not chunk or is_strict and chunk[0] != chunk[1]:
            raise Malformed(f"the chunk {line[:80]!r}")
        size = int(chunk[1], 16)
        if size == 0:
            break
        answer.body += rest[:size]
        if len(rest) < size + 2:
            answer.is_whole = False
            return b""
        if rest[size : size + 2] != b"\r\n":
            raise Malformed("no end of a chunk")
        data = rest[size + 2 :]
    if rest.startswith(b"\r\n"):
        return rest[2:]
    try:
        lines, rest = desync.section(rest)
    except Partial:
        answer.is_whole = False
        return b""
    answer.trailers = desync.fields(lines)
    return rest
