#!/bin/sh
# Installs what the tests need beyond Python packages: uv when it is missing, and the real peers the tests
# talk to (Chromium reads the report, PostgreSQL keeps the history, an emulated board takes SSH, a test phone
# with Android's shell and commands takes adb, a software driver computes for a GPU).
# With the argument `machine`, also what a whole emulated machine needs. Safe to run again.
set -eu

command -v uv >/dev/null 2>&1 || python3 -m pip install --quiet uv

missing=""
need() { # PACKAGE FILE...: the package is missing unless all of these files are there
    package=$1
    shift
    for file in "$@"; do
        [ -e "$file" ] || { missing="$missing $package" && return; }
    done
}
need adb /usr/bin/adb
need busybox /usr/bin/busybox
need chromium /usr/bin/chromium
need chromium-driver /usr/bin/chromedriver
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
need debian-archive-keyring /usr/share/keyrings/debian-archive-keyring.gpg
need faketime /usr/bin/faketime
need g++ /usr/bin/g++
need g++-aarch64-linux-gnu /usr/bin/aarch64-linux-gnu-g++
need gcc /usr/bin/gcc
need gcc-aarch64-linux-gnu /usr/bin/aarch64-linux-gnu-gcc
need libc6-dev /usr/include/stdio.h
need libc6-dev-arm64-cross /usr/aarch64-linux-gnu/include/stdio.h
need libvulkan1 /usr/lib/*-linux-gnu/libvulkan.so.1
need mesa-vulkan-drivers /usr/share/vulkan/icd.d/lvp_icd.*.json
need mksh /usr/bin/mksh
need mmdebstrap /usr/bin/mmdebstrap
need openssh-client /usr/bin/ssh /usr/bin/ssh-keygen
need openssh-server /usr/sbin/sshd
need qemu-user-static /usr/bin/qemu-aarch64-static /usr/lib/binfmt.d/qemu-aarch64.conf
need toybox /usr/bin/toybox
case "${1-}" in
    "") ;;
    machine)
        need e2fsprogs /usr/sbin/mke2fs
        need qemu-system-arm /usr/bin/qemu-system-aarch64
        ;;
    *)
        echo "usage: sh tests/setup.sh [machine]" >&2
        exit 2
        ;;
esac
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "install these by hand, the tests that need them are skipped without:$missing" >&2
    exit 0
fi
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo"

# The tests start servers of their own; the packages shall not start one beside them, now or at the next boot.
case "$missing" in
    *postgresql*)
        $as_root mkdir -p /etc/postgresql-common
        [ -e /etc/postgresql-common/createcluster.conf ] ||
            echo "create_main_cluster = false" | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
        ;;
esac
case "$missing" in
    *openssh-server*)
        $as_root mkdir -p /etc/ssh
        $as_root touch /etc/ssh/sshd_not_to_be_run
        ;;
esac
$as_root apt-get update -qq
# shellcheck disable=SC2086 # a list of package names
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -qq -y --no-install-recommends $missing
