#!/usr/bin/env bash
# Builds scopegate as it is shipped: optimized for typical traffic (profile-guided optimization).
#
#   deploy/dist.sh              # prints the path of the program; some ten minutes on two cores
#   deploy/dist.sh FILE         # and copies it there
#
# Three steps: an instrumented build, the traffic of tests/it/usual_requests.rs through it, and a build that uses the
# counts. Needs `llvm-profdata` in a version that reads this compiler's profiles:
#
#   rustup component add llvm-tools
#
# or another one that $LLVM_PROFDATA names.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc --version --verbose | sed -n 's/^host: //p')
profdata=${LLVM_PROFDATA:-$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata}
if ! command -v "$profdata" >/dev/null; then
    echo "deploy/dist.sh: no llvm-profdata: rustup component add llvm-tools, or set LLVM_PROFDATA" >&2
    exit 1
fi
target=${CARGO_TARGET_DIR:-target}/dist
case $target in /*) ;; *) target=$PWD/$target ;; esac
counts=$target/counts
rm -rf "$counts"

# With --target the flags apply to the program only, not to build scripts and procedural macros.
build() {
    RUSTFLAGS="${RUSTFLAGS:-} $1" cargo build --locked --profile dist --target "$host" --target-dir "$target/$2"
}

build "-Cprofile-generate=$counts" counting
SCOPEGATE_TEST_PROGRAM="$target/counting/$host/dist/scopegate" SCOPEGATE_TEST_ROUNDS=200 \
    cargo test --locked --test it usual_requests::
"$profdata" merge --output "$counts/all.profdata" "$counts"
build "-Cprofile-use=$counts/all.profdata" trained
program=$target/trained/$host/dist/scopegate
[ $# = 0 ] || cp "$program" "$1"
echo "$program"
