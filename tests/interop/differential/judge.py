"""Compares three readings of a request: that of the client's bytes (reader.py), the gateway's judgement, and the server's report."""

import collections
import json
import re
import urllib.parse

import reader
from servers import Report

# Of one connection only, or what the gateway alone may say (docs/traffic.md, "Fields that only the gateway sends"): under any
# spelling of these names nothing of the client's arrives. Every byte that is no letter or digit is a hyphen here.
REMOVED = re.compile(
    rb"forwarded|x-forwarded-.*|x-real-ip|x-original-.*|x-rewrite-.*|x-envoy-original-.*|x-override-url|x-http-method(-override)?"
    rb"|x-method-override|proxy|x-request-id|expect|content-length|transfer-encoding|connection|http2-settings|keep-alive"
    rb"|proxy-.*|te|upgrade|x-route|host|via|trailer"
)
# What these names mean to the message itself passes under the very name, and under no other spelling.
ONCE = {b"authorization", b"content-type", b"cookie"}
# What servers add to what they have read.
ADDED = {"envoy": {b"x-forwarded-proto", b"x-envoy-expected-rq-timeout-ms"}}


# The differences that are known: the server, what differs, why that is none, and how it has to look. There are no others.
REASONS = [
    (
        "envoy",
        "field",
        "Envoy joins the lines of fields that it knows by a comma without a blank (RFC 9110 section 5.3)",
        lambda sent, read: len(sent) > 1 and read == [b",".join(sent)],
    ),
    (
        "uvicorn",
        "target",
        "ASGI has an empty query and none in the same form: it cannot show the `?`",
        lambda sent, read: sent.count(b"?") == 1 and sent == read + b"?",
    ),
]


class Finding:
    def __init__(self, kind, said, case=None, server=None):
        self.kind, self.said, self.case, self.server = kind, said, case, server

    def __str__(self):
        case = f"case {self.case.name.decode()}, " if self.case else ""
        return f"{self.kind}: {case}{self.server}: {self.said}"


class Judge:
    """Judges the cases of one server, and at the end its log against that of the gateway."""

    def __init__(self, server):
        self.server = server
        self.findings, self.counts = [], collections.Counter()
        self.reports = []

    def case(self, case, data, heard):
        """Judges the bytes that a client sent and those that it heard, up to the end of the connection."""
        found = list(self.of_case(case, data, heard))
        for kind, said in found:
            self.findings.append(Finding(kind, said, case, self.server))
        return found

    def of_case(self, case, data, heard):
        asked, end = reader.requests(data)
        try:
            answers = reader.answers(heard, [request.method for request in asked])
        except reader.Malformed as error:
            yield "answer", f"a client could read it in two ways: {error}"
            return
        self.counts["requests"] += len(asked)
        for number, answer in enumerate(answers):
            request = asked[number] if number < len(asked) else None
            yield from self.of_answer(request, answer, number == len(asked) and end in ("refused", "partial"))
        is_refused = bool(answers) and answers[-1].status >= 400
        if len(answers) < len(asked) and not is_refused:
            yield "unanswered", f"{len(answers)} answers to {len(asked)} requests"

    def of_answer(self, request, answer, may_be_refusal):
        report = report_of(answer)
        if request is None:
            self.counts["refused"] += 1
            if report:
                yield "forwarded", f"{report.method!r} {report.target!r} is no request: {'the end of what can be read' if may_be_refusal else 'a further one'}"
            elif not may_be_refusal or answer.status < 400:
                yield "answer", f"{answer.status} to no request"
            return
        if report is None:
            kind = "refused" if answer.status >= 400 else "other answers"
            self.counts[kind] += 1
            return
        self.counts["forwarded"] += 1
        if answer.status != 200 or not answer.is_whole:
            yield "answer", f"{answer.status}, cut short"
        self.reports.append(report)
        yield from self.differences(request, report)

    def differences(self, request, report):
        named = request.values(b"x-case")[:1]
        if [report.case] != named:
            yield "another", f"the answer to {report.case!r} for {named}"
            return
        for what in ("method", "target", "body"):
            sent, read = getattr(request, what), getattr(report, what)
            if sent != read and not self.is_known(what, sent, read):
                yield what, f"{sent[:80]!r}, and the server read {read[:80]!r}"
        hosts = report.values(b"host")
        if [host.lower() for host in hosts] != [request.host.lower()] and not is_of_upstream(request, hosts):
            yield "host", f"{request.host!r}, and the server read {hosts}"
        yield from self.other_fields(request, report)
        yield from other_route(report)

    def other_fields(self, request, report):
        sent, read = of_client(request), collections.defaultdict(list)
        for name, value in report.fields:
            name = name.lower()
            if not REMOVED.fullmatch(hyphenated(name)) and name not in ADDED.get(self.server, ()):
                read[name].append(value)
        if self.server == "gunicorn":
            sent = as_variables(sent)
        for name in sorted(sent.keys() | read.keys()):
            values = sent.get(name, []), read.get(name, [])
            if comparable(self.server, values[0]) != comparable(self.server, values[1]) and not self.is_known("field", *values):
                yield "field", f"{name!r} {sent.get(name)}, and the server read {read.get(name)}"
        for name in (b"content-length", b"transfer-encoding", b"x-route", b"x-request-id"):
            twins = [field for field, _ in report.fields if hyphenated(field.lower()) == name]
            if len(twins) > 1:
                yield "field", f"more than one {name!r}: {twins}"

    def is_known(self, what, sent, read):
        """Whether the server is known to read it so; counted by the reason."""
        for server, of, reason, holds in REASONS:
            if (self.server, what) == (server, of) and holds(sent, read):
                self.counts[reason] += 1
                return True
        return False

    def logs(self, entries, lines):
        """Compares all that the server has handled with all that the gateway has judged."""
        judged = collections.defaultdict(list)
        for line in lines:
            judged[line["request_id"].encode()].append(line)
        seen = collections.Counter()
        unnamed = 0
        for entry in entries:
            if not entry.id and entry.status != "200":
                unnamed += 1
                continue
            seen[entry.id] += 1
            if len(judged[entry.id]) != 1 or seen[entry.id] > 1:
                self.found("second", f"{entry.case!r} {entry.method!r} {entry.target!r} {entry.id!r} arrived, {len(judged[entry.id])} of it were judged")
                continue
            line = judged[entry.id][0]
            if line["method"].encode() != entry.method or not is_path_of(line["path"], entry.target):
                self.found("judged", f"{line['method']} {line['path']!r}, and the server read {entry.method!r} {entry.target!r}")
            if line.get("reason") in REFUSALS:
                self.found("judged", f"{line['reason']}, and the server read {entry.method!r} {entry.target!r}")
        # What a server could not read has no name in its log. Each is a request that the gateway has forwarded, and of which
        # no other entry is in the log: the server's refusal was given on, or the upload was broken off meanwhile.
        missing = sum(line["status"] >= 400 and line.get("reason") not in REFUSALS and line["request_id"].encode() not in seen for line in lines)
        if unnamed > missing:
            self.found("second", f"{unnamed} requests without a name arrived, and {missing} can be these")

    def found(self, kind, said):
        self.findings.append(Finding(kind, said, None, self.server))


REFUSALS = {"missing_token", "route_denied", "ambiguous_path", "shadowed_path", "no_route", "method_not_allowed", "invalid_framing", "invalid_host"}


def report_of(answer):
    if not answer.body.startswith(b'{"id') or not answer.is_whole:
        return None
    return Report(json.loads(answer.body))


def is_of_upstream(request, hosts):
    """Whether a client of HTTP/1.0 named no host, and the server has its own name from the gateway."""
    return not request.host and len(hosts) == 1 and bool(re.fullmatch(rb"127\.0\.0\.1:\d+", hosts[0]))


def hyphenated(name):
    return re.sub(rb"[^a-z0-9]", b"-", name)


def of_client(request):
    """The fields of a client that a server has to read, by their names."""
    options = {option.strip().lower() for value in request.values(b"connection") for option in value.split(b",")}
    found = collections.defaultdict(list)
    for name, value in request.fields:
        twin = hyphenated(name)
        if REMOVED.fullmatch(twin) or name in options or (twin in ONCE and name not in ONCE):
            continue
        found[name].append(value)
    return found


def as_variables(fields):
    """What becomes of fields as the variables of CGI: those with `_` are left out, and several of a name are joined."""
    return {name: [b",".join(values)] for name, values in fields.items() if b"_" not in name and re.fullmatch(rb"[a-z0-9-]+", name)}


def comparable(server, values):
    if server == "nginx":
        # njs gives a report in UTF-8, and a replacement character for what is none.
        values = [re.sub("\ufffd+", "\ufffd", value.decode("utf-8", "replace")) for value in values]
    return values


def is_path_of(path, target):
    """Whether a path of the access log, which escapes what a terminal acts on, is that of a target."""
    raw = target.split(b"?")[0]
    if len(raw) > 1000 or re.search(rb"[^\x21-\x7e]", raw):
        return True
    return path.encode() == raw or "(a token)" in path


def other_route(report):
    """Whether the server would take the path for one of a stricter route than the gateway did."""
    route = b",".join(report.values(b"x-route"))
    path = report.path.split(b"?")[0]
    segments = [segment for segment in path.split(b"/") if segment]
    first = segments[0].lower() if segments else b""
    host = re.sub(rb"(:\d*)?$", b"", b",".join(report.values(b"host"))).removesuffix(b".").lower()
    if host == b"secret.test" and route != b"secret":
        yield "route", f"the host {host!r} by the route {route!r}"
    if first == b"admin" and route not in (b"admin", b"secret"):
        yield "route", f"{path!r} by the route {route!r}"
    if first == b"internal" and route != b"secret":
        yield "route", f"{path!r} by the route {route!r}"
    if first == b"orders" and len(segments) == 2 and route != b"secret" and report.method not in (b"GET", b"HEAD"):
        yield "route", f"{report.method!r} {path!r} by the route {route!r}"
    # Some servers decode no path; the gateway does.
    first = urllib.parse.unquote_to_bytes(first).lower()
    if route == b"orders" and first != b"orders" or route == b"admin" and first != b"admin" or route == b"loose" and first != b"loose":
        yield "route", f"{path!r} by the route {route!r}"
