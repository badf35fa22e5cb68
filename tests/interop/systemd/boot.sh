#!/usr/bin/env bash
# Boots systemd for systemd.sh:  boot.sh SCOPEGATE OUT CGROUP
#
# First in a cgroup of its own, then in namespaces, then as their first process on an overlay of the root.
set -euo pipefail
cd "$(dirname "$0")/../../.."
scopegate=$1 out=$2 cgroup=$3

if [ -z "${SCOPEGATE_BOOT:-}" ]; then
    hierarchy=$out/cgroup
    mkdir "$hierarchy"
    mount -t cgroup2 none "$hierarchy"
    mkdir "$hierarchy/$cgroup"
    (
        echo "$BASHPID" >"$hierarchy/$cgroup/cgroup.procs"
        SCOPEGATE_BOOT=1 exec unshare --kill-child -C -p -f -m -n -u -i "$0" "$@"
    ) || true
    # The groups of the units that ran in it.
    find "$hierarchy/$cgroup" -depth -type d -exec rmdir {} +
    exit 0
fi

ip link set lo up
work=$out/root
mkdir "$work"
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$work/root"
cd "$work/root"
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
chmod 1777 tmp
mount -t tmpfs tmpfs sys
mkdir -p sys/fs/cgroup
mount -t cgroup2 none sys/fs/cgroup
mount --rbind /dev dev
mount --make-rslave dev
mkdir -p out previous-root
mount --bind "$out" out
: >out/console
mount --bind out/console dev/console

units=etc/systemd/system
rm -rf "$units"/*.wants
mkdir -p "$units" etc/scopegate
install -m 755 "$scopegate" usr/local/bin/scopegate
install -m 755 "$OLDPWD/tests/interop/systemd/steps.sh" usr/local/bin/steps
install -m 644 "$OLDPWD/deploy/scopegate.service" "$units/"
install -m 644 "$OLDPWD/deploy/gateway.toml" etc/scopegate/gateway.toml
cat >"$units/steps.service" <<'UNIT'
[Unit]
DefaultDependencies=no
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=/usr/local/bin/steps
UNIT
cat >"$units/steps.target" <<'UNIT'
[Unit]
DefaultDependencies=no
AllowIsolate=yes
Wants=steps.service
UNIT
for name in systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket systemd-udevd.service \
    systemd-tmpfiles-setup.service dbus.service; do
    ln -sf /dev/null "$units/$name"
done
# A changed root, where a unit could have no user namespace, will not do: the root has to be that of the mount namespace.
pivot_root . previous-root
cd /
# Shared, as systemd itself would make it: credentials are mounted in a child and propagate from there.
exec env -i container=interop PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -c '
    umount -l /previous-root
    mount --make-rshared /
    exec /lib/systemd/systemd --system --unit=steps.target --log-target=console --log-level=notice --show-status=no'
