#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hull-hv is killed (SIGKILL) at random moments under a Linux guest that writes files on ext4 on an encrypted disk, in the test cloud.
# After each restart the journal is replayed, e2fsck finds nothing, and every file that was reported flushed is there, whole.
# Usage: tests/system/crash-linux.sh [O]
# Environment: LINUX_KILLS how often, on each of virtio-blk and AHCI (default 3)
#              DISKS       on these only (default "vda sda")
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
kills=${LINUX_KILLS:-3}
mkdir -p "$O"
work=$(mktemp -d "$O/crash-linux.XXXXXX")
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
die() { echo "FAIL crash with Linux inside: $*"; exit 1; }
must() { "$@" >"$work/err" 2>&1 || die "$1: $(tail -n 1 "$work/err")"; }

must tools/appliance/build "$O"
must tools/sample/build "$O"
must tests/guest/build "$O" "$work/guest.initrd" tests/system/crash/linux-init /usr/sbin/e2fsck
cp "$O/guest/vmlinuz" "$work/guest.kernel"
sed '/memory/s/0x4000000/0x10000000/' tests/system/crash/crash.dts >"$work/dts"	# memory for Linux
must "$O/bin/hull" env compile "$work/dts" "$work/dtb"
(umask 077 && head -c 64 /dev/urandom >"$work/key")
truncate -s 64M "$work/plain"
must mke2fs -q -t ext4 "$work/plain"
for disk in vda sda; do
	must "$O/bin/hull" volume format "$work/$disk.luks" --key "file:$work/key" --random-key --size 64M
	must "$O/bin/hull" volume import "$work/plain" "$work/$disk.luks" --key "file:$work/key"
done
printf '%s\n' 'disk.vda = vda' 'volume.vda = /dev/vol/vda' 'volume.vda.key = file:/config/key' \
	'disk.sda = sda' 'volume.sda = /dev/vol/sda' 'volume.sda.key = file:/config/key' | tee "$work/vda" >"$work/sda"
printf 'kills=%s disks="%s"\n' "$kills" "${DISKS:-vda sda}" >"$work/orders"
cp tests/system/crash/linux-job "$work/job.sh"
tests/cloud/vm --appliance "$O/appliance" --memory 1024 --timeout $((300 + 60 * kills)) --nic none --state "$work/vm" --volume "vda=$work/vda.luks" \
	--volume "sda=$work/sda.luks" --config "$work/dtb" --config "$work/vda" --config "$work/sda" --config "$work/key" --config "$work/guest.kernel" \
	--config "$work/guest.initrd" --config "$work/orders" --config "$work/job.sh" >"$work/log" 2>&1 &
pid=$!
wait $pid
pid=
tr -d '\r' <"$work/log" | grep -E '^(PASS|FAIL|SKIP) '
grep -q CRASH-LINUX-DONE "$work/log" || { cp "$work/log" "$O/crash-linux.log"; die "the cloud VM did not come to the end: $(tail -n 1 "$work/log")"; }
! grep -q '^FAIL' "$work/log"
