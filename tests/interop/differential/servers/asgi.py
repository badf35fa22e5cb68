"""An ASGI application that answers with what the server read; appends a line for each request to the file REPORT_LOG."""

import base64
import json
import os

LOG = os.open(os.environ["REPORT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    fields = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    query = scope["query_string"].decode("latin-1")
    named = dict(fields)
    seen = {"id": named.get("x-request-id", ""), "case": named.get("x-case", ""), "method": scope["method"]}
    seen["target"] = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
    os.write(LOG, (json.dumps(seen) + "\n").encode())
    report = seen | {"path": scope["path"], "fields": fields, "body": base64.b64encode(body).decode()}
    text = json.dumps(report).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": text})
