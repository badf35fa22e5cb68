#!/usr/bin/env bash
# Prometheus' own checker on what a gateway exposes after every kind of answer.
#
#   tests/interop/metrics.sh [SCOPEGATE]        the binary; target/debug/scopegate by default
#
# Needs curl, python3, and promtool or Debian's apt-get.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/tools.bash
scopegate=$(realpath "${1:-target/debug/scopegate}")
promtool=$(promtool)
log=$interop/metrics.log

"$scopegate" dev --config gateway.toml --listen 127.0.0.1:0 --admin 127.0.0.1:0 --issuer-listen 127.0.0.1:0 \
    >"$log" 2>&1 &
pid=$!
trap 'finish $?' EXIT
finish() {
    if kill "$pid" 2>/dev/null; then wait "$pid" || true; fi
    if [ "$1" != 0 ]; then tail -n 20 "$log" >&2; fi
}
wait_for 10 "$pid" grep -q '^Ctrl-C ends it' "$log"

# The port of one of the places that the welcome names: a port that was free a moment ago may be anybody's by now.
port_of() {
    sed -En "s,^  $1 +http://127\.0\.0\.1:([0-9]+).*,\1,p" "$log"
}
gateway=$(port_of gateway) admin=$(port_of admin) issuer=$(port_of issuer)
wait_for 10 "$pid" curl -fsS -m 2 "http://127.0.0.1:$admin/readyz"

# One request; fails unless it is answered with the status it must have.
ask() {
    local expected=$1 path=$2 got
    shift 2
    got=$(curl -sS -m 10 -o /dev/null -w '%{http_code}' "$@" "http://127.0.0.1:$gateway$path")
    [ "$got" = "$expected" ] || fail "$path: $got instead of $expected"
}

token() {
    "$scopegate" token --url "http://127.0.0.1:$issuer" --scope "$1"
}

read_token=$(token orders.read)
ask 200 /healthz
ask 200 /orders -H "Authorization: Bearer $read_token"
ask 200 /orders -H "Authorization: Bearer $read_token"
ask 403 /orders -H "Authorization: Bearer $read_token" -X POST
ask 401 /orders
ask 401 /orders -H "Authorization: Bearer ${read_token%?????}AAAAA"
ask 405 /healthz -X DELETE
ask 404 /nowhere/for/certain
ask 400 /orders/%2e%2e/secret --path-as-is

exposition=$interop/metrics.txt
curl -fsS -m 10 "http://127.0.0.1:$admin/metrics" >"$exposition"
"$promtool" check metrics <"$exposition" || fail "promtool does not like the exposition, $exposition"

# A checker is content with nothing at all: see that the requests are there.
for family in requests_total request_duration_seconds_bucket refusals_total token_verifications_total \
    issuer_keys config_info upstream_connections_open; do
    grep -q "^scopegate_${family}[{ ]" "$exposition" || fail "no scopegate_$family in $exposition"
done
for status in 2xx 4xx; do
    grep -Eq "^scopegate_requests_total\{[^}]*route=\"/orders\"[^}]*status=\"$status\"[^}]*\} [1-9]" "$exposition" \
        || fail "no $status of the route /orders in $exposition"
done
if grep -qe 'nowhere/for/certain' -e "$read_token" "$exposition"; then
    fail "a raw path or a token in $exposition"
fi
echo "promtool finds nothing wrong in $(wc -l <"$exposition") lines"
