#!/bin/sh
# Installs the foreign programs that the interop tests talk to. pjsua2 comes with the extra "peer".
set -eu

packages="sip-tester tshark ffmpeg kamailio kamailio-tls-modules openssl sipsak"

if [ "$(id -u)" -ne 0 ]; then
    echo "not root: nothing installed; the interop tests need $packages" >&2
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "no apt-get here: nothing installed; the interop tests need $packages" >&2
    exit 0
fi

missing=
for pair in sipp:sip-tester tshark:tshark dumpcap:tshark ffmpeg:ffmpeg ffprobe:ffmpeg \
        kamailio:kamailio openssl:openssl sipsak:sipsak; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
# Debian's folder of modules carries the name of the architecture.
ls /usr/lib/*/kamailio/modules/tls.so >/dev/null 2>&1 || missing="$missing kamailio-tls-modules"
if [ -z "$missing" ]; then
    echo "all there: $packages"
    exit 0
fi

# A package that brings a daemon starts it at once unless this file says no. The tests start their
# own, each on its own ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # a list of words is meant
apt-get install -y -qq --no-install-recommends $packages
