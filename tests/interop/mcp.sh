#!/usr/bin/env bash
# A stock MCP client, an MCP server and an authorization server, each by others, with a gateway between them: from a
# request without a token to a call of a tool.
#
#   tests/interop/mcp.sh [SCOPEGATE]            the binary; target/debug/scopegate by default
#
# Needs node 20 or newer with npm, and npm's registry.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/tools.bash
scopegate=$(realpath "${1:-target/debug/scopegate}")
[ -f "$scopegate" ] && [ -x "$scopegate" ] || fail "no binary at $scopegate"
node_program oidc
node_program mcp
exec timeout --kill-after=10 170 node "$interop/node/mcp/main.mjs" "$scopegate"
