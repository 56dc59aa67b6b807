#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A running hull-hv is asked by its control socket: status, key rotation with kills in between, snapshots.
# Its guest is the firmware, which finds nothing to boot. Usage: tests/system/server.sh [O]
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
hv=$O/bin/hull-hv hull=$O/bin/hull
work=$(mktemp -d "${TMPDIR:-/dev/shm}/hull-server.XXXXXX")
pid=
trap '[ -z "$pid" ] || kill -KILL $pid 2>/dev/null; rm -rf "$work"' EXIT
failed=0
sock=$work/control volume=$work/sda store=$work/store

say() { echo "$1 $2"; [ "$1" != FAIL ] || failed=1; }
[ -w /dev/kvm ] || { echo "SKIP server: no /dev/kvm here"; exit 0; }
[ -e /usr/share/seabios/bios-256k.bin ] || { echo "SKIP server: no firmware here"; exit 0; }

start() {
	"$hv" --env "$work/env.dtb" --placement "$work/placement" --control "$sock" 2>>"$work/log" </dev/null &
	pid=$!
	for _ in $(seq 500); do
		"$hull" server status "$sock" >/dev/null 2>&1 && return 0
		kill -0 $pid 2>/dev/null || break
		sleep 0.02
	done
	say FAIL "start: $(tail -n 1 "$work/log")"
	exit 1
}
end() { kill -KILL $pid; wait $pid 2>/dev/null; pid=; }
# ask NAME PATTERN COMMAND…: status 0 and what it prints; refuse: status 2
expect() {
	local want=$1 name=$2 pattern=$3 got
	shift 3
	timeout 120 "$hull" server "$@" >"$work/out" 2>&1
	got=$?
	if [ $got -eq "$want" ] && { [ -z "$pattern" ] || grep -qE -- "$pattern" "$work/out"; }; then say PASS "$name"; else say FAIL "$name: status $got: $(tail -n 1 "$work/out")"; fi
}

sed 's/cores = <[0-9]*>/cores = <1>/; s/0x100000000>/0x10000000>/' tools/sample/dc-web01.dts >"$work/env.dts"
"$hull" env compile "$work/env.dts" "$work/env.dtb" || { echo "FAIL environment"; exit 1; }
size=$("$hull" env show --json "$work/env.dtb" | grep -oE '"size": [0-9]+' | sort -t: -k2 -n | tail -n 1 | grep -oE '[0-9]+')
head -c 32 /dev/urandom >"$work/key"
"$hull" volume format "$volume" --key "file:$work/key" --random-key --size "$size" >"$work/log" 2>&1 || { echo "FAIL format: $(tail -n 1 "$work/log")"; exit 1; }
printf 'volume.sda = %s\nvolume.sda.key = file:%s\ndisk.sda = sda\n' "$volume" "$work/key" >"$work/placement"

start
expect 0 "status" 'server   dc-web01' status "$sock"
expect 0 "disks" '^sda +read' disks "$sock"
expect 0 "volumes" 'encrypted' volumes "$sock"
[ "$(stat -c %a "$sock")" = 600 ] && say PASS "the socket's mode" || say FAIL "the socket's mode"
expect 2 "no such volume" 'no volume' rotate "$sock" sdz
expect 2 "no rate" 'has no rate' limit "$sock" sda 1M/s

expect 0 "a snapshot begins" 'Put the store into the placement' snapshot create "$sock" sda "$store"
expect 2 "a rotation is refused meanwhile" 'has a snapshot' rotate "$sock" sda
expect 0 "the snapshot shows" 'snapshot .*% of the volume kept' volumes "$sock"
expect 0 "the snapshot is dropped" '' snapshot drop "$sock" sda
[ ! -e "$store" ] && say PASS "its store is gone" || say FAIL "its store is gone"

# Back to a snapshot: only when the server is off.
expect 0 "another snapshot" '' snapshot create "$sock" sda "$store"
if "$hv" --roll-back "$store" "$volume" 2>"$work/err"; then say FAIL "no way back while it runs"; else grep -q 'in use' "$work/err" && say PASS "no way back while it runs"; fi
end
if "$hv" -q --roll-back "$store" "$volume" 2>"$work/err" && [ ! -e "$store" ]; then say PASS "rolled back"; else say FAIL "rolled back: $(tail -n 1 "$work/err")"; fi
start

# A rotation that outlives the server, and goes on by itself.
timeout 120 "$hull" server rotate "$sock" sda --json >"$work/events" 2>&1 &
client=$!
for _ in $(seq 1000); do grep -q '"running"' "$work/events" && break; sleep 0.01; done
end
wait $client
start
expect 0 "the rotation went on by itself" 'rotation (starting|running|done)' volumes "$sock"
expect 2 "no snapshot meanwhile" 'being rotated' snapshot create "$sock" sda "$store"
expect 0 "joined to its end" '100\.0 %' rotate "$sock" sda
expect 0 "rotated" 'rotation done: 100.0 %' volumes "$sock"
end
if cryptsetup open --test-passphrase --key-file "$work/key" "$volume" 2>"$work/err"; then say PASS "cryptsetup opens it"; else say FAIL "cryptsetup: $(head -n 1 "$work/err")"; fi
if cryptsetup luksDump "$volume" | grep -q online-reencrypt; then say FAIL "cryptsetup sees a rotation"; fi
exit $failed
