#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hull-hv is killed (SIGKILL) at random moments while a guest writes to an encrypted volume, in a part of the runs while the volume's
# key is rotated. After each restart the guest holds the disk to everything it had reported flushed (tests/system/crash/main.c).
# The guest is small enough for this machine's own KVM. A kill loses what hull-hv had not handed to the kernel; crash-vm.sh kills the
# kernel too.
# Usage: tests/system/crash.sh [O]
# Environment: KILLS   how often (default 200; three quarters of them on virtio-blk, the others on AHCI)
#              PLAIN=1 a plain volume, ROTATE=0 no rotations: to tell the layers apart
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
kills=${KILLS:-200}
plain=${PLAIN:-0} rotate=${ROTATE:-1}
mkdir -p "$O"
work=$(mktemp -d "$O/crash.XXXXXX")
pid='' asking=''
failed=0
cleanup() {
	[ -z "$pid$asking" ] || kill -KILL $pid $asking 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP
. tests/system/crash/lib.sh

if ! "$O/bin/hull-hv" --probe >"$work/probe" 2>&1; then
	echo "SKIP crash: $(grep -m1 'NO' "$work/probe")"
	exit 0
fi
tests/system/crash/build "$work/kernel" 2>"$work/err" || { echo "FAIL crash: guest: $(head -n 1 "$work/err")"; exit 1; }
"$O/bin/hull" env compile tests/system/crash/crash.dts "$work/dtb" || { echo "FAIL crash: environment"; exit 1; }
crash_begin

# A fresh volume for a disk, and a placement with it; the machine's other disk is plain and idle.
new_volume() {
	local other=sda

	[ "$1" = vda ] || other=vda
	: >"$work/$1.flushed"
	rm -f "$work/vda" "$work/sda"
	truncate -s 64M "$work/$other"
	if [ "$plain" = 1 ]; then
		truncate -s 64M "$work/$1"
		printf 'disk.%s = %s\n' "$1" "$work/$1" "$other" "$work/$other" >"$work/placement"
		return
	fi
	[ -f "$work/key" ] || (umask 077 && head -c 64 /dev/urandom >"$work/key")
	"$O/bin/hull" volume format "$work/$1" --key "file:$work/key" --random-key --size 64M >"$work/format" 2>&1 ||
		{ echo "FAIL crash: format: $(tail -n 1 "$work/format")"; exit 1; }
	cat >"$work/placement" <<-X
		disk.$1 = $1
		volume.$1 = $work/$1
		volume.$1.key = file:$work/key
		disk.$other = $work/$other
	X
	[ "$rotate" = 0 ] || echo "control = $work/control" >>"$work/placement"
}

start_hv() {
	crash_orders "$1"
	: >"$work/console"
	rm -f "$work/control"
	"$O/bin/hull-hv" --env "$work/dtb" --placement "$work/placement" --kernel "$work/kernel" --initrd "$work/orders" --no-reboot \
		--console stdio </dev/null >"$work/console" 2>"$work/log" &
	pid=$!
}

# The guest has said this, or hull-hv has ended, or half a minute is over
said() {
	local i

	for ((i = 0; i < 6000; i++)); do
		! grep -q "$1" "$work/console" || return 0
		kill -0 $pid 2>/dev/null || return 1
		sleep 0.005
	done
	return 1
}

# What was in flight when it was killed holds the volume's lock a little longer than the process lives.
kill_hv() {
	local i d

	kill -KILL $pid 2>/dev/null
	wait $pid 2>/dev/null
	pid=
	[ -z "$asking" ] || wait $asking
	asking=
	for d in vda sda; do
		for ((i = 0; i < 500; i++)); do
			! flock -n "$work/$d" true || break
			sleep 0.01
		done
		[ $i -le $longest ] || longest=$i
	done
}

# Its end is not waited for: the kill does not wait either, and the next run goes on with it.
ask_rotation() {
	[ "$plain$rotate" = 01 ] || return 0
	"$O/bin/hull" server rotate "$work/control" "$1" >>"$work/rotation" 2>&1 &
	asking=$!
	rotations=$((rotations + 1))
}

# one_run DISK: 0 when nothing is wrong so far
one_run() {
	local why='' early=0 before

	before=$(wc -l <"$work/$1.flushed")
	start_hv "$1"
	# One kill in eight comes before the guest has seen the whole region, never in the first run: it fills the region.
	if [ "$before" -gt 0 ] && [ "$(crash_dice 8)" = 0 ]; then
		early=1
		sleep "0.$(printf '%03d' "$(crash_dice 100)")"
	elif said '^[VE] '; then
		[ "$before" = 0 ] || [ "$(crash_dice 2)" = 0 ] || ask_rotation "$1"
		sleep "0.$(printf '%03d' "$(crash_dice 300)")"
	else
		why="the guest did not come up: $(tail -n 1 "$work/log")"
	fi
	! grep -qi rotat "$work/log" || resumed=$((resumed + 1))
	[ -n "$why" ] || kill -0 $pid 2>/dev/null || why="hull-hv ended by itself: $(tail -n 1 "$work/log")"
	kill_hv
	earlies=$((earlies + early))
	why="$why$(crash_note "$1" "$work/console")"
	newer=$((newer + $(crash_lines "$work/console" | sed -n 's/^V //p' | awk '{ n += $1 } END { print n + 0 }')))
	[ -z "$why" ] && return 0
	echo "FAIL crash $1, run $before: $why"
	rm -rf "$O/crash-failed"
	cp -r "$work" "$O/crash-failed"
	return 1
}

# Histories of 50 runs: what the guest replays at its start grows with them.
for disk in vda sda; do
	count=$((kills * 3 / 4)) done=0 flushed=0 newer=0 earlies=0 rotations=0 resumed=0 longest=0
	[ $disk = vda ] || count=$((kills - count))
	while [ $done -lt $count ] && [ $failed = 0 ]; do
		new_volume $disk
		while [ $done -lt $count ] && [ "$(wc -l <"$work/$disk.flushed")" -lt 50 ]; do
			one_run $disk || { failed=1; break; }
			done=$((done + 1))
		done
		flushed=$((flushed + $(crash_sum $disk)))
		if [ "$plain" = 0 ] && grep -qa '!HULLRSH' "$work/$disk"; then
			echo "FAIL crash $disk: the volume holds plaintext"
			failed=1
		fi
	done
	# Does the guest see what is missing at all? It is told that records are flushed which were never written.
	if [ $failed = 0 ]; then
		sed -i "\$s/.*/$(($(tail -n 1 "$work/$disk.flushed") + 2000))/" "$work/$disk.flushed"
		start_hv $disk
		if said '^[VE] ' && grep -q '^E .*\(lost\|damaged\)' <(sleep 0.1; cat "$work/console"); then
			echo "PASS crash $disk: a flushed record that is missing is found"
		else
			echo "FAIL crash $disk: a flushed record that is missing is not found"
			failed=1
		fi
		kill_hv
	fi
	[ $failed = 1 ] || echo "PASS crash $disk: $done kills ($earlies while it came up, $rotations with a rotation begun, $resumed with one gone on with), $flushed flushed records, none lost;" \
		"$newer sectors held later ones; locks outlived hull-hv by ${longest}0 ms at most"
done
exit $failed
