#!/usr/bin/env bash
# PHP behind a gateway, three times: as CGI and as FastCGI of lighttpd, and with its own server. A client spells fields that
# PHP takes for the gateway's in every way that these servers read as their names.
#
#   tests/interop/php.sh [SCOPEGATE]            the binary; target/debug/scopegate by default
#
# Needs python3, openssl, and Debian's lighttpd, php-cgi and php-cli or the right to install them.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/tools.bash
scopegate=$(realpath "${1:-target/debug/scopegate}")
[ -f "$scopegate" ] && [ -x "$scopegate" ] || fail "no binary at $scopegate"
PATH=$PATH:/usr/sbin
debian lighttpd:lighttpd php-cgi:php-cgi php:php-cli
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

# A port that is free now; a program that takes it first makes the test fail and not pass.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
lighttpd=$(free_port) cli=$(free_port) gateway=$(free_port)

# The key of the issuer, and a token that says who the caller is and nothing of a tenant.
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d =; }
openssl genpkey -algorithm ed25519 -out "$dir/key.pem" 2>/dev/null
x=$(openssl pkey -in "$dir/key.pem" -pubout -outform DER | tail -c 32 | base64url)
header=$(printf '{"alg":"EdDSA","typ":"at+jwt","kid":"1"}' | base64url)
now=$(date +%s)
claims=$(printf '{"iss":"https://idp.test","aud":"api","sub":"Doe, John","client_id":"app","jti":"1","iat":%d,"exp":%d,"scope":"read","number":18446744073709551617,"groups":[]}' \
    "$now" "$((now + 600))" | base64url)
printf '%s.%s' "$header" "$claims" >"$dir/message"
token=$header.$claims.$(openssl pkeyutl -sign -inkey "$dir/key.pem" -rawin -in "$dir/message" | base64url)

for server in cgi fcgi cli; do
    mkdir -p "$dir/www/$server"
    for page in public claims; do cp tests/interop/php/seen.php "$dir/www/$server/$page.php"; done
done
cat >"$dir/lighttpd.conf" <<LIGHTTPD
server.document-root = "$dir/www"
server.bind          = "127.0.0.1"
server.port          = $lighttpd
server.errorlog      = "$dir/lighttpd.log"
server.modules       = ( "mod_cgi", "mod_fastcgi" )
\$HTTP["url"] =~ "^/cgi/" { cgi.assign = ( ".php" => "$(type -P php-cgi)" ) }
\$HTTP["url"] =~ "^/fcgi/" {
    fastcgi.server = ( ".php" => (( "bin-path" => "$(type -P php-cgi)", "socket" => "$dir/php.sock", "max-procs" => 1 )) )
}
LIGHTTPD
cat >"$dir/gateway.toml" <<TOML
[server]
listen = "127.0.0.1:$gateway"
admin  = "off"

[issuers.idp]
issuer   = "https://idp.test"
audience = "api"
jwks     = '{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","alg":"EdDSA","x":"$x"}]}'

[upstreams.lighttpd]
url = "http://127.0.0.1:$lighttpd"

[upstreams.cli]
url = "http://127.0.0.1:$cli"

[defaults.request_headers]
remove = ["x-amzn-oidc-*", "remote-user"]
TOML
for server in cgi fcgi cli; do
    upstream=lighttpd
    [ $server = cli ] && upstream=cli
    cat >>"$dir/gateway.toml" <<TOML
[[routes]]
path     = "/$server/public.php"
upstream = "$upstream"
public   = true

[[routes]]
path     = "/$server/claims.php"
upstream = "$upstream"
scopes   = "read"
forward  = { "x-auth-subject" = "sub", "x-auth-tenant" = "tenant", "x-auth-number" = "number", "x-auth-groups" = "groups" }
TOML
done

lighttpd -D -f "$dir/lighttpd.conf" 2>>"$dir/lighttpd.log" & pids+=($!)
php -S "127.0.0.1:$cli" -t "$dir/www" >"$dir/php.log" 2>&1 & pids+=($!)
"$scopegate" run --config "$dir/gateway.toml" >"$dir/gateway.log" 2>&1 & pids+=($!)
# Sends itself requests until the servers answer.
timeout --kill-after=10 100 python3 tests/interop/php/spellings.py "$gateway" "$lighttpd" "$cli" "$token"
