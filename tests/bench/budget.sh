#!/usr/bin/env bash
# Instructions of `decide` and of one forwarded request against tests/bench/budget.toml; fails when they are exceeded.
#
#   tests/bench/budget.sh              # the build that is shipped, without its training
#   tests/bench/budget.sh --profile    # the same with line tables, and the functions with the most instructions
#
# Needs Valgrind; where it is missing and there is apt, installs it.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v valgrind >/dev/null; then
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends valgrind
fi
profile=bench
case " $* " in *" --profile "*) profile=profiling ;; esac
exec cargo bench --locked --profile "$profile" --bench budget -- "$@"
