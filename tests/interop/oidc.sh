#!/usr/bin/env bash
# A gateway against an authorization server that it does not know from home: oidc-provider, which is certified for
# OpenID Connect. Tokens of every algorithm, rotation of keys, and an outage.
#
#   tests/interop/oidc.sh [SCOPEGATE]           the binary; target/debug/scopegate by default
#
# Needs node 20 or newer with npm, and npm's registry.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/tools.bash
scopegate=$(realpath "${1:-target/debug/scopegate}")
[ -f "$scopegate" ] && [ -x "$scopegate" ] || fail "no binary at $scopegate"
node_program oidc
exec timeout --kill-after=10 170 node "$interop/node/oidc/main.mjs" "$scopegate"
