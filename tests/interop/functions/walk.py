"""From the steps in a console to the function's answer: a user pool with a resource server and an app client, a function,
and a gateway with the configuration of the documentation, against an emulator of Cognito and Lambda. Then the same with what
the importer makes of the API's export.

    walk.py SCOPEGATE PAGE          started by functions.sh; the first TOML fence of the page is the configuration
"""

import base64
import contextlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import zipfile

from cast import DEADLINE, HERE, Checks, Failure, free_ports, gateway, listens, running, until

REGION = "ap-northeast-2"
SCOPE = "com.test.test/test.read"
SUCCESS = b'{"code":"00000","message":"success"}'
FUNCTION = """
import json

def handler(event, context):
    body = json.dumps({"code": "00000", "message": "success"}, separators=(",", ":"))
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": body}
"""


class Cloud:
    """The emulator of Cognito and Lambda. It does not check signatures, and reads from them which service is asked."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def post(self, path, service, body, **fields):
        credential = f"test/20260101/{REGION}/{service}/aws4_request"
        fields = {"Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0",
                  "Content-Type": "application/x-amz-json-1.1", **fields}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), fields)
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return json.load(answer)

    def cognito(self, action, **members):
        target = {"X-Amz-Target": f"AWSCognitoIdentityProviderService.{action}"}
        return self.post("/", "cognito-idp", members, **target)

    def create_pool(self):
        """The id of a pool, with a resource server and an app client, whose id and secret follow."""
        pool = self.cognito("CreateUserPool", PoolName="tests")["UserPool"]["Id"]
        self.cognito("CreateResourceServer", UserPoolId=pool, Identifier="com.test.test", Name="tests",
                     Scopes=[{"ScopeName": "test.read", "ScopeDescription": "tests"}])
        client = self.create_client(pool)
        return pool, client

    def create_client(self, pool):
        client = self.cognito("CreateUserPoolClient", UserPoolId=pool, ClientName="tests", GenerateSecret=True,
                              AllowedOAuthFlows=["client_credentials"], AllowedOAuthFlowsUserPoolClient=True,
                              AllowedOAuthScopes=[SCOPE])["UserPoolClient"]
        return client["ClientId"], client["ClientSecret"]

    def create_function(self, name):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as files:
            files.writestr("app.py", FUNCTION)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.post("/2015-03-31/functions", "lambda", {
            "FunctionName": name, "Runtime": version, "Handler": "app.handler", "Timeout": 30,
            "Role": "arn:aws:iam::000000000000:role/tests", "Code": {"ZipFile": base64.b64encode(archive.getvalue()).decode()},
        })

    def token(self, client):
        """A token for the app client, by client credentials."""
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": SCOPE}).encode()
        fields = {"Authorization": "Basic " + base64.b64encode(":".join(client).encode()).decode(),
                  "Content-Type": "application/x-www-form-urlencoded"}
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/oauth2/token", form, fields), timeout=DEADLINE) as answer:
            granted = json.load(answer)
        if (granted["token_type"], granted["expires_in"]) != ("Bearer", 3600):
            raise Failure(f"another answer than Cognito's: {granted}")
        return granted["access_token"]


def configuration(page, cloud, pool, client):
    """The file of the page, with the names of this pool, of this client and of this function."""
    text = re.search(r"(?<=```toml\n).*?(?=```)", pathlib.Path(page).read_text(), re.DOTALL)[0]
    keys = f'jwks_uri = "{cloud.url}/{pool}/.well-known/jwks.json"'
    for pattern, replacement in [
        (r"ap-northeast-2_\w+\"", f'{pool}"\n{keys}'),
        (r"client_ids *= .*", f'client_ids = ["{client[0]}"]'),
        (r"http://127\.0\.0\.1:9000", cloud.url),
        (r'function = "function"', 'function = "tests"'),
    ]:
        text, count = re.subn(pattern, replacement, text)
        if count != 1:
            raise Failure(f"{count} places of {pattern} in the configuration of {page}")
    return text


def imported(scopegate, directory, cloud, pool):
    """What the importer makes of the API's export, with the addresses of this machine, as its reader writes them."""
    export = directory / "export.json"
    export.write_text((HERE / "export.json").read_text().replace("ap-northeast-2_EXAMPLE01", pool))
    command = [scopegate, "import", "apigateway", str(export)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    if run.returncode != 0:
        raise Failure(f"import exits with {run.returncode}: {run.stderr}")
    keys = f'jwks_uri = "{cloud.url}/{pool}/.well-known/jwks.json"'
    text, count = re.subn(rf'^(issuer *= *"https://.*/{pool}")$', rf"\1\n{keys}", run.stdout, flags=re.MULTILINE)
    if count != 1 or "http://127.0.0.1:9000" not in text:
        raise Failure(f"{count} issuers of the pool: {run.stdout}")
    return text.replace("http://127.0.0.1:9000", cloud.url)


def changed(token):
    """The token with another signature."""
    head, signature = token.rsplit(".", 1)
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def check_walk(checks, name, client, token, other):
    """The answers of the walk-through."""
    raw = client.ask("GET", "/dev/tests", [("Authorization", token)])
    checks.equal(name + "the raw token: 200", (raw.status, raw.body, raw.all("content-type")), (200, SUCCESS, ["application/json"]))
    bearer = client.ask("GET", "/dev/tests", [("Authorization", f"Bearer {token}")])
    checks.equal(name + "the token behind Bearer: 200", (bearer.status, bearer.body), (200, SUCCESS))
    for what, fields in [
        ("no token", []),
        ("an empty field", [("Authorization", "")]),
        ("no token, but a text", [("Authorization", "tests")]),
        ("another signature", [("Authorization", changed(token))]),
        ("the token of another pool", [("Authorization", other)]),
    ]:
        answer = client.ask("GET", "/dev/tests", fields)
        checks.equal(name + f"{what}: 401", (answer.status, answer.json()["message"]), (401, "Unauthorized"))
    checks.equal(name + "without the stage: 403", client.ask("GET", "/tests", [("Authorization", token)]).status, 403)
    checks.equal(name + "another method: 403", client.ask("POST", "/dev/tests", [("Authorization", token)], b"").status, 403)


def main(scopegate, page):
    checks = Checks()
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        [port] = free_ports(1)
        environment = {**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "MINISTACK_HOST": "127.0.0.1",
                       "MINISTACK_REGION": REGION, "LAMBDA_EXECUTOR": "local", "IOT_MTLS_ENABLED": "0",
                       "SERVICES": "cognito-idp,lambda", "TMPDIR": str(directory)}
        process = stack.enter_context(running(directory, "ministack", [sys.executable, "-m", "ministack"], env=environment))
        until("ministack listens", process, lambda: listens(port))
        cloud = Cloud(port)
        pool, client = cloud.create_pool()
        _, elsewhere = cloud.create_pool()
        cloud.create_function("tests")
        text = configuration(page, cloud, pool, client)
        asked = stack.enter_context(gateway(scopegate, directory, text))
        check_walk(checks, "", asked, cloud.token(client), cloud.token(elsewhere))
        second = cloud.create_client(pool)
        refused = asked.ask("GET", "/dev/tests", [("Authorization", cloud.token(second))])
        checks.equal("another client of the pool, which is not listed: 401", refused.status, 401)
        text = imported(scopegate, directory, cloud, pool)
        asked = stack.enter_context(gateway(scopegate, directory, text))
        check_walk(checks, "the import: ", asked, cloud.token(client), cloud.token(elsewhere))
        checks.close(least=19)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Failure as failure:
        sys.exit(f"FAILED: {failure}")
