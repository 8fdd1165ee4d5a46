#!/bin/sh
# Installs what the tests need beyond Python packages: uv when it is missing, and the real peers the tests
# talk to (Chromium reads the report, PostgreSQL keeps the history). Safe to run again.
set -eu

command -v uv >/dev/null 2>&1 || python3 -m pip install --quiet uv

missing=""
[ -x /usr/bin/chromium ] && [ -x /usr/bin/chromedriver ] || missing="chromium chromium-driver"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "install these by hand, the tests that need them are skipped without: $missing" >&2
    exit 0
fi
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo"

# The tests start servers of their own; the package shall not start one beside them.
case "$missing" in
    *postgresql*)
        $as_root mkdir -p /etc/postgresql-common
        [ -e /etc/postgresql-common/createcluster.conf ] ||
            echo "create_main_cluster = false" | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
        ;;
esac
$as_root apt-get update -qq
# shellcheck disable=SC2086 # a list of package names
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -qq -y --no-install-recommends $missing
