"""Makes requests of HTTP/1.1, most of them with abuses, from a seed: each case is a list of pieces, which the minimiser takes apart.

The case of a seed and a number is always the same. Each request has the field `X-Case` with the name of its case and its
place in it, so that what arrives anywhere can be told apart; the last request is a plain one, which tells whether the reader
is still in step.
"""

import random

CRLF = b"\r\n"
PATHS = [b"/open/a", b"/open/a/b", b"/orders/7", b"/admin/x", b"/admin", b"/loose/a/b", b"/loose/x", b"/internal/x", b"/", b"/next"]
METHODS = [b"GET"] * 5 + [b"POST"] * 4 + [b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"HEAD"]

ODD_METHODS = [
    b"CONNECT", b"TRACE", b"get", b"GET\0", b"G{T", b"PRI", b"PROPFIND", b"QUERY", b"M-SEARCH", b"A" * 40, b"", b"\tGET", b"GET\t", b"GE\xffT",
    b"POST GET", b"'GET'", b"G!#$%&'*+-.^_`|~T",
]
ODD_VERSIONS = [
    b"HTTP/1.0", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b"HTTP/01.1", b"HTTP/1.1\t", b"HTTP/1,1", b"HTTP/0.9", b"",
    b"HTTP/1.1x", b"ICY/1.1", b"HTTP /1.1",
]
# What is put into a path, before or after a slash or inside of a segment.
INSIDE = [
    b"/.", b"/..", b"/./", b"/../", b"/../admin/x", b"/%2e%2e/admin/x", b"/.%2e/admin/x", b"%2f", b"%2F..%2Fadmin", b"/..%2fadmin", b"%5c",
    b"%5C..%5Cadmin", b"\\", b"\\..\\admin\\x", b"//", b"//admin/x", b"///", b";", b";x=1", b"/..;/admin/x", b"/;/../admin", b"/.;a/", b"%3b", b"%00",
    b"%00/admin", b"%0d%0aX-A:%20b", b"%0a", b"%09", b"%7f", b"%23", b"%3f", b"%3F/../admin", b"#", b"#/../admin/x", b"#?x", b"?", b"??", b"?a=b",
    b"?a=/../admin", b"?a=%2e%2e", b"?a#b", b"%25", b"%252e%252e", b"%252f", b"%25%32%65", b"%c0%ae%c0%ae/", b"%c0%af", b"%e0%80%af", b"%u002e", b"%",
    b"%zz", b"%2", b"%e2%80%8b", b"%ef%bb%bf", b"%c3%a9", b"\xc3\xa9", b"\xff", b'"', b"<", b">", b"{", b"}", b"|", b"^", b"`", b"\t", b" ", b"%20",
    b"@", b":", b":80", b"*", b"+", b"~", b"!", b"$", b"&", b"'", b"(", b",", b"=", b"[", b"]", b".", b"...", b"%2e", b"%41", b"\0", b"\x0b", b"\x0c",
    b"\x7f", b"\x80", b"%ff", b"%80",
]
WHOLE_TARGETS = [
    b"http://api.test/open/a", b"http://secret.test/open/a", b"HTTP://api.test/open/a", b"https://api.test/open/a", b"http:/open/a", b"http:open/a",
    b"http://api.test", b"http://api.test?x=1", b"http://u@api.test/open/a", b"http://u:p@secret.test/a", b"http://api.test:80/open/a",
    b"http://api.test:8080/open/a", b"http://api.test:/open/a", b"//secret.test/open/a", b"//admin/x", b"api.test:80", b"api.test", b"*", b"*/a",
    b"open/a", b"admin/x", b"ftp://api.test/open/a", b"http://[::1]/open/a", b"http://api.test#/admin/x", b"http://api.test\\@secret.test/a",
    b"http:///open/a", b"http://api.test/../admin/x", b"http://api.test//admin/x", b"http://secret.test%2f@api.test/a", b"", b"/ADMIN/x", b"/Admin/x",
    b"/admin./x", b"/admin%20/x", b"/%61dmin/x", b"/adm%69n", b"/admin/", b"/admin;a/x", b"/admin%3fx", b"/internal", b"/INTERNAL/x", b"/internal/",
    b"/%69nternal/x", b"?", b"?x=1", b"#", b"/#", b"/?", b"/orders/%37", b"/orders/7/", b"/orders/a%2fb", b"/loose/a%2fb", b"/loose/a%5cb",
    b"/loose/a\\b", b"/loose//b", b"/loose/a;b=c", b"/loose/a;b/../c", b"/loose/%252e%252e/admin", b"/loose//admin/x", b"/loose/%2fadmin",
    b"/loose/..;/admin", b"/loose/a%2f..%2f..%2fadmin", b"/open/" + b"a" * 3000,
]
ODD_HOSTS = [
    b"secret.test", b"SECRET.test", b"secret.test:80", b"api.test:80", b"api.test:8080", b"api.test.", b"API.TEST", b"api.test, secret.test",
    b"api.test secret.test", b"u@secret.test", b"api.test@secret.test", b"[::1]", b"[::1", b"[::1]:80", b"", b"api.test:", b"api.test:99999", b"api.test:x",
    b"api.test/x", b"api.test/../secret.test", b"api.test?x", b"api.test#x", b"api.test\\x", b"api_x.test", b"api.test\t", b"\tapi.test", b"api\0.test",
    b"\xc3\xa9.test", b"xn--9ca.test", b"127.0.0.1", b"0x7f.1", b"a%2eb.test", b"*.test", b"-", b".", b"..", b"api..test", b"a,b", b"api.test;x",
]
FIELDS = [
    b"X-A: b", b"X-A:b", b"X-A: b c", b"Accept: */*", b"Cookie: a=1; b=2", b"User-Agent: x", b"X-E:", b"X-Tab:\tb\t", b"X-Hi: \xff\xe9", b"x-u: \xc3\xa9",
    b"Accept-Encoding: gzip", b"Range: bytes=0-1", b"If-None-Match: *", b"Referer: http://a.test/", b"Content-Type: text/plain", b"X-Q: \"a, b\"",
]
ODD_FIELDS = [
    b"X-Route: admin", b"X_Route: admin", b"X.Route: admin", b"x-ROUTE: admin", b"X-Request-Id: client-CASE", b"X-Request-Id: a b", b"X_Request_Id: 1",
    b"X-Forwarded-For: 192.0.2.1", b"X_Forwarded_For: 192.0.2.1", b"X-Forwarded-Host: secret.test", b"Forwarded: for=192.0.2.1", b"X-Original-URL: /admin/x",
    b"X-Rewrite-URL: /admin/x", b"X-HTTP-Method-Override: DELETE", b"Content_Length: 5", b"Content-Length_: 5", b"Transfer_Encoding: chunked",
    b"Content.Length: 5", b"Content-Length : 5", b"Content-Length\t: 5", b"Content-Length\0: 5", b" Content-Length: 5", b"X : y", b"X\t: y", b": y", b"X",
    b"", b"X\0: y", b"X(: y", b"\"X\": y", b"X\xff: y", b"X Y: z", b"X-A: \0", b"X-A: a\0b", b"X-A: \x01", b"X-A: \x7f", b"X-A: a\rb", b"X-A: a\r", b"X-A: a\nX-B: c",
    b"X-A: a\r\n folded", b"X-A: a\r\n\tfolded", b"X-A: a\n folded", b"X-A:\r\n b", b"X-A: " + b"v" * 5000, b"X-A: 1\r\nX-A: 2", b"X-A: 1\r\nx-a: 2",
    b"Cookie: a=1\r\nCookie: b=2", b"Cookie: a=1;;b", b"Cookie: a=\"1;2\"", b"Cookie: =", b"Cookie:", b"Cookie: a=\xff", b"Connection: close",
    b"Connection: keep-alive", b"Connection: X-A", b"Connection: X-Request-Id, X-Route", b"Connection: close, X-A", b"Connection: host",
    b"Connection: content-length", b"Connection: transfer-encoding", b"Connection: cookie", b"Connection: authorization", b"Connection: ,", b"Connection:",
    b"Connection: close\r\nConnection: keep-alive", b"Connection: \"close\"", b"Connection: clo\0se", b"Proxy-Connection: close", b"Keep-Alive: timeout=1",
    b"TE: trailers", b"TE: chunked", b"Connection: TE\r\nTE: trailers", b"Trailer: X-T", b"Trailer: Content-Length", b"Trailer: X-Route",
    b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13",
    b"Connection: upgrade\r\nUpgrade: x", b"Upgrade: websocket", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    b"Expect: 100-continue", b"Expect: 100-Continue", b"Expect: 100-continue, x", b"Expect: x", b"Expect:", b"Expect: 100-continue\r\nExpect: 100-continue",
    b"Max-Forwards: 0", b"Via: 1.1 x", b"Origin: http://a.test", b"Origin: http://a.test\r\nAccess-Control-Request-Method: GET", b"Host: secret.test",
    b"Host:", b"Host : secret.test", b"host: api.test", b"Authorization: Basic YTpi", b"Authorization: Bearer x", b"Content-Encoding: gzip",
    b"Proxy: http://a.test", b"HTTP2-Settings: AAAA", b"X-HTTP-Method: PUT", b"Sec-WebSocket-Key: x", b"Content-Length;: 5", b"Transfer-Encoding\x0b: chunked",
]
TOKEN = b"Authorization: Bearer TOKEN"
ODD_LENGTHS = [
    b"+N", b"-N", b"0xN", b"N ", b"N,N", b"N, N", b"N, 6", b"00N", b"N.0", b"Ne0", b"", b"\tN", b"\x0bN", b"N\x0b", b"N N", b"18446744073709551621", b"N\0",
    b"\"N\"", b"N;x", b"N_", b"9223372036854775808", b"\xc2\xb2", b"N\r\nContent-Length: N", b"N\r\nContent-Length: 0", b"0\r\nContent-Length: N",
    b"N\r\ncontent-length: 6", b"-0", b"_N", b"N\r\n ", b"\r\n N",
]
ODD_CODINGS = [
    b"Chunked", b"CHUNKED", b"chunked, chunked", b"gzip, chunked", b"identity", b"chunked, identity", b"\tchunked", b"\x0bchunked", b"\x0cchunked", b"xchunked",
    b"chunked;q=1", b"chunked ;", b"chunk", b"\"chunked\"", b"chunked\0", b"chunked,", b", chunked", b",chunked,", b"chunked\r\nTransfer-Encoding: chunked",
    b"identity\r\nTransfer-Encoding: chunked", b"chunked\r\nTransfer-Encoding: identity", b"\r\n chunked", b"chunked\r\n ", b"chunked\t", b"'chunked'", b"",
    b"deflate", b"chu\xc5\xbfnked", b"chunked\x7f", b"\xa0chunked", b"chunked x", b"cow", b"trailers",
]
ODD_CODING_NAMES = [b"Transfer-Encoding :", b"Transfer-Encoding\t:", b" Transfer-Encoding:", b"Transfer_Encoding:", b"Transfer-Encoding\0:", b"Transfer-Encodin:",
    b"transfer-encoding:", b"TRANSFER-ENCODING:", b"X-A: b\nTransfer-Encoding:", b"X-A: b\rTransfer-Encoding:", b"Transfer Encoding:", b"TE:", b"Transfer-Encoding",
    b"Transfer.Encoding:", b"\x0bTransfer-Encoding:"]
# SIZE is the number of bytes of the chunk in hexadecimal.
ODD_SIZES = [
    b"0SIZE", b"0000000SIZE", b"SIZE ", b"SIZE\t", b" SIZE", b"SIZE;x", b"SIZE;x=y", b"SIZE ; x", b"SIZE;x=\"a\r\nb\"", b"SIZE;x=\"a\"", b"SIZE;\nGET", b"SIZE;\rx", b"SIZE;\0",
    b"SIZE;\xff", b"0xSIZE", b"+SIZE", b"-SIZE", b"SIZE\r", b"SIZE_", b"SIZE x", b"SIZE,", b"1000000000000000SIZE", b"f" * 16, b"f" * 17, b"", b"g", b"SIZE\0",
    b"SIZE;" + b"x" * 200, b"00000000000000000000SIZE", b"SIZE\n\n", b"SIZE \n", b"\nSIZE",
]
ODD_ENDS = [b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\r\n\r\n", b"", b" \r\n", b"\x0b\r\n", b"\r\n ", b"\0\r\n", b"\xc2\x85", b"x\r\n"]
TRAILERS = [
    b"X-T: 1\r\n", b"X-T: 1\r\nX-U: 2\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: secret.test\r\n", b"X-Route: admin\r\n", b"X-T: 1\n",
    b"X-T: 1\r\n folded\r\n", b"X-T\r\n", b"X T: 1\r\n", b"X-T: \0\r\n", b": 1\r\n", b"X-T: a\rb\r\n", b"X_Route: admin\r\n", b"Authorization: Bearer x\r\n", b"\n", b"\r\r\n",
    b"GET /admin/x HTTP/1.1\r\n", b"Cookie: a=1\r\n", b"X-Request-Id: other\r\n",
]
PREFIXES = [b"\r\n", b"\n", b"\r\n\r\n", b" ", b"\t", b"\r", b"\0", b"x\r\n", b"\n\n\n"]
STEPS = ["target"] * 6 + ["whole target"] * 3 + ["method", "version", "host", "host"] + ["field"] * 7 + ["framing"] * 7 + ["end"] * 2 + ["prefix", "body", "token"]


class Case:
    def __init__(self, seed, number):
        self.seed, self.number = seed, number
        self.name = b"%d-%d" % (seed, number)
        self.chance = random.Random(f"{seed}/{number}")
        self.pieces = self._pieces()

    def _pieces(self):
        chance, pieces = self.chance, []
        for place in range(chance.choices([1, 2, 3], [6, 3, 1])[0]):
            pieces += Request(chance, self.name + b".%d" % place).pieces()
        pieces += plain(self.name + b".9")
        return [piece for piece in pieces if piece]


def plain(name):
    """A request without abuses."""
    return [b"GET", b" ", b"/next", b" ", b"HTTP/1.1", CRLF, b"X-Case: " + name + CRLF, b"Host: api.test" + CRLF, CRLF]


class Request:
    """A request that is drawn: first a plain one, then some steps away from it."""

    def __init__(self, chance, name):
        self.chance, self.name = chance, name
        self.prefix, self.method, self.version = b"", chance.choice(METHODS), b"HTTP/1.1"
        self.target = [chance.choice(PATHS)]
        if chance.random() < 0.2:
            self.target.append(chance.choice([b"?", b"?a=1", b"?a=1&b=2", b"?a=%20b"]))
        self.hosts = [b"api.test"]
        self.fields = [chance.choice(FIELDS) for _ in range(chance.choice([0, 0, 1, 1, 2]))]
        self.length, self.coding, self.coding_name = None, None, b"Transfer-Encoding:"
        self.odd_chunks = 0
        framing = chance.choice(["none", "length", "chunked"]) if self.method in (b"POST", b"PUT", b"PATCH") else "none"
        self.frame(framing)
        self.odd_ends = 0
        for _ in range(chance.choices([0, 1, 2, 3], [20, 45, 25, 10])[0]):
            self.step(chance.choice(STEPS))

    def frame(self, framing):
        if framing == "length":
            self.length = b"N"
        if framing in ("chunked", "both"):
            self.coding = b"chunked"
        if framing == "both":
            self.length = self.chance.choice([b"N", b"5", b"0"])

    def step(self, step):
        chance = self.chance
        if step == "target":
            at = chance.randrange(len(self.target[0]) + 1)
            self.target[:1] = [self.target[0][:at], chance.choice(INSIDE), self.target[0][at:]]
        elif step == "whole target":
            self.target = [chance.choice(WHOLE_TARGETS)]
        elif step == "method":
            self.method = chance.choice(ODD_METHODS)
        elif step == "version":
            self.version = chance.choice(ODD_VERSIONS)
        elif step == "host":
            self.hosts = chance.choice([[], [b"api.test", b"secret.test"], [b"api.test"] * 2, [chance.choice(ODD_HOSTS)], [chance.choice(ODD_HOSTS)]])
        elif step == "field":
            field = chance.choice(ODD_FIELDS).replace(b"CASE", self.name)
            self.fields.insert(chance.randrange(len(self.fields) + 1), field)
        elif step == "token":
            self.fields.append(TOKEN)
        elif step == "end":
            self.odd_ends += 1
        elif step == "prefix":
            self.prefix = chance.choice(PREFIXES)
        else:
            self.odd_framing(step)

    def odd_framing(self, step):
        chance = self.chance
        if self.length is None and self.coding is None or step == "body":
            self.frame(chance.choice(["length", "chunked", "chunked", "both"]))
        kind = chance.choice(["length", "coding", "name", "chunks", "chunks", "chunks"])
        if kind == "length" or self.coding is None:
            self.length = chance.choice(ODD_LENGTHS)
        elif kind == "coding":
            self.coding = chance.choice(ODD_CODINGS)
        elif kind == "name":
            self.coding_name = chance.choice(ODD_CODING_NAMES)
        else:
            self.odd_chunks += chance.choice([1, 1, 2])

    def pieces(self):
        chance = self.chance
        body = self.body()
        head = [self.method, b" ", *self.target, b" ", self.version, CRLF]
        lines = [b"X-Case: " + self.name] + [b"Host: " + host for host in self.hosts] + self.fields
        framing = []
        if self.length is not None:
            length = len(b"".join(body)) if self.coding is None or chance.random() < 0.5 else chance.choice([0, 4, 5])
            framing.append(b"Content-Length: " + self.length.replace(b"N", b"%d" % length))
        if self.coding is not None:
            framing.append(self.coding_name + b" " * (self.coding != b"") + self.coding)
        chance.shuffle(framing)
        at = chance.randrange(1, len(lines) + 1)
        lines[at:at] = framing
        ends = [CRLF] * (len(lines) + 1)
        for _ in range(self.odd_ends):
            ends[chance.randrange(1, len(ends))] = chance.choice(ODD_ENDS)
        for line, end in zip(lines, ends):
            head += [line, end]
        return [self.prefix, *head, ends[-1], *body]

    def body(self):
        chance = self.chance
        if self.coding is None and self.length is None:
            return []
        data = chance.choice([b"hello", b"", b"a" * 10, self.smuggled(), b"0\r\n\r\n" + self.smuggled(), b"\r\n", b"x=1&y=2", b"\0\xff\r\n\r\n"])
        if self.coding is None:
            return [data]
        return self.chunks(data)

    def smuggled(self):
        line = self.chance.choice([b"GET /admin/x", b"GET /open/smuggled", b"DELETE /internal/x"])
        return line + b" HTTP/1.1\r\nX-Case: " + self.name + b"s\r\nHost: api.test\r\n\r\n"

    def chunks(self, data):
        chance = self.chance
        cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice([0, 0, 1, 2])))
        parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]
        chunks = [[self.size(part), CRLF, part, CRLF] for part in parts if part]
        chunks.append([b"0", CRLF, b"", CRLF])
        if chance.random() < 0.1:
            chunks[-1][2] = chance.choice([b"X-T: 1\r\n", b"X-T: 1\r\nX-U: 2\r\n"])
        for _ in range(self.odd_chunks):
            self.odd_chunk(chunks)
        return [piece for chunk in chunks for piece in chunk]

    def size(self, part):
        return self.chance.choice([b"%x", b"%X"]) % len(part)

    def odd_chunk(self, chunks):
        chance = self.chance
        chunk = chance.choice(chunks)
        kind = chance.choice(["size", "size", "end", "data end", "trailers", "cut", "more"])
        if kind == "size":
            chunk[0] = chance.choice(ODD_SIZES).replace(b"SIZE", chunk[0])
        elif kind == "end":
            chunk[1] = chance.choice(ODD_ENDS)
        elif kind == "data end":
            chunk[3] = chance.choice(ODD_ENDS)
        elif kind == "trailers":
            chunks[-1][2] = chance.choice(TRAILERS)
        elif kind == "cut":
            chunk[chance.randrange(4)] = b""
        else:
            chunk[2] += chance.choice([b"x", b"\r\n", b"0\r\n\r\n", b"\n"])
