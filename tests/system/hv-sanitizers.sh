#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hull-hv with AddressSanitizer and UBSan, and with ThreadSanitizer: real firmware finds an empty disk, and the operator's two
# SIGTERMs end it; and a start that fails at each step in turn, for want of descriptors, leaks nothing.
# Usage: tests/system/hv-sanitizers.sh [O]
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
mkdir -p "$O"
work=$(mktemp -d "$O/sanitizers.XXXXXX")
pid=
trap '[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
failed=0
report='ERROR: [A-Z]|runtime error:|WARNING: ThreadSanitizer|ThreadSanitizer: reported'

if ! "$O/bin/hull-hv" --probe >"$work/probe" 2>&1; then
	echo "SKIP hull-hv under sanitizers: $(grep -m1 'NO' "$work/probe")"
	exit 0
fi
"$O/bin/hull" env compile tests/system/hostile.dts "$work/dtb" || { echo "FAIL hull-hv under sanitizers: environment"; exit 1; }
truncate -s 16M "$work/sda" "$work/vda"

fail() {
	echo "FAIL $1: $2"
	cp "$work/log" "$O/sanitizers-${1%% *}.log"
	failed=1
}

# wait_for PATTERN FILE SECONDS
wait_for() {
	local i

	for ((i = 0; i < $3 * 10; i++)); do
		grep -q "$1" "$2" 2>/dev/null && return 0
		kill -0 "$pid" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

# build SANITIZERS: the folder, or nothing
build() {
	local o=$O/san-${1//,/-}

	make --no-print-directory O="$o" SAN="$1" "$o/bin/hull-hv" >"$work/log" 2>&1 && echo "$o"
}

# firmware NAME COMMAND…
firmware() {
	local name=$1 status

	shift
	rm -f "$work/firmware"
	"$@" --env "$work/dtb" --disk sda="$work/sda" --disk vda="$work/vda" --nic net0=up --console "socket:$work/com1" \
		--debug-log "$work/firmware" --stats "$work/stats" >"$work/log" 2>&1 </dev/null &
	pid=$!
	if ! wait_for 'No bootable device' "$work/firmware" 90; then
		kill -KILL "$pid" 2>/dev/null
		wait "$pid"; status=$?; pid=
		fail "$name" "firmware did not come to \"No bootable device\" (status $status): $(tail -n 1 "$work/log")"
		return
	fi
	kill -TERM "$pid"
	wait_for 'power button pressed' "$work/log" 30
	kill -TERM "$pid"
	wait "$pid"; status=$?; pid=
	if grep -qE "$report" "$work/log"; then
		fail "$name" "$(grep -m1 -E "$report" "$work/log")"
	elif [ $status -ne 4 ]; then
		fail "$name" "status $status instead of 4: $(tail -n 1 "$work/log")"
	else
		echo "PASS $name: SeaBIOS to \"No bootable device\""
	fi
}

# hostile NAME COMMAND…: hostile.S on two CPUs with resets in between
hostile() {
	local name=$1 status

	shift
	"$@" --env "$work/dtb" --firmware "$work/rom" --disk sda="$work/sda" --disk vda="$work/vda" --nic net0=up \
		--stats "$work/stats" >"$work/log" 2>&1 </dev/null &
	pid=$!
	wait_for 'never written' "$work/log" 8
	kill -TERM "$pid" 2>/dev/null
	wait_for 'power button pressed' "$work/log" 30
	kill -TERM "$pid" 2>/dev/null
	wait "$pid"; status=$?; pid=
	if grep -qE "$report" "$work/log"; then
		fail "$name" "hostile guest: $(grep -m1 -E "$report" "$work/log")"
	elif [[ " 0 3 4 " != *" $status "* ]]; then
		fail "$name" "hostile guest: status $status: $(tail -n 1 "$work/log")"
	else
		echo "PASS $name: hostile guest on two CPUs, $(sed -n 's/.*"resets": \([0-9]*\).*/\1/p' "$work/stats") resets"
	fi
}

# Fewer descriptors than a start needs: one step further each time, until it runs.
starts() {
	local hv=$1 n status steps=0

	for ((n = 8; n < 80; n++)); do
		(ulimit -n $n && exec timeout -s KILL 60 "$hv" --env "$work/dtb" --disk sda="$work/sda" --disk vda="$work/vda" --no-reboot \
			--power-timeout 0 --console "socket:$work/com1" --firmware "$work/resets") >"$work/log" 2>&1 </dev/null
		status=$?
		if grep -qE "$report" "$work/log"; then
			fail "start with $n descriptors" "$(grep -m1 -E "$report" "$work/log")"
			return
		fi
		[ $status -eq 5 ] && break
		if [ $status -ne 1 ] || ! grep -q 'error: ' "$work/log"; then
			fail "start with $n descriptors" "status $status: $(tail -n 1 "$work/log")"
			return
		fi
		steps=$((steps + 1))
	done
	if [ $steps -ge 5 ] && [ $n -lt 80 ]; then
		echo "PASS start with too few descriptors: $steps failures, each with its line, nothing leaked"
	else
		fail "start with too few descriptors" "$steps failures, then status $status with $n descriptors"
	fi
}

# Without standard input, output and error: what is logged must not land in a disk that took their number.
closed() {
	local status

	timeout -s KILL 60 "$1" -v --env "$work/dtb" --disk sda="$work/sda" --disk vda="$work/vda" --no-reboot \
		--firmware "$work/resets" <&- >&- 2>&-
	status=$?
	: >"$work/log"
	if [ $status -ne 5 ]; then
		fail "start with closed standard files" "status $status instead of 5"
	elif [ -n "$(tr -d '\0' <"$work/sda" | head -c 1)$(tr -d '\0' <"$work/vda" | head -c 1)" ]; then
		fail "start with closed standard files" "something was written into a disk"
	else
		echo "PASS start with closed standard files"
	fi
}

if ! gcc -m32 -nostdlib -static -Wl,--build-id=none,-Ttext=0xfffc0000 -o "$work/elf" tests/system/hostile.S 2>"$work/log" ||
	! objcopy -O binary -j .text "$work/elf" "$work/rom"; then
	fail "hostile guest" "$(head -1 "$work/log")"
	exit 1
fi
# A ROM that resets the machine at once: mov $6,%al; mov $0xcf9,%dx; out %al,%dx; jmp .
head -c 262144 /dev/zero >"$work/resets"
printf '\xb0\x06\xba\xf9\x0c\xee\xeb\xfe' | dd of="$work/resets" bs=1 seek=$((0x3fff0)) conv=notrunc status=none

if o=$(build address,undefined) && [ -n "$o" ]; then
	export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
	firmware asan "$o/bin/hull-hv"
	hostile asan "$o/bin/hull-hv"
	truncate -s 0 "$work/sda" "$work/vda"
	truncate -s 16M "$work/sda" "$work/vda"
	closed "$o/bin/hull-hv"
	starts "$o/bin/hull-hv"
else
	fail asan "build: $(tail -n 1 "$work/log")"
fi
if o=$(build thread) && [ -n "$o" ]; then
	# It needs the address space layout of old, hence setarch.
	firmware tsan setarch -R "$o/bin/hull-hv"
	hostile tsan setarch -R "$o/bin/hull-hv"
else
	fail tsan "build: $(tail -n 1 "$work/log")"
fi
exit $failed
