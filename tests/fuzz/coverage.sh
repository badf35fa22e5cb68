#!/usr/bin/env bash
# Measures which lines of the rooms that decide about requests run in their own unit tests, which read
# tests/vectors and the corpora of the fuzz targets:
#
#     tests/fuzz/coverage.sh [--missing] [ROOM…]      --missing prints each line that did not run
#     tests/fuzz/coverage.sh --least 95               fails if a room has fewer per cent
#
# Needs Python, and the tools of LLVM 19 or newer: Debian's `llvm-19` reads what this compiler writes.
# The dependencies are those of the ordinary build.
set -euo pipefail
cd "$(dirname "$0")/../.."
# The names of the tests that count begin with one of these, or have it in them.
tests=(policy:: token:: route:: decision:: upstream:: server:: net::)
profiles=$(mktemp -d)
trap 'rm -rf "$profiles"' EXIT

# Returns the path of a tool of LLVM in its newest version.
tool() {
    ls /usr/bin/"$1"-[0-9]* 2>/dev/null | sort -t- -k3 -n | awk -F- -v name="$1" '$NF >= 19' | tail -1
}

if [ -z "$(tool llvm-cov)" ]; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends llvm-19
fi

export RUSTC_WORKSPACE_WRAPPER=$PWD/tests/fuzz/instrumented.sh
# Procedural macros and build scripts of this repository: none. One file for each process.
export LLVM_PROFILE_FILE=$profiles/%p-%m.profraw
binary=$(cargo test --locked --lib --no-run --message-format json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1)
"$binary" --quiet "${tests[@]}" >"$profiles/tests.log" 2>&1 || { tail -40 "$profiles/tests.log"; exit 1; }
tail -2 "$profiles/tests.log"
"$(tool llvm-profdata)" merge -sparse "$profiles"/*.profraw -o "$profiles/all.profdata"
"$(tool llvm-cov)" export --format=lcov --instr-profile="$profiles/all.profdata" "$binary" >"$profiles/lines.info"
python3 tests/fuzz/coverage.py "$profiles/lines.info" "$@"
