#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The sample server on its original hardware, started twice: it has the names it should have, and its fingerprint does
# not change from one start to the next. Two starts under emulation: about two minutes.
# Usage: tests/system/fingerprint-home.sh [O]
set -uo pipefail
O=$(realpath -m "${1:-build}")
top=$(dirname "$(realpath "$0")")/../..
image=$O/sample/dc-web01.img
"$top/tools/sample/build" "$O" || { echo "FAIL sample server: it could not be built"; exit 1; }
tmp=$(mktemp -d "$O/sample/test.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
failed=0

check() {
	local what=$1
	shift
	if "$@" > "$tmp/why" 2>&1; then echo "PASS $what"; else
		echo "FAIL $what: $(tail -1 "$tmp/why")"; tail -20 "$tmp/why" | sed 's/^/    /'; failed=1
	fi
}
fact() { grep -qxE -- "$1" "$tmp/1.facts" || { echo "expected: $1"; grep -F "${1%% =*}" "$tmp/1.facts"; return 1; }; }

cp --sparse=always "$image" "$tmp/disk.img"
for n in 1 2; do
	"$top/tools/sample/home" --disk "$tmp/disk.img" --facts "$tmp/$n.facts" "$O" || { echo "FAIL start $n at home"; exit 1; }
	echo "PASS start $n at home"
done
check "at least 150 facts" [ "$(wc -l < "$tmp/1.facts")" -ge 150 ]
check "two starts on the same hardware show no difference" "$O/bin/hull-fingerprint" diff "$tmp/1.facts" "$tmp/2.facts"
tail -1 "$tmp/why"
check "the onboard port is eno1" fact 'net\.eno1\.address = 3c:ec:ef:12:34:56'
check "the card in slot 3 is ens3" fact 'net\.ens3\.address = 3c:ec:ef:12:34:57'
check "eno1 has its address" fact 'net\.eno1\.ip = 192\.0\.2\.10/24'
check "ens3 has its address" fact 'net\.ens3\.ip = 198\.51\.100\.10/24'
check "the disk has its by-id name" fact 'disk\.by-id\.ata-HGST_HUS722T1TALA604_WMC6N0L0XYZ1 = sda'
check "the disk has its WWN" fact 'disk\.by-id\.wwn-0x5000cca25ec0ffee = sda'
check "/srv is mounted" fact 'mount\./srv = /dev/sda3 ext4'
check "two serial ports" fact 'console\.ttyS1\.port = 0x2F8'
check "the serial number of the machine" fact 'dmi\.id\.product_serial = ES7KX2J3'
exit $failed
