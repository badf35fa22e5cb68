"""Applications of Django and Starlette that tell what they read.

    applications.py django|starlette          prints the port, and serves until it is killed

Starlette's tells what other parsers of Python read in the same field as well.
"""

import http.cookies
import socket
import sys


def django():
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import JsonResponse
    from django.urls import re_path
    from wsgiref import simple_server

    def told(request):
        return JsonResponse(
            {
                "cookie": request.COOKIES.get("session"),
                "parameter": request.GET.get("access_token"),
                "field": request.META.get("HTTP_X_TOKEN"),
                "authorization": request.META.get("HTTP_AUTHORIZATION"),
            }
        )

    settings.configure(
        DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF=sys.modules[__name__], MIDDLEWARE=[], SECRET_KEY="none"
    )
    globals()["urlpatterns"] = [re_path("", told)]

    class Quiet(simple_server.WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

    server = simple_server.make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet)
    print(server.server_port, flush=True)
    server.serve_forever()


def of_stdlib(field):
    cookie = http.cookies.SimpleCookie(field).get("session")
    return cookie and cookie.value


def of_werkzeug(field):
    import werkzeug.http

    return werkzeug.http.parse_cookie(field).getlist("session")


def of_webob(field):
    import webob

    cookies = webob.Request({"HTTP_COOKIE": field, "REQUEST_METHOD": "GET"}).cookies
    return [value for name, value in cookies.items() if name == "session"]


def read(parser, field):
    """What a parser reads; none where it refuses the whole field."""
    try:
        return parser(field)
    except (http.cookies.CookieError, UnicodeError):
        return None


def starlette():
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    parsers = [of_stdlib, of_werkzeug, of_webob]

    async def told(request):
        # As servers for WSGI join several fields.
        field = "; ".join(request.headers.getlist("cookie"))
        return JSONResponse(
            {
                "cookie": [request.cookies.get("session"), *(read(parser, field) for parser in parsers)],
                "parameter": request.query_params.get("access_token"),
                "field": request.headers.get("x-token"),
                "authorization": request.headers.get("authorization"),
            }
        )

    listener = socket.create_server(("127.0.0.1", 0))
    # Accepted sockets have it from this one: an answer's head and body are two writes.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(listener.getsockname()[1], flush=True)
    app = Starlette(routes=[Route("/{rest:path}", told)])
    uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listener])


if __name__ == "__main__":
    {"django": django, "starlette": starlette}[sys.argv[1]]()
