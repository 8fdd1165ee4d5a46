#!/bin/busybox sh
# The initramfs of the emulated machine (machine.py): loads what its disk and network need, writes this machine's
# keys to the disk and hands over to the init there, which is busybox too.
b=/bin/busybox
$b mkdir -p /proc /sys /dev /disk
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
for module in $($b cat /modules/order); do
    $b insmod "/modules/$module"
done
until $b mount -t ext4 /dev/vda /disk 2>/dev/null; do
    $b sleep 0.1
done
$b cp -a /seed/. /disk/
$b ifconfig lo 127.0.0.1 up
$b ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
echo board >/proc/sys/kernel/hostname
for directory in proc sys dev; do
    $b mount --move /$directory /disk/$directory
done
exec $b switch_root /disk /sbin/init
