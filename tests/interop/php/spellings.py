"""Spells the fields that PHP takes for the gateway's, with and without the gateway in between.

    spellings.py GATEWAY LIGHTTPD CLI TOKEN         three ports on this machine, and a token without a tenant
"""

import itertools
import json
import socket
import sys
import time

SEPARATORS = "!#$%&'*+-.^_`|~"
SPOOFED = "spoofed by a client"
NAMES = """
X-Auth-Subject X-Auth-Tenant X-Auth-Number X-Auth-Groups Forwarded X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto
X-Forwarded-Port X-Forwarded-Prefix X-Forwarded-User X-Real-IP X-Request-Id X-Original-URL X-Original-URI X-Rewrite-URL
X-Rewrite-Uri X-HTTP-Method X-HTTP-Method-Override X-Method-Override X-SSL-Client-CN SSL-Client-Verify Client-Cert Proxy
Script-Name X-Amzn-Oidc-Data X-Amzn-Oidc-Identity Remote-User
""".split()
# These a client may say, under this very name; what else becomes the same variable is removed.
ONCE = ["Content-Type", "Content-Length"]


def ask(port, path, fields):
    """One request over a connection of its own; returns what PHP saw of it."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n{lines}\r\n".encode())
        answer = b"".join(iter(lambda: stream.recv(65536), b""))
    head, body = answer.split(b"\r\n\r\n", 1)
    status = int(head.split()[1])
    if status != 200:
        raise OSError(f"{path}: {status} {body[:200]!r}")
    # A body in chunks is one object all the same.
    return json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])


def spellings(name):
    """The name with each separator for its hyphens, and with different ones for each of them."""
    parts = name.split("-")
    mixed = [
        "".join(itertools.chain(*zip(parts, itertools.islice(itertools.cycle(SEPARATORS), start, start + len(parts)))))[:-1]
        for start in range(len(SEPARATORS))
    ]
    return sorted({separator.join(parts) for separator in SEPARATORS} | set(mixed))


def spoofed(seen):
    """Variables and fields that have what the client said."""
    pairs = itertools.chain(seen["server"].items(), seen["fields"].items())
    return [name for name, value in pairs if isinstance(value, str) and SPOOFED in value]


def wait_for(port, path, headers):
    deadline = time.monotonic() + 20
    while True:
        try:
            return ask(port, path, headers)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main():
    gateway, lighttpd, cli = (int(port) for port in sys.argv[1:4])
    bearer = [("Authorization", f"Bearer {sys.argv[4]}")]
    asked = 0
    for server, port, read_alike in [("cgi", lighttpd, SEPARATORS), ("fcgi", lighttpd, SEPARATORS), ("cli", cli, "-._")]:
        wait_for(port, f"/{server}/public.php", [])
        wait_for(gateway, f"/{server}/public.php", [])
        # Without a gateway the server reads them as the name: what follows would fail if nothing was removed.
        for separator in read_alike:
            seen = ask(port, f"/{server}/public.php", [(separator.join(["X", "Auth", "Subject"]), SPOOFED)])
            assert seen["server"].get("HTTP_X_AUTH_SUBJECT") == SPOOFED, (server, separator, seen)
        for name in NAMES + ONCE:
            fields = [(spelling, SPOOFED) for spelling in spellings(name) if spelling not in ONCE]
            for page, credentials in [("public", []), ("claims", bearer)]:
                # All of them at once, and those that one server or the other reads as the name alone.
                for some in [fields, [field for field in fields if set(field[0]) & set("._")]]:
                    seen = ask(gateway, f"/{server}/{page}.php", credentials + some)
                    assert not spoofed(seen), (server, page, name, spoofed(seen))
                    asked += 1
                variables = {key[len("HTTP_X_AUTH_") :]: value for key, value in seen["server"].items() if key.startswith("HTTP_X_AUTH_")}
                expected = {"SUBJECT": "Doe%2C John", "NUMBER": "18446744073709551617"} if page == "claims" else {}
                assert variables == expected, (server, page, name, variables)
        kept = ask(gateway, f"/{server}/public.php", [("X-Other", "kept"), ("Content-Type", "text/plain")])["server"]
        assert kept["HTTP_X_OTHER"] == "kept" and kept["CONTENT_TYPE"] == "text/plain", (server, kept)
    print(f"PHP read nothing of a client's as the gateway's, in {asked} requests")


main()
