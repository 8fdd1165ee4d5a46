#!/bin/sh
# PID 1 of the phone (phone.py): makes its root out of the phone's private directory.
# It is in namespaces of its own, so every process and mount made here ends with it.
# Arguments: the phone's private directory, the size of its /data or nothing for a disk without a limit,
# qemu-user's binfmt file or nothing for programs of this machine's own kind.
set -eu
private=$1 data_bytes=$2 binfmt=$3
echo "in namespaces"
read -r _ # the user and group ids are mapped now

root=$private/root
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
cp -a "$private/etc" .
mkdir data dev lib mnt proc sdcard sys system
[ ! -e "$private/has_bin" ] || ln -s /system/bin bin

bound() { # SOURCE TARGET OPTIONS
    mount --bind "$1" "$2"
    mount -o "remount,bind,$3" "$2"
}
bound "$private/lib" lib ro,nosuid
bound "$private/system" system ro,nosuid
if [ -n "$data_bytes" ]; then
    mount -t tmpfs -o "size=$data_bytes,mode=771,nosuid,nodev" tmpfs data
    cp -a "$private/data/." data
else
    bound "$private/data" data rw,nosuid,nodev
fi
bound "$private/sdcard" sdcard rw,nosuid,nodev,noexec
bound "$private/sys" sys rw,nosuid,noexec,nodev

mount -t proc proc proc
mount --bind "$private/cpuinfo" proc/cpuinfo
mount --bind "$private/boot_id" proc/sys/kernel/random/boot_id
mount -t tmpfs -o mode=755 tmpfs dev
for node in full null random tty urandom zero; do
    : >"dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr

# A user namespace has binfmt_misc of its own since Linux 6.7; before, aarch64 must be registered on the machine.
if [ -n "$binfmt" ] && mount -t binfmt_misc binfmt_misc proc/sys/fs/binfmt_misc; then
    grep '^:' "$binfmt" >proc/sys/fs/binfmt_misc/register
fi

mount -o remount,ro "$root"
pivot_root . mnt
cd /
/system/libexec/toybox umount -l /mnt # from here on there are the phone's programs only
echo ready

# This shell stays PID 1 and reaps orphans. A line or the end of its input is the power cut.
exec 3<&0 </dev/null >&2
trap 'exit 0' TERM
(
    trap - TERM
    read -r _ <&3 || true
    kill -TERM 1
) &
exec 3<&-
wait "$!"
