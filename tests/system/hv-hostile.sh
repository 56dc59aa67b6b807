#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A guest that writes random values to every register it can reach (hostile.S), on this machine's own KVM, with hull-hv as it
# is and with AddressSanitizer and UBSan: hull-hv stays alive, small, and ends when it is told to.
# Usage: tests/system/hv-hostile.sh [O]
# Environment: SECONDS_EACH (default 5), SEEDS (default "1 2 3 4"), both for each build
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
seconds=${SECONDS_EACH:-5}
mkdir -p "$O"
work=$(mktemp -d "$O/hostile.XXXXXX")
pid=
trap '[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
failed=0

if ! "$O/bin/hull-hv" --probe >"$work/probe" 2>&1; then
	echo "SKIP hostile guest: $(grep -m1 'NO' "$work/probe")"
	exit 0
fi
if ! gcc -m32 -nostdlib -static -Wl,--build-id=none,-Ttext=0xfffc0000 -o "$work/elf" tests/system/hostile.S 2>"$work/err" ||
	! objcopy -O binary -j .text "$work/elf" "$work/rom"; then
	echo "FAIL hostile guest: $(head -1 "$work/err")"
	exit 1
fi
"$O/bin/hull" env compile tests/system/hostile.dts "$work/dtb" || { echo "FAIL hostile guest: environment"; exit 1; }

# KiB that hull-hv holds beside the guest's 64 MiB
own_kib() {
	awk '/^[0-9a-f]+-/ { big = 0 } /^Size:/ { big = $2 >= 16384 } /^Rss:/ && !big { n += $2 } END { print n + 0 }' "/proc/$1/smaps"
}

# The process is gone within so many tenths of a second
gone() {
	local i

	for ((i = 0; i < $1; i++)); do
		kill -0 "$pid" 2>/dev/null || return 0
		sleep 0.1
	done
	return 1
}

# The process has written this
said() {
	local i

	for ((i = 0; i < 50; i++)); do
		grep -q "$1" "$work/log" && return 0
		sleep 0.1
	done
	return 1
}

# attack NAME HULL-HV SEED MOST-KIB
attack() {
	local name=$1 hv=$2 seed=$3 most=$4 status kib=0 counts why=

	printf '%b' "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $((seed & 255)) $((seed >> 8 & 255)) 90 165)" |
		dd of="$work/rom" bs=1 seek=$((0x3fff8)) conv=notrunc status=none
	rm -f "$work/stats"
	truncate -s 0 "$work/sda" "$work/vda"
	truncate -s 16M "$work/sda" "$work/vda"
	ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 "$hv" --env "$work/dtb" --firmware "$work/rom" \
		--disk sda="$work/sda" --disk vda="$work/vda" --nic net0=up --nic net1=up --nic net2=up --console socket:"$work/com1" --debug-log /dev/null \
		--stats "$work/stats" >"$work/log" 2>&1 </dev/null &
	pid=$!
	if ! gone $((seconds * 10)); then
		kib=$(own_kib "$pid")
		kill -TERM "$pid"
		said 'power button pressed' || gone 1 || why="it did not answer the first SIGTERM"
		kill -TERM "$pid" 2>/dev/null
		gone 150 || { why="it did not end"; kill -KILL "$pid"; }
	fi
	wait "$pid"
	status=$?
	pid=
	if grep -qE 'ERROR: |runtime error:|WARNING: ThreadSanitizer' "$work/log"; then
		why="$(grep -m1 -E 'ERROR: |runtime error:' "$work/log")"
	elif [ -z "$why" ]; then
		case $status in
		0 | 4) ;;
		3) grep -qE 'error: vCPU [0-9]+ ' "$work/log" || why="status 3 without a reason" ;;
		*) why="status $status: $(tail -n 1 "$work/log")" ;;
		esac
	fi
	[ -n "$why" ] || [ "$kib" -le "$most" ] || why="$kib KiB beside guest memory, $most at most"
	[ -n "$why" ] || [ "$(sed -n 's/.*"mmio": \([0-9]*\).*/\1/p' "$work/stats")" -gt 1000 ] || why="the guest hardly wrote anything"
	if [ -n "$why" ]; then
		echo "FAIL $name, seed $seed: $why"
		cp "$work/log" "$O/hostile-$seed.log"
		failed=1
	else
		counts=$(tr -d '\n {}' <"$work/stats" | sed 's/.*"resets":\([0-9]*\).*"port":\([0-9]*\),"mmio":\([0-9]*\).*/\1 resets, \2 port and \3 MMIO exits/')
		echo "PASS $name, seed $seed (status $status, $kib KiB, $counts)"
	fi
}

for seed in ${SEEDS:-1 2 3 4}; do
	attack "hostile guest" "$O/bin/hull-hv" "$seed" 16384
done
san=$O/san-address-undefined
if ! make --no-print-directory O="$san" SAN=address,undefined "$san/bin/hull-hv" >"$work/make" 2>&1; then
	echo "FAIL hostile guest, sanitized: build: $(tail -n 1 "$work/make")"
	exit 1
fi
for seed in ${SEEDS:-1 2 3 4}; do
	attack "hostile guest, sanitized" "$san/bin/hull-hv" "$((seed + 1000))" 1048576
done
exit $failed
