#!/usr/bin/env bash
# A gateway under load by h2load, over HTTP/1.1 and HTTP/2, and by wrk, which keeps each connection as busy as it can, and
# under the three slow attacks of slowhttptest: everything is answered, and the service stays available.
#
#   tests/interop/load.sh [SCOPEGATE]           the binary; target/debug/scopegate by default
#
# Needs curl, and Debian's nghttp2-client, wrk and slowhttptest or the right to install them. LOAD_REQUESTS, LOAD_SECONDS
# and SLOW_SECONDS make it longer.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/tools.bash
scopegate=$(realpath "${1:-target/debug/scopegate}")
requests=${LOAD_REQUESTS:-20000} load_seconds=${LOAD_SECONDS:-10} seconds=${SLOW_SECONDS:-15} connections=${SLOW_CONNECTIONS:-1000}
debian h2load:nghttp2-client wrk:wrk slowhttptest:slowhttptest
dir=$interop/load log=$interop/load.log
mkdir -p "$dir"
ulimit -n "$(ulimit -Hn)"

# Deadlines that a slow client meets within the test.
cat >"$dir/gateway.toml" <<'TOML'
[server.timeouts]
request_head = "5s"
idle_body    = "5s"

[issuers.idp]
issuer   = "https://idp.example.com/"
audience = "api"

[upstreams.echo]
url = "http://127.0.0.1:1"

[[routes]]
path     = "/orders"
upstream = "echo"
methods  = { GET = "orders.read", POST = "orders.read" }

[[routes]]
path     = "/open"
upstream = "echo"
public   = true
TOML

"$scopegate" dev --config "$dir/gateway.toml" --listen 127.0.0.1:0 --admin 127.0.0.1:0 --issuer-listen 127.0.0.1:0 \
    >"$log" 2>&1 &
pid=$!
trap 'finish $?' EXIT
finish() {
    if kill "$pid" 2>/dev/null; then wait "$pid" || true; fi
    if [ "$1" != 0 ]; then tail -n 20 "$log" >&2; fi
}
wait_for 20 "$pid" grep -q '^Ctrl-C ends it' "$log"
port_of() {
    sed -En "s,^  $1 +http://127\.0\.0\.1:([0-9]+).*,\1,p" "$log"
}
gateway=http://127.0.0.1:$(port_of gateway) issuer=http://127.0.0.1:$(port_of issuer)
token=$("$scopegate" token --url "$issuer" --scope orders.read)
memory() { awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"; }

load() {
    local name=$1 report=$dir/${1//[^a-z0-9]/-}.txt
    shift
    h2load -n "$requests" -H "authorization: Bearer $token" "$@" "$gateway/orders" >"$report"
    local good
    good=$(sed -En 's/^status codes: ([0-9]+) 2xx.*/\1/p' "$report")
    [ "$good" = "$requests" ] || { cat "$report"; fail "$name: $good of $requests were answered with 2xx"; }
    echo "$name: $good of $requests answered with 200; $(sed -En 's/^finished in (.*)/\1/p' "$report")"
}
load "HTTP/1.1, 50 connections" --h1 -c 50
load "HTTP/2, 20 connections, 10 streams each" -c 20 -m 10

# wrk says nothing of failures where there is none.
wrk_load() {
    local name=$1 report=$dir/${1//[^a-z0-9]/-}.txt
    shift
    wrk -t2 -d"${load_seconds}s" --latency "$@" >"$report"
    if grep -Eq 'Non-2xx|Socket errors' "$report" || ! grep -Eq '^ +[1-9][0-9]* requests in' "$report"; then
        cat "$report"
        fail "$name: not everything was answered with 2xx"
    fi
    echo "$name: $(sed -En 's/^ +([0-9]+ requests in [^,]*),.*/\1/p' "$report"), none failed;" \
        "99% within $(sed -En 's/^ +99% +//p' "$report")"
}
wrk_load "wrk, 64 connections with a token" -c64 -H "authorization: Bearer $token" "$gateway/orders"
wrk_load "wrk, 256 connections without one" -c256 "$gateway/open"
echo "resident memory after the load: $(memory) KiB"

slow() {
    local name=$1 report=$dir/${1//[^a-z0-9]/-}.txt
    shift
    slowhttptest -c "$connections" -r "$connections" -l "$seconds" -i 1 -p 3 "$@" >"$report" 2>&1 || true
    # The last state that it printed, without its colours.
    local state
    state=$(sed 's/\x1b\[[0-9;]*m//g' "$report")
    grep -q 'service available: *YES' <<<"$state" || { tail -n 40 <<<"$state"; fail "$name: no sign of the service"; }
    if grep -q 'service available: *NO' <<<"$state"; then
        tail -n 40 <<<"$state"
        fail "$name: the service was not available at some time"
    fi
    [ "$(curl -sS -m 3 -o /dev/null -w '%{http_code}' "$gateway/open")" = 200 ] || fail "$name: no answer afterwards"
    echo "$name: available all the time with $connections connections; resident memory $(memory) KiB"
}
slow "slow heads" -H -u "$gateway/open"
slow "slow bodies" -B -s 8192 -u "$gateway/open"
slow "slow reads" -X -k 5 -w 10 -y 20 -n 1 -z 10 -u "$gateway/open"
