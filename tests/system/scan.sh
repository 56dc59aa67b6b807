#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The leak scan (tests/tools/scan.c) finds what was planted, and nothing in noise.
# Usage: tests/system/scan.sh [O]
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
mkdir -p "$O"
make --no-print-directory O="$O" "$O/tools/scan" >/dev/null || { echo "FAIL scan: build"; exit 1; }
work=$(mktemp -d "$O/scan.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
failed=0

# expect NAME STATUS PATTERN ARGUMENT…
expect() {
	local name=$1 want=$2 pattern=$3 status

	shift 3
	"$O/tools/scan" "$@" >"$work/out" 2>&1
	status=$?
	if [ $status -eq "$want" ] && grep -q -- "$pattern" "$work/out"; then
		echo "PASS scan: $name"
	else
		echo "FAIL scan: $name: status $status: $(tail -n 1 "$work/out")"
		failed=1
	fi
}
put() { dd of="$work/volume" bs=1 seek="$1" conv=notrunc status=none; }

# A plain disk of programs, with holes; a volume of noise with a hole.
{ cat /usr/bin/bash; head -c 1000000 /dev/zero; cat "$O/tools/scan"; } >"$work/plain"
truncate -s 8M "$work/plain"
fresh() {
	rm -f "$work/volume"
	head -c 24M /dev/urandom >"$work/volume"
	truncate -s 32M "$work/volume"
}
fresh
expect "nothing in noise" 0 'nothing found, the volume is noise' "$work/plain" "$work/volume"
expect "a hole is counted" 0 '6144 blocks of 4 KiB with data' "$work/plain" "$work/volume"
dd if="$work/plain" bs=512 skip=300 count=1 status=none | put $((16 * 1000001))
expect "one planted block, at a multiple of 16" 1 'at 160000[0-9]* *: what stands at 153' "$work/plain" "$work/volume"
fresh
dd if="$work/plain" bs=1 skip=400000 count=512 status=none | put 4194240
expect "one planted block across the edge of two buffers" 1 PLAINTEXT "$work/plain" "$work/volume"
fresh
head -c 4096 /dev/zero | tr '\0' U | put $((20 << 20))
expect "a block of one byte value is no noise" 1 'NOT NOISE' "$work/plain" "$work/volume"
fresh
yes 'a file name and its contents' | head -c 2048 | put $((20 << 20))
expect "half a block of text is no noise" 1 '1 impossible' "$work/plain" "$work/volume"
fresh
printf 'LUKS\272\276' | put 0
yes 'key slots' | head -c 65536 | put 4096
expect "a header is not judged" 0 'the volume is noise' "$work/plain" "$work/volume"
expect "unless it is said to be data" 1 'NOT NOISE' --data-at 0 "$work/plain" "$work/volume"
truncate -s 0 "$work/empty"
expect "an empty volume is trouble" 2 'cannot be read' "$work/plain" "$work/empty"
truncate -s 8M "$work/empty"
expect "a volume of holes proves nothing" 2 'nothing to compare' "$work/plain" "$work/empty"
expect "usage" 2 usage "$work/plain"
exit $failed
