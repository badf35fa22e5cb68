#!/usr/bin/env bash
# A stock MCP client, an MCP server and an authorization server, each by others, with a gateway between them: from a
# request without a token to a call of a tool. Then the same with `scopegate dev` and the file of docs/mcp.md.
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
timeout --kill-after=10 50 node "$interop/node/mcp/main.mjs" "$scopegate"
exec timeout --kill-after=10 50 node "$interop/node/mcp/dev.mjs" "$scopegate" docs/mcp.md
