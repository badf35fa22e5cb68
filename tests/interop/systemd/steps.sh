#!/usr/bin/env bash
# The steps of systemd.sh, as a service of the systemd that boot.sh has booted.
exec 2>/out/trace >/out/steps
set -xu
file=/etc/scopegate/gateway.toml
drop_in=/etc/systemd/system/scopegate.service.d/interop.conf

expect() {
    local what=$1
    shift
    if "$@"; then echo "- $what"; else echo "FAILED: $what"; exit 1; fi
}

fails() {
    ! "$@"
}

# The value of a property of the unit.
property() {
    systemctl show scopegate --property="$1" --value
}

has() {
    [[ $(property "$1") == *"$2"* ]]
}

restarts() {
    [ "$(property NRestarts)" -ge "$1" ]
}

status() {
    [ "$(curl -sk -o /dev/null -w '%{http_code}' "$1")" = "$2" ]
}

within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.1
    done
}

drop_in() {
    mkdir -p "$(dirname $drop_in)"
    printf '[Service]\n%s\n' "$@" >$drop_in
    systemctl daemon-reload
}

echo "- $(systemctl --version | head -n 1)"
expect "a start returns when the gateway serves" systemctl start scopegate
expect "it does" status http://127.0.0.1:8080/orders 401

sed -i 's#path     = "/healthz"#path     = "/added"#' $file
expect "a reload returns" systemctl reload scopegate
expect "and is in force" fails status http://127.0.0.1:8080/added 404
expect "systemctl status says so" has StatusText "serving the configuration of the files"
cp $file /tmp/good
sed -i 's/audience/audiens/' $file
expect "a refused reload fails" fails systemctl reload scopegate
expect "and leaves the service running" has SubState running
expect "systemctl status says so, too" has StatusText refused
expect "the configuration from before stays" fails status http://127.0.0.1:8080/added 404
expect "a stop" systemctl stop scopegate
expect "a start with a broken file fails" fails systemctl start scopegate
expect "and is not tried again" has ActiveState failed

cp /tmp/good $file
python3 -m http.server 8080 --bind 127.0.0.1 >/dev/null 2>&1 &
taken=$!
within 10 status http://127.0.0.1:8080/ 200
sed -i 's/0\.0\.0\.0:8080/127.0.0.1:8080/' $file
expect "a start on a port in use fails" fails systemctl start scopegate
expect "and is tried again, more often than systemd's usual limit of five" within 20 restarts 6
kill $taken
expect "until the port is free" within 10 has SubState running
systemctl stop scopegate

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 9 \
    -addext subjectAltName=DNS:localhost -keyout /etc/scopegate/api.key -out /etc/scopegate/api.pem
chmod 600 /etc/scopegate/api.key
tls() {
    { cat /tmp/good; printf '[server.tls]\ncertificates = [{ cert_file = "api.pem", key_file = "%s" }]\n' "$1"; } >$file
}
tls api.key
expect "a private key that only root can read is no use" fails systemctl start scopegate
tls /run/credentials/scopegate.service/api.key
drop_in LoadCredential=api.key:/etc/scopegate/api.key
expect "but as a credential" systemctl start scopegate
expect "it serves by it" status https://127.0.0.1:8080/orders 401
expect "and reloads" systemctl reload scopegate
systemctl stop scopegate
rm $drop_in
systemctl daemon-reload
useradd --system --no-create-home --shell /usr/sbin/nologin scopegate
chgrp scopegate /etc/scopegate/api.key
chmod 640 /etc/scopegate/api.key
tls api.key
expect "and by the group of a static user" systemctl start scopegate
expect "it serves by that" status https://127.0.0.1:8080/orders 401
expect "root may ask for a reload itself" scopegate reload
systemctl stop scopegate

sed 's#^\[server\]#[server]\nhandover = "/run/scopegate/handover.sock"#' /tmp/good >$file
drop_in ExecReload= 'ExecReload=/bin/bash -c "scopegate run -c /etc/scopegate/gateway.toml & sleep 2"' SystemCallFilter=
systemctl start scopegate
before=$(property MainPID)
expect "a handover inside of the unit" systemctl reload scopegate
expect "names the new process" within 10 fails has MainPID "$before"
expect "which is the service" status http://127.0.0.1:8080/orders 401
expect "and can be stopped" systemctl stop scopegate
expect "without a trace" fails test -e /run/scopegate
echo "done"
