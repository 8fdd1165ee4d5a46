#!/bin/sh
# PID 1 of the emulated board (board.py): makes its root out of the cached tree and a private layer and runs
# sshd there. It is in namespaces of its own, so every process and mount made here ends with it.
# Arguments: the cached tree, the board's private directory, qemu-user's binfmt file, "yes" to keep python3.
set -eu
tree=$1 private=$2 binfmt=$3 python=$4
echo "in namespaces"
exec 1>&2
read -r _ # the user and group ids are mapped now

root=$private/root
cd "$private"
layers="lowerdir=$tree,upperdir=upper,workdir=work"
if [ -e copied ] || ! mount -t overlay -o "userxattr,$layers" board "$root"; then
    # The private directory is on a file system that overlayfs cannot write to.
    if [ ! -e copied ]; then
        cp -a --reflink=auto "$tree/." "$root"
        : >copied
    fi
    mount --bind "$root" "$root"
fi
cp -a seed/. "$root"
[ "$python" = yes ] || rm -f "$root"/usr/bin/python* "$root"/usr/local/bin/python*

mount -t proc proc "$root/proc"
mount --bind cpuinfo "$root/proc/cpuinfo"
mount --bind boot_id "$root/proc/sys/kernel/random/boot_id"
mount --bind sys "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in full null random tty urandom zero; do
    : >"$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/run/sshd"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
echo board >"$root/proc/sys/kernel/hostname"

# A user namespace has binfmt_misc of its own since Linux 6.7; before, aarch64 must be registered on the machine.
if mount -t binfmt_misc binfmt_misc "$root/proc/sys/fs/binfmt_misc"; then
    grep '^:' "$binfmt" >"$root/proc/sys/fs/binfmt_misc/register"
elif [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
    echo "no binfmt_misc in a namespace (Linux 6.7) and no aarch64 in the machine's" >&2
    exit 1
fi

cd "$root"
pivot_root . mnt
cd /
umount -l /mnt

# This shell stays PID 1 and reaps orphans. A line or the end of its input is the power cut.
exec 3<&0 </dev/null
trap 'exit 0' TERM
PATH=/usr/local/bin:/usr/bin:/bin /usr/sbin/sshd -D -e 3<&- &
sshd=$!
(
    trap - TERM
    read -r _ <&3 || true
    kill -TERM 1
) &
exec 3<&-
wait "$sshd"
