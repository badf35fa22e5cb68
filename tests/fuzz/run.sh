#!/usr/bin/env bash
# Runs the fuzz targets with libFuzzer, guided by coverage, one after the other:
#
#     tests/fuzz/run.sh [--seconds N] [--jobs N] [TARGET…]      all targets, 60 seconds each
#     tests/fuzz/run.sh --minimise [TARGET…]                    reduces the corpora after a run
#
# Needs a Rust toolchain, a C++ compiler and nothing else: LLVM's coverage pass is a part of the
# stable compiler (compiler.sh), and bolero-libfuzzer brings the sources of libFuzzer. New inputs go to
# target/fuzz/corpus. An input that breaks a property is left in target/fuzz/crashes; it becomes a
# named test of its room, and its mechanism is mended (tests/fuzz/README.md).
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD/tests/fuzz
work=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
seconds=60
jobs=1
minimise=no
targets=()

while [ $# -gt 0 ]; do
    case $1 in
        --seconds) seconds=$2; shift 2 ;;
        --jobs) jobs=$2; shift 2 ;;
        --minimise) minimise=yes; shift ;;
        *) targets+=("$1"); shift ;;
    esac
done

# Returns the path of each test that checks a target, such as `route::fuzz::route_table`.
all_tests() {
    grep -rl --include=fuzz.rs 'crate::fuzz::' src | sort | while read -r file; do
        module=$(sed 's|^src/||; s|\.rs$||; s|/|::|g' <<<"$file")
        grep -o 'check("[a-z0-9_]*"' "$file" | cut -d'"' -f2 | sed "s|^|$module::|"
    done
}

tests=$(all_tests)
if [ ${#targets[@]} -gt 0 ]; then
    tests=$(for target in "${targets[@]}"; do grep "::$target\$" <<<"$tests"; done)
fi

if ! command -v c++ >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends g++
fi
# The dependencies are those of the ordinary build of the tests.
export RUSTC_WRAPPER=$root/compiler.sh RUSTC_WORKSPACE_WRAPPER=$root/compiler.sh
binary=$(cargo test --locked --lib --no-run --message-format json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1)

# Runs libFuzzer for a test with these arguments.
fuzz() {
    test=$1
    shift
    BOLERO_LIBFUZZER_ARGS="$*" "$binary" --exact "$test" --nocapture --test-threads 1
}

run() {
    test=$1 name=${1##*::}
    found=$work/corpus/$name crashes=$work/crashes/$name
    mkdir -p "$found" "$crashes"
    log=$work/$name.log
    # The inputs in the tree are read and not changed.
    if ! fuzz "$test" "$found" "$root/corpus/$name" -max_total_time="$seconds" -dict="$root/words.dict" \
        -artifact_prefix="$crashes/" -timeout=25 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 >"$log" 2>&1; then
        echo "$name: FAILED, see $log"
        return 1
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(grep -o 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$log" | tail -1)
    echo "$name: $executions executions in $seconds s, ${coverage:-no coverage}"
}

reduce() {
    test=$1 name=${1##*::}
    kept=$(mktemp -d)
    fuzz "$test" -set_cover_merge=1 "$kept" "$root/corpus/$name" "$work/corpus/$name" >"$work/$name.merge.log" 2>&1
    rm -rf "${root:?}/corpus/$name"
    mv "$kept" "$root/corpus/$name"
    chmod 755 "$root/corpus/$name"
    echo "$name: $(find "$root/corpus/$name" -type f | wc -l) inputs"
}

failed=0
step=run
if [ $minimise = yes ]; then step=reduce; fi
for test in $tests; do
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || failed=1; done
    $step "$test" &
done
while [ "$(jobs -p | wc -l)" -gt 0 ]; do wait -n || failed=1; done
exit $failed
