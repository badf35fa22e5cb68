#!/usr/bin/env bash
# Applications of Express, Django, Starlette and PHP behind the gateway, and cookies, parameters and fields in thousands of
# spellings: none of them reads a credential that was not judged, or one that should have been removed.
#
#   tests/interop/cookies.sh [SCOPEGATE]        the binary; target/debug/scopegate by default
#
# Needs python3, node 20 or newer with npm, Debian's apt-get or PHP itself, and the registries of Python and npm.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/tools.bash
scopegate=$(realpath "${1:-target/debug/scopegate}")
[ -f "$scopegate" ] && [ -x "$scopegate" ] || fail "no binary at $scopegate"
debian php:php-cli
node_program cookies
python=$(venv Django==5.2.19 starlette==1.10.0 uvicorn==0.54.0 Werkzeug==3.1.9 WebOb==1.8.11 cryptography==50.0.2)/bin/python
timeout --kill-after=10 170 "$python" tests/interop/cookies/main.py "$scopegate" "$interop/node/cookies/main.mjs"
