#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The whole cloud VM is killed at random moments while a guest in it writes to an encrypted volume: QEMU, which is the provider's
# hypervisor here, gets SIGKILL, and with it go hull-hv and the kernel below it with all it had not written to the volume. After each
# new start the guest holds the disk to everything it had reported flushed (tests/system/crash/main.c). What the cloud VM's kernel
# had written is in the page cache of this machine, which stays up: a power cut of the provider's machine is not in this test.
# Usage: tests/system/crash-vm.sh [O]
# Environment: VM_KILLS how often (default 6)
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
kills=${VM_KILLS:-6}
mkdir -p "$O"
work=$(mktemp -d "$O/crash-vm.XXXXXX")
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
. tests/system/crash/lib.sh
die() { echo "FAIL crash of the VM: $*"; exit 1; }

tools/appliance/build "$O" >"$work/err" 2>&1 || die "appliance: $(tail -n 1 "$work/err")"
tests/system/crash/build "$work/kernel" 2>"$work/err" || die "guest: $(head -n 1 "$work/err")"
"$O/bin/hull" env compile tests/system/crash/crash.dts "$work/dtb" || die "environment"
(umask 077 && head -c 64 /dev/urandom >"$work/key")
printf '%s\n' 'disk.vda = vda' 'volume.vda = /dev/vol/vda' 'volume.vda.key = file:/config/key' 'disk.sda = /tmp/sda' >"$work/disks"
cp tests/system/crash/vm-job "$work/job.sh"
crash_begin
new_volume() {
	: >"$work/vda.flushed"
	rm -f "$work/volume"
	"$O/bin/hull" volume format "$work/volume" --key "file:$work/key" --random-key --size 64M >"$work/err" 2>&1 || die "format: $(tail -n 1 "$work/err")"
}

# The guest has said this, or the VM has ended, or a minute is over
said() {
	local i

	for ((i = 0; i < 3000; i++)); do
		! grep -qa "$1" "$work/vm/serial.log" 2>/dev/null || return 0
		kill -0 $pid 2>/dev/null || return 1
		sleep 0.02
	done
	return 1
}

one_run() {
	local before why='' begin=$EPOCHREALTIME

	before=$(wc -l <"$work/vda.flushed")
	crash_orders vda
	rm -f "$work/vm/serial.log"
	tests/cloud/vm --quiet --appliance "$O/appliance" --memory 512 --timeout 120 --nic none --state "$work/vm" --volume "vda=$work/volume" \
		--config "$work/dtb" --config "$work/disks" --config "$work/key" --config "$work/kernel" --config "$work/orders" --config "$work/job.sh" \
		>"$work/log" 2>&1 &
	pid=$!
	if said '^[VE] '; then
		sleep "$(crash_dice 2).$(printf '%03d' "$(crash_dice 1000)")"
		kill -KILL "$(cat "$work/vm/qemu.pid")" || why="the VM had ended"
	else
		why="the guest did not come up: $(tail -n 1 "$work/vm/serial.log")"
		kill $pid
	fi
	wait $pid
	pid=
	why="$why$(crash_note vda "$work/vm/serial.log")"
	newer=$((newer + $(crash_lines "$work/vm/serial.log" | sed -n 's/^V //p' | awk '{ n += $1 } END { print n + 0 }')))
	slowest=$(bc <<<"x = $EPOCHREALTIME - $begin; if (x > $slowest) x else $slowest")
	[ -z "$why" ] && return 0
	echo "FAIL crash of the VM, run $before: $why"
	cp "$work/vm/serial.log" "$O/crash-vm.log"
	return 1
}

done=0 newer=0 slowest=0 flushed=0
while [ $done -lt "$kills" ]; do
	[ $((done % 50)) != 0 ] || { [ $done = 0 ] || flushed=$((flushed + $(crash_sum vda))); new_volume; }
	one_run || exit 1
	done=$((done + 1))
done
flushed=$((flushed + $(crash_sum vda)))
! grep -qa '!HULLRSH' "$work/volume" || die "the volume holds plaintext"
echo "PASS crash of the VM: $done kills, $flushed flushed records, none lost; $newer sectors held later ones; a run took ${slowest%.*} s at most"
