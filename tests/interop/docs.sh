#!/usr/bin/env bash
# The examples of the documentation: every configuration is one that `scopegate check` accepts, and it lets the token
# through that stands beside it, but not that token's nearest relatives.
#
#   tests/interop/docs.sh [SCOPEGATE]           the binary; target/debug/scopegate by default
#
# Needs node 20 or newer.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/tools.bash
scopegate=$(realpath "${1:-target/debug/scopegate}")
[ -f "$scopegate" ] && [ -x "$scopegate" ] || fail "no binary at $scopegate"
type -P node >/dev/null || fail "no node: install Node.js 20 or newer"
exec timeout --kill-after=10 170 node tests/interop/docs/main.mjs "$scopegate"
