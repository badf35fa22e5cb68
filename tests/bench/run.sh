#!/usr/bin/env bash
# What does a request cost that carries a hot token? CPU time of scopegate, which checks it, against a plain nginx that
# forwards the same request unchecked, on the same machine in the same run.
#
#   tests/bench/run.sh [--rounds N] [--seconds N] [--connections N] [--binary SCOPEGATE]
#
# Builds the release binary unless one is given. Needs wrk, nginx and openssl (Debian packages of these names), python3
# and two cores that nobody else uses. Prints a Markdown table; everything it writes is below target/bench.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/sbin

for tool in wrk nginx openssl python3 taskset; do
    command -v "$tool" >/dev/null || { echo "bench: $tool is missing" >&2; exit 1; }
done
case " $* " in
*" --binary"*) ;;
*)
    cargo build --release --locked
    set -- --binary "${CARGO_TARGET_DIR:-target}/release/scopegate" "$@"
    ;;
esac
exec python3 tests/bench/hot_token.py --work "${CARGO_TARGET_DIR:-target}/bench" "$@"
