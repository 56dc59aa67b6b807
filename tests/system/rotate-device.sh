#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A running hull-hv rotates the key of a volume that is a block device: it shares the claim on the device with libcryptsetup, is killed
# in between and started again at once. Its guest is the firmware, which finds nothing to boot.
# Usage: tests/system/rotate-device.sh [O]
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
hv=$O/bin/hull-hv hull=$O/bin/hull
work=$(mktemp -d "${TMPDIR:-/dev/shm}/hull-device.XXXXXX")
pid= loop=
trap '[ -z "$pid" ] || { kill -KILL $pid; wait $pid; } 2>/dev/null; [ -z "$loop" ] || losetup -d "$loop"; rm -rf "$work"' EXIT
trap 'exit 2' INT TERM
failed=0
sock=$work/control key=$work/key plain=$work/plain

say() { echo "$1 $2"; [ "$1" != FAIL ] || failed=1; }
[ -w /dev/kvm ] || { echo "SKIP rotate-device: no /dev/kvm here"; exit 0; }
[ -e /usr/share/seabios/bios-256k.bin ] || { echo "SKIP rotate-device: no firmware here"; exit 0; }
truncate -s 272M "$work/backing"
loop=$(losetup --find --show "$work/backing" 2>"$work/err") ||
	{ loop=; echo "SKIP rotate-device: no loop device can be had here: $(tail -n 1 "$work/err")"; exit 0; }

start() {
	"$hv" --env "$work/env.dtb" --placement "$work/placement" --control "$sock" 2>>"$work/log" </dev/null &
	pid=$!
	for _ in $(seq 1000); do
		"$hull" server status "$sock" >/dev/null 2>&1 && return 0
		kill -0 $pid 2>/dev/null || break
		sleep 0.02
	done
	say FAIL "start: $(tail -n 1 "$work/log")"
	exit 1
}
# Nobody but hull-hv can mount the device, or make a mapping of it.
claimed() { ! perl -e 'use Fcntl; sysopen(my $f, $ARGV[0], O_RDONLY | O_EXCL) or exit 1' "$loop"; }
expect() {	# NAME PATTERN COMMAND…
	local name=$1 pattern=$2
	shift 2
	if timeout 120 "$hull" server "$@" >"$work/out" 2>&1 && grep -qE -- "$pattern" "$work/out"; then say PASS "$name"
	else say FAIL "$name: $(tail -n 1 "$work/out")"; fi
}

sed 's/cores = <[0-9]*>/cores = <1>/; s/0x100000000>/0x10000000>/' tools/sample/dc-web01.dts >"$work/env.dts"
"$hull" env compile "$work/env.dts" "$work/env.dtb" || { echo "FAIL environment"; exit 1; }
head -c 32 /dev/urandom >"$key"
head -c 256M /dev/urandom >"$plain"
"$hull" volume format "$loop" --key "file:$key" --random-key >"$work/err" 2>&1 || { echo "FAIL format: $(tail -n 1 "$work/err")"; exit 1; }
"$hull" volume import "$plain" "$loop" --key "file:$key" >"$work/err" 2>&1 || { echo "FAIL import: $(tail -n 1 "$work/err")"; exit 1; }
printf 'volume.sda = %s\nvolume.sda.key = file:%s\ndisk.sda = sda\n' "$loop" "$key" >"$work/placement"

start
if claimed; then say PASS "the device is claimed"; else say FAIL "the device is not claimed"; fi
kills=0
for _ in 1 2 3 4 5 6; do
	timeout 120 "$hull" server rotate "$sock" sda --json >"$work/events" 2>&1 &
	client=$!
	for _ in $(seq 1000); do grep -q '"running"' "$work/events" && break; sleep 0.01; done
	agent=$(cat "/proc/$pid/task/$pid/children")
	kill -KILL $pid
	wait $pid 2>/dev/null
	wait $client
	[ -z "${agent// /}" ] || kills=$((kills + 1))
	start
	for a in $agent; do
		[ ! -e "/proc/$a/fd/0" ] || say FAIL "agent $a of the hull-hv that was killed lives"
	done
done
if [ $kills -gt 0 ]; then say PASS "killed with an agent at work $kills times, and started again at once"; else say FAIL "no rotation was hit"; fi
expect "to the end" '100\.0 %' rotate "$sock" sda
expect "rotated" 'rotation done: 100.0 %' volumes "$sock"
if claimed; then say PASS "the device is claimed again"; else say FAIL "the device is not claimed after a rotation"; fi
expect "rotated once more" '100\.0 %' rotate "$sock" sda
if grep -E 'warn: volume|error:' "$work/log" >"$work/err"; then say FAIL "the log: $(head -n 1 "$work/err")"; fi
kill -KILL $pid
wait $pid 2>/dev/null
pid=
for _ in $(seq 500); do claimed || break; sleep 0.01; done
if "$hull" volume export "$loop" "$work/after" --key "file:$key" >"$work/err" 2>&1 && cmp -n 268435456 "$plain" "$work/after"; then
	say PASS "every byte is as it was"
else
	say FAIL "every byte is as it was: $(tail -n 1 "$work/err")"
fi
if cryptsetup open --test-passphrase --key-file "$key" "$loop" 2>"$work/err"; then say PASS "cryptsetup opens it"; else say FAIL "cryptsetup: $(head -n 1 "$work/err")"; fi
exit $failed
