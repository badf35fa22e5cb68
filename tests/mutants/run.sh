#!/usr/bin/env bash
# Changes the product in small ways, one at a time, and fails if the unit tests of the room do not notice a change that
# has no reason in survivors.md:
#
#     tests/mutants/run.sh [--shard K/N] [--jobs N] [--only TEXT] [--fast] [--again] [SUBJECT…]     all of rooms.py, unless given
#
# Needs Python, and cargo-mutants, which is built under target if it is not there.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=27.1.0
root=${CARGO_TARGET_DIR:-$PWD/target}/mutants/bin
export PATH=$root/bin:$PATH
if ! cargo mutants --version 2>/dev/null | grep -q " $version$"; then
    cargo install --quiet cargo-mutants --version "$version" --locked --root "$root"
fi
exec python3 tests/mutants/run.py "$@"
