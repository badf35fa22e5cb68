#!/usr/bin/env bash
# Builds scopegate as it is shipped: optimized by what a usual day's traffic does (profile-guided optimization).
#
#   deploy/dist.sh              # prints where the program is; some ten minutes on two cores
#   deploy/dist.sh FILE         # and copies it there
#
# Three steps: a build that counts, the traffic of tests/it/usual_requests.rs through it, and a build that knows the counts. Needs
# `llvm-profdata` in a version that reads what this compiler writes:
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
target=$PWD/${CARGO_TARGET_DIR:-target}/dist
counts=$target/counts
rm -rf "$counts"

# With --target the flags are for the program alone, not for what runs while it is built.
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
