#!/usr/bin/env bash
# The cases of AWS's HTTP desync guardian, each as the bytes of a request, through a gateway to an upstream that records what
# arrives: each is refused, or arrives in the one framing that everybody reads the same (docs/design/requirements.md#p02).
#
#   tests/interop/desync.sh [SCOPEGATE]         the binary; target/debug/scopegate by default
#
# Needs python3, cargo, and the registries of Rust and Python. The cases are those of the crate; it is not compiled.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/tools.bash
scopegate=$(realpath "${1:-target/debug/scopegate}")
[ -f "$scopegate" ] && [ -x "$scopegate" ] || fail "no binary at $scopegate"
python=$(venv PyYAML==6.0.3)/bin/python

# A package with nothing but this dependency, so that cargo fetches its sources and checks them by the index.
package=$interop/desync
mkdir -p "$package"
: >"$package/lib.rs"
cat >"$package/Cargo.toml" <<'TOML'
[package]
name    = "desync"
version = "0.0.0"
edition = "2024"

[lib]
path = "lib.rs"

[dependencies]
http_desync_guardian = "=0.1.3"

[workspace]
TOML
cargo fetch --quiet --manifest-path "$package/Cargo.toml" || fail "cargo could not fetch http_desync_guardian"
manifest=$(cargo metadata --format-version 1 --manifest-path "$package/Cargo.toml" --offline \
    | "$python" -c 'import json, sys
print(*(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "http_desync_guardian"))')

timeout --kill-after=10 120 "$python" tests/interop/desync.py "$scopegate" "$(dirname "$manifest")/tests"
