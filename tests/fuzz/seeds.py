#!/usr/bin/env python3
"""Writes the first inputs of each fuzz target into a folder, one folder a target.

    tests/fuzz/seeds.py FOLDER

They are made of tests/vectors, and of examples below where no vector has the form of an input. The
corpora in tests/fuzz/corpus began with them: `run.sh --minimise` keeps what adds coverage.
"""

import base64
import json
import pathlib
import struct
import sys
import tomllib

VECTORS = pathlib.Path(__file__).resolve().parent.parent / "vectors"
FOLDER = pathlib.Path(sys.argv[1])
COUNTS = {}
SEEN = {}


def seed(target, content):
    """Writes one input of a target."""
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogateescape")
    if content in SEEN.setdefault(target, set()):
        return
    SEEN[target].add(content)
    folder = FOLDER / target
    folder.mkdir(parents=True, exist_ok=True)
    COUNTS[target] = COUNTS.get(target, 0) + 1
    (folder / f"seed-{COUNTS[target]:03}").write_bytes(content)


def vector(name):
    """Returns the content of a vector."""
    text = (VECTORS / name).read_text()
    return tomllib.loads(text) if name.endswith(".toml") else json.loads(text)


def request_targets():
    for case in vector("paths/spellings.toml")["spellings"]:
        seed("request_target", "1" + case["path"] + "\napi.test")
    for case in vector("paths/targets.toml")["cases"]:
        words = case["line"].split(" ")
        seed("request_target", "1" + (words[1] if len(words) > 1 else "") + "\napi.test")
    for host in ["[::1]:80", "a.b.:", "a,b", "x.y:65536", "*.x", "a@b"]:
        seed("request_target", f"1/a?b=/../c\n{host}")
        seed("request_target", f"2http://{host}/a\n{host}")
        seed("request_target", f"0/a%20b\n{host}\n{host}")


def route_tables():
    for number in range(12):
        seed("route_table", bytes((number * 37 + at * at * 11 + at) % 256 for at in range(40 + 20 * number)))


def tolerant_readings():
    paths = ["/Admin", "/admin/", "/admin%20", "/admin;a/x", "/x%2fadmin", "/5%3F/admin", "/%61dmin.",
             "//admin", "/admin%5cx", "/admin%252fx", "/.../Admin", "/x/ADMIN%23/x", "/%3Fx", "/admin\\x"]
    for number, path in enumerate(paths):
        seed("tolerant_readings", bytes([number, number + 4, number + 9]) + path.encode())


def tokens():
    for lines in [
        ["\x01", "authorization:Bearer a.b.c"],
        ["\x03", "authorization:a.b.c"],
        ["\x04", "x-token:a.b.c", "x_token:d"],
        ["\x08", "cookie:a=b; session=a.b.c; d=e"],
        ["\x08", "cookie:a=b,session=t", "cookie:%73ession=u"],
        ["\x08", "cookie:=session=t; \"session\"=u; $Path=/"],
        ["\x10a=1&access_token=a.b.c;b=2"],
        ["\x10access%5Ftoken=t&access.token=u&access_token[]=v"],
        ["\x1faccess_token=", "authorization:Bearer t", "cookie:session=\"\""],
        ["\x1f", "authorization:Basic dTpw", "authorization:Bearer t"],
    ]:
        seed("token_search", "\n".join(lines))


def signed(value):
    """Returns every compact token in some JSON."""
    if isinstance(value, str):
        return [value] if value.count(".") == 2 and value.startswith("ey") else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [token for item in inner for token in signed(item)]


def jws():
    for name in ["jose/good.json", "jose/refused.json", "jose/made.json"]:
        for token in signed(vector(name))[:60]:
            seed("compact_jws", "t" + token)
            header, claims, _ = token.split(".")
            try:
                parts = [base64.urlsafe_b64decode(part + "===") for part in (header, claims)]
                seed("compact_jws", b"\n".join(parts))
            except ValueError:
                pass
    for name, good in [("header", {"alg": '"RS256"', "kid": '"k"'}), ("claims", {"iss": '"a"', "exp": "1"})]:
        file = "headers" if name == "header" else name
        for case in vector(f"tokens/{file}.toml")["cases"]:
            members = {**good, **{key: str(value) for key, value in case.get(name, {}).items()}}
            text = "{" + ",".join(f'"{key}":{value}' for key, value in members.items() if value) + "}"
            parts = (text, '{"iss":"a","exp":1}') if name == "header" else ('{"alg":"RS256"}', text)
            seed("compact_jws", "\n".join(parts))
    header = '{"alg":"RS256","kid":"k","typ":"at+jwt"}'
    for claims in [
        '{"iss":"a","exp":1}', '{"iss":"a","exp":1.5,"nbf":1e3,"scope":"a b"}',
        '{"iss":"a","exp":-1,"scope":["a","b c"]}', '{"iss":"a","exp":1,"a":{"b":[1,{"c":null}]}}',
        '{"iss":"a","exp":18446744073709551616,"x":1E400}', '{"iss":"a","exp":1,"iss":"b"}',
        '{"iss":"a","exp":1,"cnf":{"x5t#S256":"AAAA"}}', '{"iss":"a","exp":"1"}', '{"iss":"\\u00e9\\ud800","exp":1}',
    ]:
        seed("compact_jws", f"{header}\n{claims}")
    for text in ["Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "undefined", "{}", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln.x.y", "a.b.c"]:
        seed("compact_jws", "t" + text)


def jwk_sets():
    keys = vector("jwks/keys.json")
    for case in keys if isinstance(keys, list) else list(keys.values()):
        jwk = case.get("jwk", case.get("key", case)) if isinstance(case, dict) else case
        seed("jwk_set", json.dumps({"keys": [jwk]}))
    for case in vector("jwks/documents.json"):
        text = case.get("document", case.get("text", case.get("body", ""))) if isinstance(case, dict) else case
        seed("jwk_set", text if isinstance(text, str) else json.dumps(text))
    for uri in ["https://issuer.example.com/keys", "http://127.0.0.1/keys", "https://u@x/", "HTTPS://X:443?a", "unix:/a", "https://[::1]:8443/a#b"]:
        seed("issuer_metadata", json.dumps({"issuer": "https://issuer.example.com/", "jwks_uri": uri}))
    seed("issuer_metadata", json.dumps({"issuer": "https://other.example.com/", "jwks_uri": "https://a/"}))


def configurations():
    for path in sorted((VECTORS / "config").glob("*.toml")) + sorted((VECTORS / "decisions").glob("*.toml")):
        seed("gateway_toml", path.read_bytes())
    for path in sorted((VECTORS / "import").glob("*.toml")):
        seed("gateway_toml", path.read_bytes())


def responses():
    heads = ["HTTP/1.1 200 OK", "HTTP/1.0 200 OK", "HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified",
             "HTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 ",
             "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade"]
    bodies = ["content-length: 5\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
              "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "\r\nhello", "content-length: 5\r\ncontent-length: 05\r\n\r\nhello",
              "connection: close\r\nx-a:\t1 \r\n\r\n", "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
              "content-length: 9999999999999999999\r\n\r\n", "transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n"]
    for number, head in enumerate(heads):
        for body in bodies:
            seed("http1_response", chr(number % 3) + head + "\r\n" + body)


def forwarded():
    for lines in [
        ["0203.0.113.7, 10.0.0.9"], ["0203.0.113.7", "010.0.0.9", "1api.test:8080", "28443", "3https"],
        ["4for=203.0.113.7;proto=https;host=\"a.test\", for=\"[2001:db8::1]:80\";by=10.0.0.1"],
        ["4for=unknown", "0unknown, [2001:db8::1]:80"], ["4for=\"_x\";host=a, for=\"\\\"\""],
        ["0203.0.113.7", "4for=203.0.113.7;proto=http", "3http"], ["0::ffff:203.0.113.7, <x>, 10.1.1.1,,"],
    ]:
        numbers = {"0": 0, "1": 1, "2": 2, "3": 3, "4": 4}
        seed("forwarded_chain", b"\n".join(bytes([numbers[line[0]] + 50]) + line[1:].encode() for line in lines))


def proxy_protocol():
    signature = b"\r\n\r\n\0\r\nQUIT\n"
    for text in ["PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n", "PROXY TCP6 2001:db8::1 ::1 1 65535\r\nGET / HTTP/1.1\r\n",
                 "PROXY UNKNOWN\r\n", "PROXY UNKNOWN a b c\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 01 +1\r\n", "GET / HTTP/1.1\r\n\r\n"]:
        seed("proxy_protocol", text)
    four = bytes([203, 0, 113, 7, 10, 0, 0, 1]) + struct.pack(">HH", 4711, 443)
    seed("proxy_protocol", signature + b"\x21\x11" + struct.pack(">H", 12) + four + b"GET /")
    seed("proxy_protocol", signature + b"\x21\x21" + struct.pack(">H", 39) + bytes(36) + b"\x04\x00\x00")
    for command, family in [(0x20, 0), (0x21, 0), (0x21, 0x31), (0x22, 0x11), (0x21, 0x11), (0x21, 0x13)]:
        seed("proxy_protocol", signature + bytes([command, family]) + struct.pack(">H", 4) + b"abcd")


def origins():
    listed = ["https://app.example.com", "https://*.example.com", "http://*", "https://*.example.com:8443", "https://[::1]:8443"]
    sent = ["https://app.example.com", "https://a.b.example.com", "https://evil.com/.example.com", "null", "http://localhost:3000",
            "https://a_b.example.com:8443", "https://.example.com", "https://[::1]:8443", "https://x@a.example.com"]
    for one in listed:
        for other in sent:
            seed("cors_origin", f"{one}\n{other}")


def rules():
    for lines in [
        ["=x-a: 1", "x-a: 2", "x_a: 3", "x-b: 4"], ["-x-amzn-*", "+x-b: 5", "x-amzn-trace: 1", "x-b: 1", "content-length: 3"],
        ["-x-*", "x-request-id: 1", "x-forwarded-for: 1", "x.a: 2"], ["+set-cookie: a=b", "-server", "server: x", "set-cookie: c"],
        ["=cache-control: no-store", "-etag", "etag: 1", "connection: close", "host: a", "transfer-encoding: chunked"],
    ]:
        seed("header_rules", "\n".join(lines))
    values = ["plain", "a/../b", "\r\nx: y", "%0d%0a", "a?b#c", "\"><script>", "${claim:x}", "é", "..", "", "a&b=c", "a;b,c", "x@y:80", "\\"]
    templates = ["/v1/${claim:sub}/x", "https://a.test/{id}?q=${query:q}", "sid=${claim:sub}; Path=/", "${header:x-a}", "{\"a\": \"${claim:a}\"}",
                 "<https://a.test/${claim:a}>; rel=next", "<p title='${query:q}'>", "a=${query:a b}&b=${claim:b}", "${header:host}", "https://${header:host}/{id}"]
    for number, template in enumerate(templates):
        for value in values[number % 2::2]:
            seed("template_values", f"{template}\n{value}")
    rewrites = ["/v2/{id}/{rest+}", "/{id}", "/v2/${claim:sub}", "/v2/u-${query:a}/{rest+}?a=${claim:b}&c=d", "/a/${header:x}?q={id}", "/x", "/a%20b/{id}", "/{rest+}"]
    for number, text in enumerate(rewrites):
        for value in values[number % 3::3]:
            seed("rewrite", f"{text}\n42\na/b%20c\n{value}")


def frames(payload, masked, opcode=0x82):
    head = bytes([opcode])
    bit = 0x80 if masked else 0
    length = len(payload)
    head += bytes([bit | length]) if length < 126 else bytes([bit | 126]) + struct.pack(">H", length)
    return head + (b"mask" if masked else b"") + payload


def websockets():
    seed("websocket_frames", b"\0\0\0\0" + frames(b"hello", True) + frames(b"", False) + frames(b"\x03\xe8", True, 0x88))
    seed("websocket_frames", b"\3\1\7\0" + frames(bytes(200), False) + frames(b"x" * 125, True))
    seed("websocket_frames", b"\5\5\5\5" + b"\x82\x7f" + struct.pack(">Q", 3) + b"abc" + b"\x82\xff" + b"\xff" * 12)


def h2(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def http2():
    def head(path, method="GET", more=()):
        fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "api.test"), *more]
        return b"".join(literal(name, value) for name, value in fields)

    settings, ack = h2(4, 0, 0), h2(4, 1, 0)
    get = h2(1, 5, 1, head("/own"))
    for rest in [
        get, get + h2(1, 5, 3, head("/closed")) + h2(1, 5, 5, head("/x")),
        h2(1, 4, 1, head("/own", "POST")) + h2(0, 1, 1, b"hello"),
        h2(1, 4, 1, head("/x", "POST", [("content-length", "5")])) + h2(0, 0, 1, b"he") + h2(3, 0, 1, b"\0\0\0\x08"),
        h2(1, 1, 1, head("/own")[:20]) + h2(9, 4, 1, head("/own")[20:]),
        h2(1, 4, 1, head("/own", "POST")) + h2(1, 5, 1, literal("x-sum", "1")),
        h2(6, 0, 0, b"12345678") + get + h2(8, 0, 0, b"\0\0\0\1") + h2(8, 0, 1, b"\x7f\xff\xff\xff"),
        h2(4, 0, 0, struct.pack(">HI", 4, 0) + struct.pack(">HI", 5, 16384)) + get,
        h2(7, 0, 0, bytes(8)), h2(2, 0, 1, bytes(5)) + get, h2(0x10, 0, 0, b"u=1"), h2(5, 4, 1, bytes(4)),
        h2(1, 5, 1, head("/own", more=[("connection", "close")])), h2(1, 4, 1, head("/x", "CONNECT", [(":protocol", "websocket")])),
        h2(1, 5, 1, head("/a/../b", more=[("te", "trailers"), ("cookie", "a=b")])), h2(1, 5, 2, head("/own")),
        h2(1, 0xd, 1, b"\2" + head("/own") + b"\0\0"), h2(1, 0x25, 1, bytes(5) + head("/own")),
    ]:
        seed("http2_frames", settings + ack + rest)
    for case in vector("wire/http2.json"):
        fields = b"".join(literal(name, value) for name, value in case["fields"] if len(name.encode()) < 127 and len(value.encode()) < 127)
        seed("http2_frames", settings + h2(1, 5, 1, fields))
    for name in ["wire/attacks.json", "wire/requests.json"]:
        for case in vector(name):
            if isinstance(case.get("send"), str) and len(case["send"]) < 2048:
                seed("http1_requests", case["send"].encode("latin-1", "replace"))


def answers():
    for payload in [
        '{"statusCode":200,"body":"hello"}', '{"statusCode":"201","headers":{"X-A":"b","x-n":1,"x-b":true},"body":null}',
        '{"statusCode":200,"multiValueHeaders":{"Set-Cookie":["a=b","c=d"]},"headers":{"set-cookie":"a=b"}}',
        '{"statusCode":204,"cookies":["a=b; Path=/","c=d"]}', '{"isBase64Encoded":true,"body":"aGVsbG8=","statusCode":200}',
        '{"errorMessage":"x","errorType":"Error","stackTrace":[]}', '"text"', "[1,2]", "null", " 12 ", '{"a":1}',
        '{"statusCode":600}', '{"statusCode":200,"statusCode":201}', '{"statusCode":200,"headers":{"a b":"c"}}',
        '{"statusCode":200,"headers":{"a":"b\\r\\nc: d"}}', '{"statusCode":304,"body":"x"}', '{"statusCode":200,"headers":{"A":"1","a":"2"}}',
    ]:
        for bits in "\0\2":
            seed("lambda_answer", bits + payload)
    seed("lambda_answer", '\1{"errorMessage":"x"}')


def documents():
    for path in sorted((VECTORS / "import").iterdir()):
        if path.suffix in (".json", ".yaml", ".yml") and not path.name.startswith("refused"):
            seed("import_document", path.read_bytes())
    for path in sorted((VECTORS / "import").glob("refused-*")):
        if path.suffix in (".json", ".yaml", ".tf"):
            seed("import_document", path.read_bytes()[:2048])


def forms():
    for text in ["a+b%20c", "%2B%2b%25%32%35", "%", "%4", "%zz%4g", "+%+1%-1", "%ff%c3%a4", "plain", "%%41"]:
        seed("form_text", text)


for make in [request_targets, route_tables, tolerant_readings, tokens, jws, jwk_sets, configurations, responses, forwarded,
             proxy_protocol, origins, rules, websockets, http2, answers, documents, forms]:
    make()
for target, count in sorted(COUNTS.items()):
    print(f"{target}: {count}")
