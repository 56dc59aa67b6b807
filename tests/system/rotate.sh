#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Online rotation of a volume's key: hv's layers and the real agent under random requests, killed at random moments.
# Usage: tests/system/rotate.sh [O]      KILLS: of agents and of whole processes each (50); SEED
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build} KILLS=${KILLS:-50} SEED=${SEED:-1}
work=$(mktemp -d "${TMPDIR:-/dev/shm}/hull-rotate.XXXXXX")
child= loop=
# A driver that is interrupted takes its children with it: they die with their parent.
trap '[ -z "$child" ] || kill -KILL "$child" 2>/dev/null; [ -z "$loop" ] || losetup -d "$loop"; rm -rf "$work"' EXIT
trap 'exit 2' INT TERM
failed=0
driver=$work/driver volume=$work/volume key=$work/key

say() { echo "$1 $2"; [ "$1" != FAIL ] || failed=1; }
# run NAME COMMAND…: its output stands behind the name
run() {
	local name=$1
	shift
	timeout 600 "$@" >"$work/out" 2>"$work/err" </dev/null &
	child=$!
	wait $child
	status=$?
	child=
	if [ $status -eq 0 ]; then say PASS "$name: $(tail -n 1 "$work/out")"; else say FAIL "$name: status $status: $(tail -n 1 "$work/err")"; fi
	return $status
}

san=$(grep -oE 'san-[a-z-]+' <<<"$O" | sed 's/^san-//; s/-/,/g')
# shellcheck disable=SC2086
${CC:-gcc} -std=gnu17 -O2 -g -D_GNU_SOURCE -I. ${san:+-fsanitize=$san} -o "$driver" tests/system/rotate_driver.c "$O/lib/libhv.a" \
	"$O/lib/libhullcrypto.a" "$O/lib/libhull.a" -pthread -lfdt -ljansson -luring -lcryptsetup -lssl -lcrypto -largon2 \
	-ltss2-esys -ltss2-mu -ltss2-tctildr -ltss2-rc 2>"$work/err" || { echo "FAIL rotate: driver: $(head -n 1 "$work/err")"; exit 1; }
export HULL_AGENT=$driver
head -c 32 /dev/urandom >"$key"

check_end() {
	run "$1: every sector, by libcryptsetup alone" "$driver" end "$volume" "$key"
	if cryptsetup luksDump "$volume" 2>/dev/null | grep -q 'online-reencrypt'; then say FAIL "$1: cryptsetup still sees a rotation"; fi
	if cryptsetup open --test-passphrase --key-file "$key" "$volume" 2>"$work/err"; then say PASS "$1: cryptsetup opens it"
	else say FAIL "$1: cryptsetup: $(head -n 1 "$work/err")"; fi
}

# everything WHAT KILLS MIB: of the storm's volume
everything() {
	run "$1: a volume" "$driver" make "$volume" "$key" 64 >/dev/null || say FAIL "$1: make: $(tail -n 1 "$work/err")"
	FIGURES=1 run "$1: rotation under load" "$driver" calm "$volume" "$key"
	check_end "$1: rotation under load"
	run "$1: agents that all end" "$driver" stuck "$volume" "$key"
	check_end "$1: agents that all end"
	"$driver" make "$volume" "$key" "$3" 2>"$work/err" || say FAIL "$1: storm: $(tail -n 1 "$work/err")"
	run "$1: storm" "$driver" storm "$volume" "$key" "$SEED" "$2"
	run "$1: storm: to the end" "$driver" calm "$volume" "$key" >/dev/null || say FAIL "$1: storm: last rotation: $(tail -n 1 "$work/err")"
	check_end "$1: storm"
}

everything file "$KILLS" 32
# A device is claimed (O_EXCL) by hull-hv and, while it rotates, by libcryptsetup.
truncate -s 80M "$work/backing"
if loop=$(losetup --find --show "$work/backing" 2>"$work/err"); then
	volume=$work/device
	ln -s "$loop" "$volume"
	everything device $((KILLS / 5 + 1)) 64	# a device is taken as it is, with 16 MiB for the header
else
	loop=
	echo "SKIP device: no loop device can be had here: $(tail -n 1 "$work/err")"
fi
exit $failed
