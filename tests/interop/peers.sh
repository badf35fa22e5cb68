#!/usr/bin/env bash
# A gRPC server and client (tonic), and a WebSocket server and client (tokio-tungstenite), with a gateway between them.
#
#   tests/interop/peers.sh [SCOPEGATE]          the binary; target/debug/scopegate by default
#
# Needs cargo and the crate registry.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/tools.bash
scopegate=$(realpath "${1:-target/debug/scopegate}")
cargo build --quiet --locked --manifest-path tests/interop/peers/Cargo.toml --target-dir "$interop/peers"
timeout --kill-after=10 120 "$interop/peers/debug/peers" "$scopegate"
