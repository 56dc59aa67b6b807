#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# SIGKILL at random moments of format, rotate and import: each is gone on with or begun again, and nothing is lost.
# Usage: tests/system/volume-kill.sh [O] [KILLS]     prints one line a check; exit status 1 when one failed
set -uo pipefail
O=$(realpath -m "${1:-build}")
kills=${2:-20}
hull=$O/bin/hull
[ -x "$hull" ] || { echo "FAIL volume-kill: $hull is not built"; exit 1; }
export LC_ALL=C
base=/dev/shm	# the kills shall hit our work, not the medium's waits
[ -d $base ] && [ "$(df --output=avail -B1M $base | tail -n 1)" -gt 3000 ] || base=$O
tmp=$(mktemp -d $base/hull-kill.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 2
head -c 32 /dev/urandom >key
head -c 32 /dev/urandom >other
mkfifo quiet

fail() { echo "FAIL $1"; exit 1; }
now() { date +%s%N; }
hash() { sha256sum <"$1" | cut -c1-64; }
plain_hash() { rm -f out; "$hull" volume export "$1" out --key file:key 2>why && hash out; }
# Run for at most SPAN nanoseconds, a random part of it. True when it was killed; it is dead then. Else its end is in $status.
killed() {	# SPAN COMMAND…
	local pause pid
	pause=$(awk -v n="$1" -v r=$RANDOM$RANDOM 'BEGIN { srand(r); printf "%.4f", rand() * n / 1e9 }')
	shift
	status=0
	"$@" >why 2>&1 &
	pid=$!
	read -rt "$pause" <>quiet
	{ kill -KILL $pid; wait $pid || status=$?; } 2>/dev/null
	# The kernel ends the dead program's requests in its own time, and the volume stays locked until it has.
	[ ! -f v ] || flock -x -w 10 v true || fail "the volume is locked 10 s after its user was killed"
	[ $status -eq 137 ]
}
span() {	# COMMAND…: how long a whole run takes
	local start
	start=$(now)
	"$@" >why 2>&1 || fail "$*: $(head -n 1 why)"
	echo $((($(now) - start) * 11 / 10))
}

# ---- format: either whole or not there
make=("$hull" volume format v --key file:key --size 8M --random-key)
whole=$(span "${make[@]}") || { echo "$whole"; exit 1; }
hit=0 halves=0
for ((n = 0; n < kills * 20 && hit < kills; n++)); do
	rm -f v
	killed "$whole" "${make[@]}" || continue
	hit=$((hit + 1))
	[ -e v ] || continue
	if "$hull" volume open v --key file:key >why 2>&1; then
		cryptsetup open --test-passphrase v --key-file key || fail "format: a volume that Hull opens and cryptsetup does not"
		continue
	fi
	halves=$((halves + 1))
	grep -qE 'has no key slot: its format was cut short|is no LUKS volume|header is damaged' why || fail "format: unclear after a kill: $(cat why)"
	"${make[@]}" >why 2>&1 || "${make[@]}" --force >why 2>&1 || fail "format: cannot be done again: $(cat why)"
	"$hull" volume open v --key file:key >why 2>&1 || fail "format: done again, and does not open: $(cat why)"
done
[ $hit -eq "$kills" ] && echo "PASS format: $hit kills, $halves of them left a part of a volume; none was taken for a good one, all could be formatted" ||
	echo "FAIL format: only $hit of $kills kills hit"

# ---- rotate
rm -f v
"$hull" volume format v --key file:key --size 96M --random-key || exit 1
"$hull" volume addkey v --key file:key --new-key file:other --random-key >/dev/null || exit 1
head -c 96M /dev/urandom >data
"$hull" volume import data v --key file:key 2>/dev/null || exit 1
want=$(hash data)
turn=("$hull" volume rotate v --key file:key --also file:other)
whole=$(span "${turn[@]}") || { echo "$whole"; exit 1; }
hit=0 middle=0 ended=0
for ((n = 0; n < kills * 20 && hit < kills; n++)); do
	if ! killed "$whole" "${turn[@]}"; then
		[ $status -eq 0 ] || fail "rotate: after $hit kills: $(cat why)"
		ended=$((ended + 1))
		continue
	fi
	hit=$((hit + 1))
	"$hull" volume info v | grep -q '^rotation' && middle=$((middle + 1))
	# Every other time the rotation itself has to recover, not a reader.
	[ $((hit % 2)) -eq 0 ] || [ "$(plain_hash v)" = "$want" ] || fail "rotate: after kill $hit the content differs: $(head -n 1 why)"
done
"${turn[@]}" >why 2>&1 || fail "rotate: cannot be finished: $(cat why)"
[ "$(plain_hash v)" = "$want" ] || fail "rotate: the content differs at the end"
for key in key other; do "$hull" volume open v --key file:$key >why 2>&1 || fail "rotate: $key was lost: $(cat why)"; done
slots=$("$hull" volume info --json v | jq '.slots | length')
[ "$slots" -eq 2 ] || fail "rotate: $slots key slots are left of 2"
[ $hit -eq "$kills" ] && echo "PASS rotate: $hit kills, $middle in the middle, $ended rotations ended between; content and both keys are there" ||
	echo "FAIL rotate: only $hit of $kills kills hit"

# ---- import
rm -f v data
"$hull" volume format v --key file:key --size 800M --random-key || exit 1
head -c 800M /dev/urandom >data
want=$(hash data)
copy=("$hull" volume import data v --key file:key)
whole=$(span "${copy[@]}") || { echo "$whole"; exit 1; }
hit=0 resumed=0 ended=0
for ((n = 0; n < kills * 20 && hit < kills; n++)); do
	if ! killed "$whole" "${copy[@]}"; then
		[ $status -eq 0 ] || fail "import: after $hit kills: $(cat why)"
		ended=$((ended + 1))
		continue
	fi
	hit=$((hit + 1))
	at=$("$hull" volume info --json v | jq '.import.done // 0')
	[ "$at" -eq 0 ] || resumed=$((resumed + 1))
done
"${copy[@]}" >why 2>&1 || fail "import: cannot be finished: $(cat why)"
[ "$(plain_hash v)" = "$want" ] || fail "import: the content differs at the end"
[ $hit -eq "$kills" ] && echo "PASS import: $hit kills, $resumed after a mark, $ended imports ended between; the content is the source's" ||
	echo "FAIL import: only $hit of $kills kills hit"
