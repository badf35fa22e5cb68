"""Functions in programs of others, asked through a gateway in both formats of events.

    main.py SCOPEGATE EMULATOR NODE          started by functions.sh; NODE is the folder of the functions for node
"""

import contextlib
import json
import os
import pathlib
import sys
import tempfile

from cast import HERE, Checks, Client, Failure, Signer, free_ports, gateway, listens, running, until

SECRET = b"the secret of the function"
IMAGE = bytes(range(256))
FORMATS = {"rest": "1.0", "http": "2.0"}


def emulator(stack, directory, program, handler):
    """The port of an emulator with one function, as the function's image would have it."""
    port, runtime = free_ports(2)
    command = [program, "--runtime-interface-emulator-address", f"127.0.0.1:{port}",
               "--runtime-api-address", f"127.0.0.1:{runtime}", "--log-level", "warn",
               sys.executable, "-m", "awslambdaric", f"emulated.{handler}"]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    process = stack.enter_context(running(directory, f"emulator-{handler}", command, env=environment))
    until(f"the emulator of {handler} listens", process, lambda: listens(port))
    return port


def serverless_offline(stack, directory, node):
    """The port of serverless-offline's Invoke API. It keeps its settings in the home directory."""
    ports = free_ports(4)
    home = directory / "home"
    home.mkdir()
    command = ["node", "node_modules/serverless/bin/serverless.js", "offline", "--host", "127.0.0.1"]
    for option, port in zip(["--lambdaPort", "--httpPort", "--websocketPort", "--albPort"], ports):
        command += [option, str(port)]
    environment = {**os.environ, "HOME": str(home), "CI": "1", "SLS_TELEMETRY_DISABLED": "1", "SLS_NOTIFICATIONS_MODE": "off",
                   "SLS_TRACKING_DISABLED": "1"}
    process = stack.enter_context(running(directory, "serverless-offline", command, cwd=node, env=environment))
    return process, ports[0]


def beginning(name):
    """What the requests to an upstream have in common: a stage, or for applications in format 2.0 a host. There the path has
    the stage, and applications that do not know theirs are served by the stage `$default`, which is none."""
    return f'host = "{name}.test"' if name in ("starlette-http", "express-http") else f'prefix = "/{name}"'


def configuration(jwks, upstreams):
    """For each upstream a group with a route that requires a scope, one that requires a token, and one for everybody."""
    text = f"[issuers.idp]\nissuer = \"https://idp.test\"\naudience = \"api\"\njwks = '{jwks}'\n"
    for name, (port, function, event) in upstreams.items():
        text += f"""
[upstreams.{name}]
url             = "http://127.0.0.1:{port}"
max_connections = 1
lambda          = {{ function = "{function}", event = "{event}", stage_variables = {{ table = "orders" }} }}

[[groups]]
{beginning(name)}
upstream = "{name}"

[[groups.routes]]
path    = "/orders/{{id}}"
methods = {{ GET = {{ any = ["read", "write"] }}, POST = "write" }}

[[groups.routes]]
path          = "/me/{{rest+}}"
authenticated = true

[[groups.routes]]
path   = "/**"
public = true
"""
    return text


def check_events(checks, client, bearer, name, event):
    """What a function gets, in one of the formats. Functions on Powertools would have refused what its models refuse."""
    fields = [bearer, ("X-List", "one"), ("X-List", "two"), ("Cookie", "a=1; b=2"), ("User-Agent", "test")]
    answer = client.ask("GET", f"/{name}/orders/a%20b?x=1&x=2&y=a+b%26", fields)
    checks.equal(f"{name}: the function answers", answer.status, 200)
    seen = answer.json()
    context = seen["requestContext"]
    scopes = "read openid"
    if event == "1.0":
        claims = context["authorizer"]["claims"]
        checks.equal(f"{name}: path and stage", (seen["path"], context["path"], context["stage"], seen["resource"]),
                     ("/orders/a%20b", f"/{name}/orders/a%20b", name, "/orders/{id}"))
        checks.equal(f"{name}: the last value and all values of a parameter",
                     (seen["queryStringParameters"], seen["multiValueQueryStringParameters"]),
                     ({"x": "2", "y": "a b&"}, {"x": ["1", "2"], "y": ["a b&"]}))
        checks.equal(f"{name}: the last value and all values of a field",
                     (seen["headers"]["x-list"], seen["multiValueHeaders"]["x-list"]), ("two", ["one", "two"]))
        checks.equal(f"{name}: capitals of the usual fields",
                     (seen["headers"]["Authorization"], seen["headers"]["Cookie"]), (bearer[1], "a=1; b=2"))
        checks.equal(f"{name}: a list of claims", claims["cognito:groups"], "admin,poweruser")
        checks.that(f"{name}: nulls, not absences", seen["body"] is None and len(seen) == 12, sorted(seen))
    else:
        claims = context["authorizer"]["jwt"]["claims"]
        checks.equal(f"{name}: path, stage and route", (seen["rawPath"], context["stage"], seen["routeKey"]),
                     (f"/{name}/orders/a%20b", name, "GET /orders/{id}"))
        checks.equal(f"{name}: parameters, as sent and decoded", (seen["rawQueryString"], seen["queryStringParameters"]),
                     ("x=1&x=2&y=a+b%26", {"x": "1,2", "y": "a b&"}))
        checks.equal(f"{name}: fields in lower case, joined", (seen["headers"]["x-list"], seen["headers"]["authorization"]),
                     ("one,two", bearer[1]))
        checks.equal(f"{name}: cookies", (seen["cookies"], "cookie" in seen["headers"]), (["a=1", "b=2"], False))
        checks.equal(f"{name}: scopes of the token", context["authorizer"]["jwt"]["scopes"], scopes.split())
        checks.equal(f"{name}: a list of claims", claims["cognito:groups"], "[admin poweruser]")
        checks.that(f"{name}: absences, not nulls", "body" not in seen, sorted(seen))
    checks.equal(f"{name}: claims are texts", (claims["scope"], claims["sub"], claims["number"]), (scopes, "alice", "7"))
    checks.equal(f"{name}: a parameter of the path", seen["pathParameters"], {"id": "a%20b"})
    checks.equal(f"{name}: stage variables", seen["stageVariables"], {"table": "orders"})

    authorizer = client.ask("GET", f"/{name}/me/a/b", [bearer]).json()["requestContext"]["authorizer"]
    if event == "2.0":
        checks.equal(f"{name}: no scopes where none are required", authorizer["jwt"]["scopes"], None)
    public = client.ask("GET", f"/{name}/public", [bearer]).json()
    checks.that(f"{name}: no authorizer on a public route", "authorizer" not in public["requestContext"], public)

    # Text travels as it is, anything else in base64.
    for body, expected in [(b"caf\xc3\xa9", ("caf\u00e9", False)), (b"\xff\x00", ("/wA=", True))]:
        posted = client.ask("POST", f"/{name}/public", [("Content-Type", "text/plain")], body).json()
        checks.equal(f"{name}: a body of {body!r}", (posted["body"], posted["isBase64Encoded"]), expected)


def check_verdicts(checks, client, signer, name):
    """The function is not asked what the gateway refuses."""
    less = ("Authorization", "Bearer " + signer.token(sub="alice", scope="other"))
    answers = [client.ask("GET", f"/{name}/orders/1").status, client.ask("GET", f"/{name}/orders/1", [less]).status,
               client.ask("PUT", f"/{name}/orders/1", [less]).status]
    checks.equal(f"{name}: no token, no scope, no such method", answers, [401, 403, 405])


def check_answers(checks, client, name):
    """What a client gets of the answers of the function on Powertools."""
    image = client.ask("GET", f"/{name}/image")
    checks.equal(f"{name}: a body in base64, and a status as text", (image.status, image.body, image.all("content-type")),
                 (201, IMAGE, ["image/png"]))
    cookies = client.ask("GET", f"/{name}/cookies")
    checks.equal(f"{name}: two cookies are two fields", (cookies.status, cookies.all("set-cookie")),
                 (204, ["a=1; Path=/", "b=2, 3; Path=/"]))
    many = client.ask_at_once(12, f"/{name}/public")
    checks.equal(f"{name}: the emulator survives requests at once", [answer.status for answer in many], [200] * 12)
    check_failure(checks, client, f"/{name}/fails", "function_error")
    check_failure(checks, client, f"/{name}/nothing", "function_answer")
    checks.equal(f"{name}: and goes on", client.ask("GET", f"/{name}/public").status, 200)


def check_failure(checks, client, target, reason):
    answer = client.ask("GET", target)
    shown = repr(answer.fields).encode() + answer.body
    checks.that(f"{target}: 502, and nothing of the function", answer.status == 502 and SECRET not in shown, repr(answer))
    # A line is written a tenth of a second later.
    until(f"{reason} of {target} is in the log", client.process, lambda: is_logged(client, target, reason))
    checks.that(f"{target}: {reason} in the log", True)


def is_logged(client, target, reason):
    return any(f'"{target}"' in line and f'"{reason}"' in line for line in client.log.read_text().splitlines())


def check_application(checks, client, bearer, name):
    """Applications of frameworks read what a client sent, and their cookies and bytes reach it."""
    stage = f"/{name}" if beginning(name).startswith("prefix") else ""
    host = ("Host", "localhost" if stage else f"{name}.test")
    body = bytes([0xff, 0, 0x41])
    fields = [host, bearer, ("Content-Type", "application/x-thing"), ("X-List", "one"), ("Cookie", "c=3; d=4")]
    answer = client.ask("POST", f"{stage}/items/a%20b?x=1&x=2&y=a+b%26", fields, body)
    seen = {"method": "POST", "item": "a b", "query": [["x", "1"], ["x", "2"], ["y", "a b&"]],
            "cookies": {"c": "3", "d": "4"}, "type": "application/x-thing", "field": "one", "body": body.hex()}
    found = answer.json() if answer.status == 200 else {"answer": repr(answer)}
    checks.equal(f"{name}: what the application reads", found, seen)
    checks.equal(f"{name}: its cookies", sorted(value.split(";")[0] for value in answer.all("set-cookie")), ["a=1", "b=2"])
    image = client.ask("GET", f"{stage}/image", [host])
    checks.equal(f"{name}: its bytes", (image.status, image.body), (200, IMAGE))
    checks.equal(f"{name}: its own 404", client.ask("GET", f"{stage}/elsewhere", [host]).status, 404)


def main(scopegate, program, node):
    checks, signer = Checks(), Signer()
    bearer = ("Authorization", "Bearer " + signer.token(**{"sub": "alice", "scope": "read openid", "number": 7,
                                                          "cognito:groups": ["admin", "poweruser"]}))
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        process, offline = serverless_offline(stack, directory, node)
        seen, web = (emulator(stack, directory, program, handler) for handler in ["seen", "web"])
        until("serverless-offline listens", process, lambda: listens(offline))
        upstreams = {}
        for format, event in FORMATS.items():
            upstreams[f"emulated-{format}"] = seen, "function", event
            upstreams[f"starlette-{format}"] = web, "function", event
            upstreams[f"node-{format}"] = offline, "functions-dev-seen", event
            upstreams[f"express-{format}"] = offline, "functions-dev-web", event
        upstreams["broken"] = offline, "functions-dev-fails", "1.0"
        upstreams["missing"] = offline, "functions-dev-missing", "1.0"
        client = stack.enter_context(gateway(scopegate, directory, configuration(signer.jwks, upstreams)))
        for format, event in FORMATS.items():
            for name in [f"emulated-{format}", f"node-{format}"]:
                check_events(checks, client, bearer, name, event)
                check_verdicts(checks, client, signer, name)
            check_answers(checks, client, f"emulated-{format}")
            for name in [f"starlette-{format}", f"express-{format}"]:
                check_application(checks, client, bearer, name)
        check_failure(checks, client, "/broken/a", "function_error")
        check_failure(checks, client, "/missing/a", "invocation_refused")
        checks.close(least=70)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Failure as failure:
        sys.exit(f"FAILED: {failure}")
