#!/usr/bin/env bash
# The unit of deploy/ under systemd itself: a start, a start that fails, a reload, a reload that is refused, private keys
# that are not world-readable, and a handover inside of the unit. systemd runs in namespaces of its own, on an overlay of
# this machine's root: nothing of the machine is changed.
#
#   tests/interop/systemd.sh [SCOPEGATE]        the binary; target/debug/scopegate by default
#
# Needs root, a kernel with overlayfs and cgroup v2, and Debian's apt-get or systemd and openssl themselves. Skipped where
# namespaces cannot be made, as in most containers.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/tools.bash
scopegate=$(realpath "${1:-target/debug/scopegate}")
[ -f "$scopegate" ] && [ -x "$scopegate" ] || fail "no binary at $scopegate"

if [ "$(id -u)" != 0 ] || ! unshare -m -p -f -C -n -u -i true 2>/dev/null; then
    echo "- skipped: systemd needs root and namespaces of its own"
    exit 0
fi
[ -x /lib/systemd/systemd ] || apt-get install -y -qq --no-install-recommends systemd >/dev/null \
    || { apt-get update -qq && apt-get install -y -qq --no-install-recommends systemd >/dev/null; }
type -P openssl >/dev/null || apt-get install -y -qq --no-install-recommends openssl >/dev/null

out=$(mktemp -d)
cgroup=scopegate-interop-$$
trap 'rm -rf "$out"' EXIT
timeout --signal=KILL 120 unshare -m tests/interop/systemd/boot.sh "$scopegate" "$out" "$cgroup" >"$out/boot" 2>&1 || true
if ! grep -qx done "$out/steps" 2>/dev/null; then
    cat "$out"/boot "$out"/console "$out"/trace >&2 2>/dev/null || true
    fail "$(grep FAILED "$out/steps" 2>/dev/null || echo 'systemd did not come to the end of the steps')"
fi
grep -v '^done$' "$out/steps"
