#!/usr/bin/env bash
# Functions of Lambda behind a gateway, in programs of others: the official emulator of the runtime with functions on
# Powertools and Starlette, and serverless-offline with one of Express. Then the whole walk from a user pool to a function's
# answer, against an emulator of Cognito and Lambda, with the configuration of docs/migrating-from-api-gateway.md.
#
#   tests/interop/functions.sh [SCOPEGATE]      the binary; target/debug/scopegate by default
#
# Needs python3, node 20 or newer with npm, and the registries of Python and npm.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/tools.bash
scopegate=$(realpath "${1:-target/debug/scopegate}")
[ -f "$scopegate" ] && [ -x "$scopegate" ] || fail "no binary at $scopegate"

# The path of the runtime's emulator, out of the package that brings it. Its own dependencies are not installed: they are
# many, and the emulator has none.
emulator() {
    local version=1.170.0
    local dir=$interop/emulator-$version machine
    machine=$(uname -m)
    local program=$dir/samcli/local/rapid/aws-lambda-rie-${machine/aarch64/arm64}
    if [ ! -x "$program" ]; then
        mkdir -p "$dir"
        "$1" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$dir" "aws-sam-cli==$version" >&2 \
            || fail "pip could not fetch aws-sam-cli $version, which has the emulator"
        (cd "$dir" && "$1" -m zipfile --extract aws_sam_cli-*.whl . && rm aws_sam_cli-*.whl) || fail "the emulator is no archive"
        chmod +x "$program" || fail "there is no emulator for $machine"
    fi
    echo "$program"
}

node_program functions
cp tests/interop/functions/serverless.yml "$interop/node/functions"
python=$(venv aws-lambda-powertools==3.37.0 awslambdaric==4.2.2 cryptography==50.0.2 mangum==0.22.0 ministack==1.5.33 pydantic==2.14.4 starlette==1.10.0)/bin/python
emulator=$(emulator "$python")
timeout --kill-after=10 110 "$python" tests/interop/functions/main.py "$scopegate" "$emulator" "$interop/node/functions"
timeout --kill-after=10 60 "$python" tests/interop/functions/walk.py "$scopegate" docs/migrating-from-api-gateway.md
