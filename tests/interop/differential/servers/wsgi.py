"""A WSGI application that answers with what the server read; appends a line for each request to the file REPORT_LOG."""

import base64
import json
import os

LOG = os.open(os.environ["REPORT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def app(environ, start_response):
    body = environ["wsgi.input"].read()
    fields = [[name[5:], value] for name, value in environ.items() if name.startswith("HTTP_")]
    fields += [[name, environ[name]] for name in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(name)]
    seen = {"id": environ.get("HTTP_X_REQUEST_ID", ""), "case": environ.get("HTTP_X_CASE", "")}
    seen |= {"method": environ["REQUEST_METHOD"], "target": environ["RAW_URI"]}
    os.write(LOG, (json.dumps(seen) + "\n").encode())
    # PATH_INFO holds the decoded bytes as Latin-1 (PEP 3333).
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    report = seen | {"path": path, "fields": fields, "variables": True, "body": base64.b64encode(body).decode()}
    text = json.dumps(report).encode()
    start_response("200 OK", [("content-type", "application/json"), ("content-length", str(len(text)))])
    return [text]
