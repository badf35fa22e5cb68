#!/usr/bin/env bash
# nginx on both sides of a gateway: as its upstream, plain, over TLS and over HTTP/2, and as the proxy in front of it.
#
#   tests/interop/nginx.sh [SCOPEGATE]          the binary; target/debug/scopegate by default
#
# Needs curl, openssl, and Debian's nginx-light and nghttp2-client or the right to install them.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/tools.bash
scopegate=$(realpath "${1:-target/debug/scopegate}")
PATH=$PATH:/usr/sbin
debian nginx:nginx-light h2load:nghttp2-client
dir=$(mktemp -d)
pids=()
trap 'finish $?' EXIT
finish() {
    for pid in "${pids[@]}"; do
        if kill "$pid" 2>/dev/null; then wait "$pid" || true; fi
    done
    if [ "$1" != 0 ]; then tail -n 20 "$dir"/*.log >&2; fi
    rm -rf "$dir"
}

# A port that is free now; whoever takes it first makes the test fail and not pass.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
plain=$(free_port) tls=$(free_port) front=$(free_port) gateway=$(free_port) admin=$(free_port)
long=$(free_port) short=$(free_port)

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
mkdir "$dir/files"
head -c 8388608 /dev/urandom >"$dir/files/big"
echo hello >"$dir/files/small"

cat >"$dir/nginx.conf" <<NGINX
daemon off; master_process off; pid $dir/nginx.pid; error_log $dir/nginx.log;
events { worker_connections 512; }
http {
    access_log off; client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; client_max_body_size 0;
    fastcgi_temp_path $dir/fastcgi; uwsgi_temp_path $dir/uwsgi; scgi_temp_path $dir/scgi;
    server {
        listen 127.0.0.1:$plain; listen 127.0.0.1:$tls ssl;
        ssl_certificate $dir/cert.pem; ssl_certificate_key $dir/key.pem;
        root $dir/files;
        location /seen { return 200 "host=\$http_host for=\$http_x_forwarded_for proto=\$http_x_forwarded_proto via=\$http_via"; }
        location /moved { return 301 /small; }
        location /empty { return 204; }
    }
    # Connections of HTTP/2 that end after so many requests, by GOAWAY.
    server { listen 127.0.0.1:$long http2; location / { return 200 ok; } }
    server { listen 127.0.0.1:$short http2; keepalive_requests 7; location / { return 200 ok; } }
    server {
        listen 127.0.0.1:$front;
        location / {
            proxy_pass http://127.0.0.1:$gateway; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host \$http_host; proxy_request_buffering off; proxy_buffering off;
            proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
        }
    }
}
NGINX

cat >"$dir/gateway.toml" <<TOML
[server]
listen = "127.0.0.1:$gateway"
admin  = "127.0.0.1:$admin"

[upstreams.plain]
url  = "http://127.0.0.1:$plain"
host = "preserve"

[upstreams.tls]
url     = "https://localhost:$tls"
ca_file = "cert.pem"

[upstreams.long]
url      = "http://127.0.0.1:$long"
protocol = "http2"

[upstreams.short]
url      = "http://127.0.0.1:$short"
protocol = "http2"

[[routes]]
path     = "/long"
upstream = "long"
public   = true

[[routes]]
path     = "/short"
upstream = "short"
public   = true

[[routes]]
path     = "/**"
upstream = "plain"
public   = true

[[groups]]
prefix   = "/tls"
upstream = "tls"
[[groups.routes]]
path   = "/**"
public = true
TOML

nginx -c "$dir/nginx.conf" 2>>"$dir/nginx.log" & pids+=($!)
wait_for 10 $! curl -fsS -m 2 "http://127.0.0.1:$plain/small"
"$scopegate" run --config "$dir/gateway.toml" >"$dir/gateway.log" 2>&1 & pids+=($!)
wait_for 10 $! curl -fsS -m 2 "http://127.0.0.1:$gateway/small"

same() { [ "$2" = "$3" ] || fail "$1: \"$2\" instead of \"$3\""; }
hash=$(sha256sum <"$dir/files/big")
for base in "http://127.0.0.1:$gateway" "http://127.0.0.1:$gateway/tls" "http://127.0.0.1:$front" "http://127.0.0.1:$front/tls"; do
    get() { curl -sS -m 20 "$@"; }
    same "$base/big" "$(get "$base/big" | sha256sum)" "$hash"
    same "$base/small" "$(get "$base/small")" hello
    same "a range of $base/small" "$(get -r 1-3 "$base/small")" ell
    same "HEAD $base/small" "$(get -I -o /dev/null -w '%{http_code} %header{content-length}' "$base/small")" "200 6"
    same "$base/moved" "$(get -o /dev/null -w '%{http_code}' "$base/moved")" 301
    same "$base/empty" "$(get -o /dev/null -w '%{http_code}' "$base/empty")" 204
    same "$base/nothing" "$(get -o /dev/null -w '%{http_code}' "$base/nothing")" 404
    tag=$(get -o /dev/null -w '%header{etag}' "$base/small")
    same "$base/small, unchanged" "$(get -o /dev/null -w '%{http_code}' -H "If-None-Match: $tag" "$base/small")" 304
    # Twenty requests over one connection of the client's.
    same "twenty of $base/small" "$(get "$base/small?[1-20]" | sort | uniq -c | xargs)" "20 hello"
done
seen=$(curl -sS -m 5 "http://127.0.0.1:$front/seen")
# The gateway does not believe the proxy in front of it: nobody told it to.
same "what the upstream sees" "$seen" \
    "host=127.0.0.1:$front for=127.0.0.1 proto=http via=1.1 scopegate"

# Requests that nginx has not processed when it ends a connection are sent again, POSTs with their bodies too: none is lost.
head -c 100 /dev/zero | tr '\0' x >"$dir/hundred"
all_are_answered() {
    local path=$1 count=$2
    shift 2
    h2load -n "$count" -c 10 -m 10 "$@" "http://127.0.0.1:$gateway/$path" >"$dir/load.log" || fail "h2load: $(cat "$dir/load.log")"
    grep -q "^status codes: $count 2xx, 0 3xx, 0 4xx, 0 5xx" "$dir/load.log" || fail "/$path $*: $(grep '^status codes' "$dir/load.log")"
}
all_are_answered long 10000 -d "$dir/hundred"
all_are_answered long 3000
all_are_answered short 2000 -d "$dir/hundred"
all_are_answered short 2000
curl -sS -m 5 "http://127.0.0.1:$admin/metrics" >"$dir/metrics"
resent() { awk -v series="scopegate_upstream_resent_total{upstream=\"$1\"}" '$1 == series { print $2 }' "$dir/metrics"; }
for upstream in long short; do [ "$(resent $upstream)" -gt 0 ] || fail "nothing was sent again to $upstream"; done
echo "nginx is content, behind and in front; $(resent long) and $(resent short) requests were sent again"
