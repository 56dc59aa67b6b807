#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A running hull-hv is asked by its control socket: status, key rotation with kills in between, snapshots.
# Its guest is the firmware, which finds nothing to boot. Usage: tests/system/server.sh [O]
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
hv=$O/bin/hull-hv hull=$O/bin/hull
work=$(mktemp -d "${TMPDIR:-/dev/shm}/hull-server.XXXXXX")
pid= nbd=
trap '[ -z "$pid" ] || kill -KILL $pid 2>/dev/null; [ -z "$nbd" ] || kill $nbd; rm -rf "$work"' EXIT
trap 'exit 2' INT TERM
failed=0
sock=$work/control volume=$work/sda store=$work/store

say() { echo "$1 $2"; [ "$1" != FAIL ] || failed=1; }
[ -w /dev/kvm ] || { echo "SKIP server: no /dev/kvm here"; exit 0; }
[ -e /usr/share/seabios/bios-256k.bin ] || { echo "SKIP server: no firmware here"; exit 0; }

start() {	# OPTION…
	"$hv" --env "$work/env.dtb" --placement "$work/placement" --control "$sock" "$@" 2>>"$work/log" </dev/null &
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
# expect STATUS NAME PATTERN COMMAND…
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
if "$hull" volume roll-back "$volume" "$store" >"$work/out" 2>"$work/err"; then say FAIL "no way back while it runs"; else grep -q 'in use' "$work/err" && say PASS "no way back while it runs"; fi
end
for _ in $(seq 500); do flock -n "$volume" true && break; sleep 0.02; done
if "$hull" volume roll-back "$volume" "$store" >"$work/out" 2>"$work/err" && [ ! -e "$store" ]; then say PASS "rolled back"; else say FAIL "rolled back: $(tail -n 1 "$work/err")"; fi

# A snapshot that the placement names: it must be there, unless it was dropped.
echo "volume.sda.snapshot = $store" >>"$work/placement"
if timeout 60 "$hv" --env "$work/env.dtb" --placement "$work/placement" 2>"$work/err" </dev/null; then say FAIL "a store that is not there"
elif grep -q 'is not there, and a start without it would end it' "$work/err"; then say PASS "a store that is not there"
else say FAIL "a store that is not there: $(tail -n 1 "$work/err")"; fi
grep -v snapshot "$work/placement" >"$work/without"
mv "$work/placement" "$work/with"
cp "$work/without" "$work/placement"
start
expect 0 "a snapshot for the placement" '' snapshot create "$sock" sda "$store"
end
cp "$work/with" "$work/placement"
start
expect 0 "it goes on after a start" 'snapshot .*% of the volume kept' volumes "$sock"
expect 0 "dropped, and still placed" 'Take volume.NAME.snapshot out' snapshot drop "$sock" sda
end
start
grep -q "snapshot $store was dropped" "$work/log" && say PASS "the next start goes on without it" || say FAIL "the next start goes on without it"
expect 0 "a new one in its place" '' snapshot create "$sock" sda
expect 0 "dropped again" '' snapshot drop "$sock" sda
end
cp "$work/without" "$work/placement"
start

# A rotation that is stopped, and gone on with.
expect 2 "nothing to stop" 'no rotation is under way' rotate-stop "$sock" sda
timeout 120 "$hull" server rotate "$sock" sda --json >"$work/events" 2>"$work/err" &
client=$!
for _ in $(seq 1000); do grep -q '"running"' "$work/events" && break; sleep 0.01; done
expect 0 "asked to stop" '' rotate-stop "$sock" sda
wait $client
got=$?
if [ $got -eq 2 ] && grep -q 'was stopped; start it again' "$work/err"; then say PASS "the client hears of the stop"; else say FAIL "the client hears of the stop: status $got: $(tail -n 1 "$work/err")"; fi
expect 0 "stopped" 'rotation stopped: [0-9]' volumes "$sock"
expect 0 "gone on with" '100\.0 %' rotate "$sock" sda

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

# Volumes of all kinds, as parts of the one disk.
"$hull" volume format "$work/one" --key "file:$work/key" --random-key --luks1 --size 64M >"$work/err" 2>&1 || say FAIL "format one: $(tail -n 1 "$work/err")"
for v in bare net; do
	truncate -s 64M "$work/$v"
	"$hull" volume format "$work/$v" --header "$work/$v.header" --key "file:$work/key" --random-key >"$work/err" 2>&1 || say FAIL "format $v: $(tail -n 1 "$work/err")"
done
truncate -s 64M "$work/plain"
nbdkit --exit-with-parent --foreground --unix "$work/nbd" file "$work/net" 2>"$work/err" &
nbd=$!
for _ in $(seq 500); do [ -S "$work/nbd" ] && break; sleep 0.02; done
for v in one bare net; do echo "volume.$v.key = file:$work/key"; done >"$work/placement"
cat >>"$work/placement" <<END
volume.one = $work/one
volume.bare = $work/bare
volume.bare.header = $work/bare.header
volume.net = nbd+unix:///?socket=$work/nbd
volume.net.header = $work/net.header
volume.plain = $work/plain
disk.sda = one bare net plain
disk.sda.rate = 100M/s
END
start --power-timeout 2
expect 2 "LUKS1 is not rotated" 'is LUKS1, whose volume key cannot be rotated' rotate "$sock" one
expect 2 "nor what NBD serves" 'is served by NBD' rotate "$sock" net
expect 2 "nor what has no key" 'plain is not encrypted' rotate "$sock" plain
expect 0 "a detached header" '100\.0 %' rotate "$sock" bare
expect 0 "another rate" '' limit "$sock" sda '200M/s 5000/s'
expect 0 "no rate any more" '' limit "$sock" sda none
expect 2 "a rate that is none" '"fast" is no rate' limit "$sock" sda fast
expect 2 "the rate of no disk" 'no disk "sdz"' limit "$sock" sdz 1M/s
expect 0 "the power button" '' power "$sock"
grep -q 'power button pressed' "$work/log" && say PASS "it is pressed" || say FAIL "it is pressed"
expect 2 "a second press does no harm" 'was pressed already; SIGTERM' power "$sock"
wait $pid
got=$?
pid=
[ $got -eq 4 ] && say PASS "off by force, as the firmware does not listen" || say FAIL "off by force: status $got"
if cryptsetup open --test-passphrase --key-file "$work/key" --header "$work/bare.header" "$work/bare" 2>"$work/err"; then say PASS "cryptsetup opens the volume with a detached header"; else say FAIL "cryptsetup: $(head -n 1 "$work/err")"; fi
exit $failed
