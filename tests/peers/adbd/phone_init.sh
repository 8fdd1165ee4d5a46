#!/bin/sh
# PID 1 of the phone (phone.py): makes its root out of this machine's programs and the phone's private directory.
# It is in namespaces of its own, so every process and mount made here ends with it.
# Arguments: the phone's private directory, the size of its /data or nothing for a disk without a limit.
set -eu
private=$1 data_bytes=$2
root=$private/root
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir data dev etc mnt proc sdcard sys system usr

bound() { # SOURCE TARGET OPTIONS
    mount --bind "$1" "$2"
    mount -o "remount,bind,$3" "$2"
}
bound /usr usr ro,nosuid
for name in bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$name" ]; then
        cp -P "/$name" "$name"
    elif [ -d "/$name" ]; then
        mkdir "$name"
        bound "/$name" "$name" ro,nosuid
    fi
done
cp -a "$private/etc/." etc
[ ! -e /etc/ld.so.cache ] || cp /etc/ld.so.cache etc
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

pivot_root . mnt
cd /
umount -l /mnt
mount -o remount,ro /
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
