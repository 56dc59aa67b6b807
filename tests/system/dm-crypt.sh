#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Hull's volumes and the kernel's dm-crypt read and write each other's bytes, in the test cloud's VM: these machines' own kernels may
# have no device mapper. Also a rotation that hull began and was killed in, finished by cryptsetup.
# Usage: tests/system/dm-crypt.sh [O]
set -u
cd "$(dirname "$0")/../.." || exit 2
O=$(realpath -m "${1:-build}")
hull=$O/bin/hull
mkdir -p "$O"
work=$(mktemp -d "$O/dm-crypt.XXXXXX")
pid=
trap '[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
failed=0
die() { echo "FAIL dm-crypt: $*"; exit 1; }
must() { timeout 120 "$@" >"$work/err" 2>&1 || die "$1 ${2:-} ${3:-}: $(tail -n 1 "$work/err")"; }
verdict() { if [ "$2" -eq 0 ]; then echo "PASS dm-crypt: $1"; else echo "FAIL dm-crypt: $1: ${3:-$(tail -n 1 "$work/err")}"; failed=1; fi }
sum_of() { sha256sum <"$1" | cut -d' ' -f1; }

must tools/appliance/build "$O"
(umask 077 && head -c 64 /dev/urandom >"$work/key")
head -c 24M /dev/urandom >"$work/plain"
head -c 64M /dev/urandom >"$work/plain-rotating"
head -c 1M /dev/urandom >"$work/patch"
make_volume() { must "$hull" volume format "$work/$1" --key "file:$work/key" --random-key --size "$2" --sector "$3"; }
for sector in 4096 512; do
	make_volume s$sector 24M $sector
	must "$hull" volume import "$work/plain" "$work/s$sector" --key "file:$work/key"
done
make_volume rotating 64M 4096
must "$hull" volume import "$work/plain-rotating" "$work/rotating" --key "file:$work/key"
truncate -s 32M "$work/theirs"

# Killed a little later each time, until the header says that a rotation is under way. (While it runs, its lock keeps cryptsetup out.)
rotating() { cryptsetup luksDump "$work/rotating" 2>/dev/null | grep -q online-reencrypt; }
for try in $(seq 20); do
	"$hull" volume rotate "$work/rotating" --key "file:$work/key" >"$work/err" 2>&1 &
	pid=$!
	sleep "0.$((10 + 4 * try))"
	kill -KILL $pid 2>/dev/null
	wait $pid 2>/dev/null
	pid=
	! rotating || break
done
rotating
verdict "hull is killed in the middle of a rotation" $?

# cryptsetup with its libraries, where they stand here: the same Debian is in the appliance.
tools() {
	local program

	program=$(command -v cryptsetup) || die "cryptsetup is missing: run scripts/setup"
	ldd "$program" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-linux[^ ]*\) .*/\1/p' |
		{ cat; echo "$program"; ls /usr/lib/x86_64-linux-gnu/ossl-modules/legacy.so 2>/dev/null; } | tar -C / -chf "$work/tools.tar" --transform 's|^/||' -P -T -
}
tools
printf 'sum_plain=%s\nsum_rotating=%s\n' "$(sum_of "$work/plain")" "$(sum_of "$work/plain-rotating")" >"$work/wanted"
cp tests/system/dm-crypt-job "$work/job.sh"
volumes=()
for v in s4096 s512 rotating theirs; do volumes+=(--volume "$v=$work/$v"); done
tests/cloud/vm --appliance "$O/appliance" --memory 768 --timeout 300 --state "$work/vm" "${volumes[@]}" --config "$work/job.sh" --config "$work/key" \
	--config "$work/wanted" --config "$work/patch" --config "$work/tools.tar" >"$work/log" 2>&1 &
pid=$!
wait $pid
pid=
tr -d '\r' <"$work/log" | grep -E '^(PASS|FAIL|SKIP) '
grep -q 'DM-CRYPT-DONE' "$work/log" || { cp "$work/log" "$O/dm-crypt.log"; die "the cloud VM did not come to the end: $(tail -n 1 "$work/log")"; }
! grep -q '^FAIL' "$work/log" || failed=1

# expect NAME VOLUME FILE: what hull reads from the volume begins with FILE
expect() {
	rm -f "$work/out"
	"$hull" volume export "$work/$2" "$work/out" --key "file:$work/key" >"$work/err" 2>&1 && cmp -n "$(stat -c %s "$3")" "$work/out" "$3" >"$work/err" 2>&1
	verdict "$1" $?
}
dd if="$work/patch" of="$work/plain" bs=64k seek=37 conv=notrunc status=none
expect "sectors of 4096: hull reads what dm-crypt wrote" s4096 "$work/plain"
expect "sectors of 512: hull reads what dm-crypt wrote" s512 "$work/plain"
expect "hull reads the volume whose rotation cryptsetup finished" rotating "$work/plain-rotating"
! rotating
verdict "no rotation is under way any more" $? "cryptsetup says so"
rm -f "$work/out"
"$hull" volume export "$work/theirs" "$work/out" --key "file:$work/key" >"$work/err" 2>&1 && cmp -n 1048576 "$work/out" "$work/patch" 327680 0 >"$work/err" 2>&1
verdict "hull reads a volume that cryptsetup made" $?
exit $failed
