#!/usr/bin/env bash
# A wrapper of the compiler for the crates of this repository, not for others: counts the lines that
# run (RUSTC_WORKSPACE_WRAPPER of coverage.sh).
compiler=$1
shift
exec "$compiler" "$@" -Cinstrument-coverage
