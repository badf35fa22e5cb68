#!/usr/bin/env bash
# The compiler for run.sh: compiles the crates of this repository with LLVM's coverage pass, those of
# bolero for libFuzzer, and all others as always, so that the ordinary build has compiled them
# already. Cargo calls it in place of the compiler (RUSTC_WRAPPER), and tells crates of this
# repository by a second call around it (RUSTC_WORKSPACE_WRAPPER).
set -euo pipefail
is_ours=no
if [ "$1" = "$0" ]; then
    is_ours=yes
    shift
fi
compiler=$1
shift

engine=(--cfg fuzzing --cfg fuzzing_libfuzzer)
# Counters of edges, a table of their addresses, and the operands of comparisons.
guidance=(
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=3
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
)

case " $* " in
    *" --crate-name ___ "*) exec "$compiler" "$@" "${engine[@]}" ;; # Cargo asks for the configuration.
    *" --crate-name bolero"*) exec "$compiler" "$@" "${engine[@]}" ;;
esac
if [ $is_ours = yes ]; then exec "$compiler" "$@" "${engine[@]}" "${guidance[@]}"; fi
exec "$compiler" "$@"
