"""Sends generated requests through a gateway to real servers, and compares what each of the three has read.

    main.py SCOPEGATE [--seed N] [--cases N] [--answers N] [--only N] [--server NAME] [--minimise] [--sloppy]

A case is one connection with a few requests to one of the servers in turn, and then, for `--answers`, one with the answer of
an upstream. The same seed and number make the same case. Started by differential.sh. Exits with 1 if anything differs, or if nothing was forwarded.
"""

import argparse
import asyncio
import base64
import collections
import contextlib
import json
import pathlib
import secrets
import subprocess
import sys
import tempfile
import time

import answers
import grammar
import shrink
from judge import REASONS, Judge
from servers import NAMES, Process, Report, Server, free_port

HERE = pathlib.Path(__file__).parent
ROUND = 20_000  # cases, after which servers and gateways start anew: their logs are read at their end
AT_ONCE = 12  # connections to each gateway
DEADLINE = 20  # seconds for one case
LEAST, LEAST_ANSWERS = 0.3, 0.2  # of the requests and answers, which have to pass


class Client(asyncio.Protocol):
    """Sends the bytes of a case, closes its side, and keeps what it hears to the end of the connection."""

    def __init__(self, data):
        self.data, self.heard = data, []
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.data)
        # The gateway may have refused the beginning already, and be gone.
        with contextlib.suppress(OSError):
            transport.write_eof()

    def data_received(self, data):
        self.heard.append(data)

    def eof_received(self):
        self.transport.close()

    def connection_lost(self, error):
        if not self.ended.done():
            self.ended.set_result(None)


async def exchange(port, data):
    """What a client hears; `None` if the connection does not end in time."""
    _, client = await asyncio.get_running_loop().create_connection(lambda: Client(data), "127.0.0.1", port)
    try:
        await asyncio.wait_for(client.ended, DEADLINE)
    except TimeoutError:
        client.transport.abort()
        return None
    return b"".join(client.heard)


class Pair:
    """A server and a gateway in front of it, or the relay that forwards without reading."""

    def __init__(self, name, folder, key, scopegate):
        self.server = Server(name, folder)
        self.server.start()
        self.port, self.output = free_port(), folder / f"{name}.gateway"
        self.is_sloppy = scopegate is None
        if self.is_sloppy:
            command = [sys.executable, HERE / "sloppy.py", self.port, self.server.port]
        else:
            said = {"@PORT@": self.port, "@UPSTREAM@": self.server.port, "@KEY@": key.public}
            command = [scopegate, "run", "--config", filled("gateway.toml", said, folder / f"{name}.toml")]
        self.gateway = Process("gateway", command, self.output)
        self.gateway.wait_for(self.port)
        self.judge = Judge(name)

    async def run(self, case, key):
        data = shrink.bytes_of(case.pieces, key)
        heard = await exchange(self.port, data)
        if heard is None:
            return self.judge.found("hung", f"case {case.name.decode()} was not answered in {DEADLINE} s")
        return self.judge.case(case, data, heard)

    def sender(self, key):
        """Sends the pieces of a case, and returns what is found, without a record of it."""

        async def send(pieces):
            data = shrink.bytes_of(pieces, key)
            heard = await exchange(self.port, data)
            return [("hung", "")] if heard is None else list(Judge(self.server.name).of_case(None, data, heard))

        return send

    def end(self):
        self.gateway.end()
        self.server.process.end()
        if not self.is_sloppy:
            lines = [json.loads(line) for line in self.output.read_text().splitlines()]
            self.judge.logs(self.server.logged(), lines)


def filled(file, said, made):
    """A copy of a file of configuration, with the values of this run."""
    text = (HERE / file).read_text()
    for name, value in said.items():
        text = text.replace(name, str(value))
    made.write_text(text)
    return made


class Key:
    """The key of the issuer, and a token for everything."""

    def __init__(self, folder):
        made = folder / "key.pem"
        self.openssl("genpkey", "-algorithm", "ed25519", "-out", made)
        self.public = base64url(self.openssl("pkey", "-in", made, "-pubout", "-outform", "DER")[-32:])
        now = int(time.time())
        claims = {"iss": "https://idp.test", "aud": "api", "sub": "1", "client_id": "app", "iat": now, "exp": now + 604_800, "scope": "admin"}
        message = ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": "EdDSA", "typ": "at+jwt", "kid": "1"}, claims))
        (folder / "message").write_text(message)
        signature = self.openssl("pkeyutl", "-sign", "-inkey", made, "-rawin", "-in", folder / "message")
        self.token = f"{message}.{base64url(signature)}".encode()

    @staticmethod
    def openssl(*arguments):
        return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=DEADLINE).stdout


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def send_all(pairs, cases, key):
    """Sends each case to one server, all servers at the same time."""
    queues = [cases[place :: len(pairs)] for place in range(len(pairs))]

    async def work(pair, queue):
        while queue:
            await pair.run(queue.pop(), key)

    await asyncio.gather(*(work(pair, queue) for pair, queue in zip(pairs, queues) for _ in range(AT_ONCE)))


def one_round(options, numbers):
    with tempfile.TemporaryDirectory(prefix="differential-") as name:
        folder = pathlib.Path(name)
        key = Key(folder)
        pairs = []
        try:
            for server in options.servers:
                pairs.append(Pair(server, folder, key, options.scopegate))
            cases = [grammar.Case(options.seed, number) for number in numbers]
            asyncio.run(send_all(pairs, cases, key))
            if options.minimise:
                asyncio.run(shrink.all_of(pairs, key))
        finally:
            for pair in pairs:
                pair.end()
    return [pair.judge for pair in pairs]


def round_of_answers(options, numbers):
    """Sends cases of answers; returns what was found, and the number of answers that clients got."""
    with tempfile.TemporaryDirectory(prefix="differential-") as name:
        folder, port, upstream = pathlib.Path(name), free_port(), free_port()
        config = filled("answers.toml", {"@PORT@": port, "@UPSTREAM@": upstream}, folder / "answers.toml")
        gateway = Process("gateway", [options.scopegate, "run", "--config", config], folder / "gateway")
        try:
            gateway.wait_for(port)
            cases = [answers.AnswerCase(options.seed, number) for number in numbers]
            findings, given, served = asyncio.run(answers.run(cases, upstream, exchange, port))
            if options.minimise:
                asyncio.run(shrink.answers_of(findings, served, upstream, port, exchange))
        finally:
            gateway.end()
        return findings, given


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scopegate", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--answers", type=int, default=None)
    parser.add_argument("--only", type=int)
    parser.add_argument("--server", action="append", choices=NAMES, dest="servers")
    parser.add_argument("--minimise", action="store_true")
    parser.add_argument("--sloppy", action="store_true")
    options = parser.parse_args()
    options.servers = options.servers or NAMES
    if options.sloppy:
        options.scopegate = None
    if options.seed is None:
        options.seed = secrets.randbelow(10**9)
    print(f"seed {options.seed}", flush=True)
    if options.answers is None:
        options.answers = 0 if options.only is not None else options.cases // 2
    numbers = [options.only] * len(options.servers) if options.only is not None else range(options.cases)
    counts, findings, started = collections.defaultdict(collections.Counter), [], time.monotonic()
    for start in range(0, len(numbers), ROUND):
        for judge in one_round(options, numbers[start : start + ROUND]):
            counts[judge.server] += judge.counts
            findings += judge.findings
    if options.sloppy:
        return self_test(options, findings)
    given = 0
    for start in range(0, options.answers, ROUND):
        found, count = round_of_answers(options, range(start, min(start + ROUND, options.answers)))
        findings += found
        given += count
    report(options, counts, given, findings, time.monotonic() - started)


def self_test(options, findings):
    """Exits with 1 if the relay that forwards bytes was not found out, or a request that arrives twice."""
    kinds = {finding.kind for finding in findings}
    if missing := {"forwarded", "route", "target", "host", "field", "answer"} - kinds:
        sys.exit(f"FAILED: the relay that reads nothing shows no difference of {missing}")
    said = {"id": "1", "case": "a.0", "method": "GET", "target": "/next"}
    line = {"request_id": "1", "method": "GET", "path": "/next", "status": 200}
    other = said | {"id": "2"}
    wrong = {
        "second": ([said, said], [line]),
        "unknown": ([other], [line]),
        "another path": ([said | {"target": "/admin"}], [line]),
        "a refused one": ([said], [line | {"status": 401, "reason": "missing_token"}]),
        "without a name": ([said, {"status": "400"}], [line]),
    }
    for what, (entries, lines) in wrong.items():
        judge = Judge("node")
        judge.logs([Report(entry) for entry in entries], lines)
        if len(judge.findings) != 1:
            sys.exit(f"FAILED: {what} shows no difference: {judge.findings}")
    judge = Judge("node")
    judge.logs([Report(said)], [line])
    if judge.findings:
        sys.exit(f"FAILED: a request that was judged and read differs: {judge.findings}")
    print(f"the relay was found out: {len(findings)} differences in {options.cases} cases")


def report(options, counts, given, findings, took):
    columns = ["requests", "forwarded", "refused", "other answers"]
    print(f"{'':<10}" + "".join(f"{column:>15}" for column in columns) + "  version")
    for server, count in counts.items():
        print(f"{server:<10}" + "".join(f"{count[column]:>15}" for column in columns) + "  " + Server(server, pathlib.Path("/")).version())
    known = sum((count for count in counts.values()), collections.Counter())
    for _, _, reason, _ in REASONS:
        print(f"known: {known[reason]}: {reason}")
    for finding in findings[:50]:
        print(finding)
    kinds = collections.Counter(finding.kind for finding in findings)
    print(f"{given} of {options.answers} answers were given on")
    print(f"{options.cases} cases and {options.answers} answers in {took:.0f} s; found: {len(findings)} {dict(kinds)}")
    # A gateway that refuses everything would show no difference.
    if options.cases >= 1000 and any(count["forwarded"] < LEAST * count["requests"] for count in counts.values()):
        sys.exit("FAILED: too few requests were forwarded")
    if given < LEAST_ANSWERS * options.answers:
        sys.exit("FAILED: too few answers were given on")
    if findings:
        sys.exit(f"FAILED: found: {len(findings)}")


if __name__ == "__main__":
    main()
