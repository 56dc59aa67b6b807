#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Keys stay where they belong: the real programs run with keys that this test knows; core files, other processes' memory, command lines and
# output are searched for them. Controls prove that the search finds a key where there is one.
# Usage: tests/system/key-leak.sh [O]
set -u
cd "$(dirname "$0")/../.." || exit 2
O=$(realpath "${1:-build}")
work=$(mktemp -d "$O/key-leak.XXXXXX")
public=$(mktemp -d /tmp/key-leak.XXXXXX)
hull=$public/hull
pids=()
trap 'for p in "${pids[@]}"; do kill -KILL "$p" && wait "$p"; done 2>/dev/null; exec 9>&-; rm -rf "$work" "$public"' EXIT
failed=0
pass() { echo "PASS $1"; }
fail() { echo "FAIL $1: $2"; failed=1; }
# verdict NAME CONDITION-STATUS WHY
verdict() { if [ "$2" -eq 0 ]; then pass "$1"; else fail "$1" "$3"; fi; }

chmod 755 "$public"
cp "$O/bin/hull" "$hull" || { fail "programs" "$O/bin/hull is not built"; exit 1; }
# shellcheck disable=SC2086
${CC:-cc} -std=gnu17 -D_GNU_SOURCE -O1 -I. ${LEAK_CFLAGS:-} -o "$work/key-leak" tests/system/key-leak.c "$O/lib/libhullcrypto.a" "$O/lib/libhull.a" \
	-ljansson -lcryptsetup -lssl -lcrypto -largon2 -ltss2-esys -ltss2-mu -ltss2-tctildr -ltss2-rc 2>"$work/cc" ||
	{ fail "helper" "does not build: $(head -n 1 "$work/cc")"; exit 1; }
leak=$work/key-leak

# Samples of every command line and environment of ours and our children's, for as long as the test runs.
: >"$work/cmdlines"
ours() { local list; list=$(pgrep -d , -P $$) && { tr , '\n' <<<"$list"; pgrep -P "$list"; }; }
( while :; do for p in $(ours); do cat "/proc/$p/cmdline" "/proc/$p/environ" | tr '\0' ' '; done >>"$work/cmdlines" 2>/dev/null; done ) 2>/dev/null &
sampler=$!
pids+=("$sampler")

# ---- secrets that we know, and a store with them
umask 077
head -c 64 /dev/urandom >"$work/keyfile"
head -c 32 /dev/urandom | base64 -w 0 >"$work/pass"
store=$public/site.keys
key=(--unlock "keyfile:$work/keyfile")
run() { echo "\$ $1 $2" >>"$work/log"; "$hull" keys "$@" >>"$work/log" 2>&1 || fail "hull keys $1" "$(tail -n 1 "$work/log")"; }
run init "$store" "${key[@]}"
run slot add "$store" "${key[@]}" --new "file:$work/pass"
run server add "$store" web01 --unlock "file:$work/pass"
run volume add "$store" web01 root "${key[@]}"
run list "$store" "${key[@]}"
run list "$store" --json "${key[@]}"
run check "$store" "${key[@]}"
run export "$store" web01 root --output "$work/volume" --yes "${key[@]}"
"$leak" root "$store" "$work/keyfile" "$work/root" || { fail "root key" "the helper cannot read it"; exit 1; }
secrets=("$work/keyfile" "$work/pass" "$work/volume" "$work/root")

tail -f /dev/null &
bystander=$!
pids+=("$bystander")

# ---- controls: the search finds what is there
control=$work/control
head -c 32 /dev/urandom >"$control"
mkdir "$work/core-control" "$work/core-hull"
( cd "$work/core-control" && ulimit -c unlimited && exec "$leak" hold "$control" >"$work/holding" ) &
holder=$!
pids+=("$holder")
timeout 20 bash -c 'until grep -q holding "$1"; do :; done' _ "$work/holding"
"$leak" scan "$control" -- "pid:$holder" >/dev/null
verdict "control: a key in ordinary memory is found" $(($? != 1)) "the search did not find it"
"$leak" scan "$control" -- "pid:$$" >/dev/null
verdict "control: another process does not have it" $? "the search finds keys everywhere"
od -An -v -tx1 "$control" | tr -d ' \n' >"$work/hex"
"$leak" scan "$control" -- "$work/hex" >/dev/null
verdict "control: a key in a log, as hex, is found" $(($? != 1)) "the search did not find it"

# ---- a program that stands still with the store open
mkfifo "$work/fifo"
exec 9<>"$work/fifo"
start_hull() { ( cd "$work/core-hull" 2>/dev/null || cd /; ulimit -c unlimited; exec "$@" 9>&- ) >>"$work/log" 2>&1 & }
start_hull "$hull" keys slot add "$store" --unlock "file:$work/pass" --new fd:4 4<"$work/fifo"
pid=$!
pids+=("$pid")
if [ "$(id -u)" -eq 0 ]; then
	timeout 60 bash -c 'until "$1" scan "$2" -- "pid:$3" >/dev/null 2>&1; [ $? -eq 1 ]; do :; done' _ "$leak" "$work/root" "$pid"
	verdict "the root key is in the memory of the program that has the store open" $? "the search did not find it"
	found=$("$leak" stray "$work/root" -- "pid:$pid")
	verdict "it stands only in memory that is locked and kept from core files" $? "$found"
	found=$("$leak" scan "$work/pass" "$work/keyfile" "$work/volume" -- "pid:$pid")
	verdict "passphrase, key file and volume key are gone once the store is open" $? "$found"
	locked=$(awk '/^VmLck:/ { print $2 }' "/proc/$pid/status")
	verdict "memory is locked ($locked KiB)" $((${locked:-0} == 0)) "VmLck is ${locked:-nothing}"
	setpriv --reuid=65534 --regid=65534 --clear-groups head -c 1 "/proc/$pid/mem" 2>&1 | grep -q 'Permission denied'
	verdict "another user cannot read that memory" $? "/proc/$pid/mem opens"
else
	echo "SKIP memory of the program that has the store open: needs root to look at it"
	timeout 60 bash -c 'until grep -q "^VmLck:.* [1-9]" "/proc/$1/status"; do :; done' _ "$pid"
fi
found=$("$leak" scan "${secrets[@]}" -- "/proc/$pid/cmdline" "/proc/$$/cmdline")
verdict "no key in command lines" $? "$found"
others=("pid:$$" "pid:$holder" "pid:$bystander")
found=$("$leak" scan "${secrets[@]}" -- "${others[@]}")
verdict "no key in the memory of ${#others[@]} processes that have nothing to do with it" $? "$found"

# ---- crashes
{ kill -SEGV "$pid" && wait "$pid"; } 2>/dev/null
core=$(find "$work/core-hull" -type f | head -n 1)
if [ -z "$core" ]; then
	pass "a program with keys that crashes leaves no core file"
else
	found=$("$leak" scan "${secrets[@]}" -- "$core")
	verdict "a program with keys that crashes leaves none in its core file" $? "$found"
fi
{ kill -SEGV "$holder" && wait "$holder"; } 2>/dev/null
core=$(find "$work/core-control" -type f | head -n 1)
if [ -n "$core" ]; then
	"$leak" scan "$control" -- "$core" >/dev/null
	verdict "control: a key in a core file is found" $(($? != 1)) "the search did not find it"
else
	echo "SKIP control: a key in a core file: this machine writes none here (core_pattern is $(cat /proc/sys/kernel/core_pattern))"
fi

# ---- the same user
if [ "$(id -u)" -eq 0 ]; then
	nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	mkdir "$public/nobody"
	cp "$store" "$work/pass" "$public/nobody/"
	chmod 755 "$hull"
	chown -R 65534:65534 "$public/nobody"
	start_hull "${nobody[@]}" "$hull" keys slot add "$public/nobody/site.keys" --unlock "file:$public/nobody/pass" --new fd:4 4<"$work/fifo"
	pid=$!
	pids+=("$pid")
	timeout 60 bash -c 'until "$1" scan "$2" -- "pid:$3" >/dev/null 2>&1; [ $? -eq 1 ]; do :; done' _ "$leak" "$work/root" "$pid"
	verdict "an ordinary user's program has it too" $? "the search did not find it"
	"${nobody[@]}" head -c 1 "/proc/$pid/mem" 2>&1 | grep -q 'Permission denied'
	verdict "a program of the same user cannot read that memory" $? "/proc/$pid/mem opens"
	"${nobody[@]}" tail -f /dev/null &
	plain=$!
	pids+=("$plain")
	timeout 20 bash -c 'until [ "$(stat -c %u "/proc/$1")" = 65534 ] && grep -qx tail "/proc/$1/comm"; do :; done' _ "$plain"
	! "${nobody[@]}" head -c 1 "/proc/$plain/mem" 2>&1 | grep -q 'Permission denied'
	verdict "control: it can read another's" $? "/proc/$plain/mem does not open"
fi

# ---- a volume under a key of the store: format, open, serve
volume=$work/volume.luks
source=(--key "store:$store" --server web01 --name root "${key[@]}")
"$O/bin/hull" volume format "$volume" "${source[@]}" --size 16M --random-key >>"$work/log" 2>&1 &&
	"$O/bin/hull" volume open "$volume" "${source[@]}" >>"$work/log" 2>&1 &&
	cryptsetup luksDump --batch-mode --dump-volume-key --volume-key-file "$work/cipher" --key-file "$work/volume" "$volume" >/dev/null
verdict "a volume is formatted and opened by the store's key" $? "$(tail -n 1 "$work/log")"
secrets+=("$work/cipher")
if command -v nbdkit >/dev/null && [ -e "$O/lib/nbdkit-hull-plugin.so" ] && [ "$(id -u)" -eq 0 ]; then
	"$O/bin/hull" volume open "$volume" "${source[@]}" --nbd "$work/sock" >>"$work/log" 2>&1 &
	pid=$!
	pids+=("$pid")
	timeout 60 bash -c 'until pgrep -P "$1" nbdkit; do kill -0 "$1" || exit; done' _ "$pid" >"$work/server" 2>/dev/null
	server=$(cat "$work/server")
	[ -n "$server" ] || { fail "a volume is served" "$(tail -n 1 "$work/log")"; server=$pid; }
	timeout 60 bash -c 'until "$1" scan "$2" -- "pid:$3" >/dev/null 2>&1; [ $? -eq 1 ]; do kill -0 "$3" || exit; done' _ "$leak" "$work/cipher" "$server"
	verdict "the cipher's key is in the process that serves the volume" $? "the search did not find it"
	found=$("$leak" stray "${secrets[@]}" -- "pid:$server" "pid:$pid")
	verdict "it stands only in memory that is locked and kept from core files, there and in who started it" $? "$found"
	found=$("$leak" scan "${secrets[@]}" -- "/proc/$server/cmdline" "/proc/$server/environ" "/proc/$pid/cmdline" "/proc/$pid/environ")
	verdict "it is not in their command lines and environments" $? "$found"
	kill "$pid"
	wait "$pid" 2>/dev/null
else
	echo "SKIP a volume that is served: needs root, nbdkit and the plugin"
fi

# ---- a server on encrypted volumes: one key from hull-lma, one from a file
hv_wait() { timeout 60 bash -c "until $1; do kill -0 \$2 || exit; done" _ "$leak" "$hv" "$work" "$lma" 2>/dev/null; }
hv_volumes() {
	{ printf '\364\353\375'; head -c 13 /dev/zero; cat "$work/sector"; } >"$work/plain"	# hlt, and that for ever
	printf '\125\252' | dd of="$work/plain" bs=1 seek=510 conv=notrunc status=none
	truncate -s 64M "$work/plain"
	head -c 64 /dev/urandom >"$work/sda.key"
	run volume add "$store" web01 vda "${key[@]}"
	run export "$store" web01 vda --output "$work/vda.key" --yes "${key[@]}"
	for d in vda sda; do
		"$O/bin/hull" volume format "$work/$d" --key "file:$work/$d.key" --random-key --size 64M >>"$work/log" 2>&1 &&
			"$O/bin/hull" volume import "$work/plain" "$work/$d" --key "file:$work/$d.key" >>"$work/log" 2>&1 &&
			cryptsetup luksDump --batch-mode --dump-volume-key --volume-key-file "$work/$d.master" --key-file "$work/$d.key" "$work/$d" >/dev/null ||
			{ fail "a server's volume" "$(tail -n 1 "$work/log")"; return 1; }
	done
}
hv_start() {
	"$O/bin/hull" pki init "$store" "${key[@]}" >>"$work/log" 2>&1 &&
		"$O/bin/hull" pki token "$store" --role hv --name web01 "${key[@]}" >"$work/token" 2>>"$work/log" || { fail "token" "$(tail -n 1 "$work/log")"; return 1; }
	"$O/bin/hull-lma" --store "$store" "${key[@]}" --listen 127.0.0.1:0 --audit "$work/audit" -v 2>"$work/lma.log" &
	lma=$! hv=$!
	pids+=("$lma")
	hv_wait 'grep -q "listening on" "$3/lma.log"' || { fail "hull-lma" "$(tail -n 1 "$work/lma.log")"; return 1; }
	sed 's/"crash"/"web01"/' tests/system/crash/crash.dts >"$work/dts"
	"$O/bin/hull" env compile "$work/dts" "$work/dtb" || { fail "environment" "does not compile"; return 1; }
	mkfifo "$work/key.fifo"
	mkdir "$work/core-hv"
	printf '%s\n' "volume.vda = $work/vda" 'volume.vda.key = lma' 'disk.vda = vda' "volume.sda = $work/sda" "volume.sda.key = file:$work/key.fifo" \
		'disk.sda = sda' "lma = $(sed -n 's/.*listening on //p' "$work/lma.log")" "lma.token = file:$work/token" >"$work/placement"
	( cd "$work/core-hv" && ulimit -c unlimited && exec "$O/bin/hull-hv" --env "$work/dtb" --placement "$work/placement" -v ) 2>"$work/hv.log" </dev/null 9>&- &
	hv=$!
	pids+=("$hv")
}
# The agent has the first key behind it and stands before the pipe that the second one comes from.
hv_agent() {
	hv_wait 'grep -q "\"key\"" "$3/audit" && pgrep -P "$2" >"$3/agent"'
	verdict "hull-lma has given a volume's key to a server's agent" $? "$(tail -n 1 "$work/hv.log")"
	agent=$(cat "$work/agent")
	timeout 20 bash -c 'until grep -q "^Name:.*hull$" "/proc/$1/status" && [ "$(cut -d" " -f1 "/proc/$1/syscall")" = 257 ]; do :; done' _ "$agent" 2>/dev/null
	printf '%s' "$work/token" >"$work/path"
	"$leak" scan "$work/path" -- "pid:$agent" >/dev/null
	verdict "control: a path that the agent was told is in its memory" $(($? != 1)) "the search did not find it"
	found=$("$leak" stray "${hv_secrets[@]}" "${aes[@]}" -- "pid:$agent")
	verdict "the agent has keys only in memory that is locked and kept from core files" $? "$found"
	found=$("$leak" scan "${hv_secrets[@]}" "${secrets[@]}" -- "/proc/$agent/cmdline" "/proc/$agent/environ" "/proc/$hv/cmdline" "/proc/$hv/environ")
	verdict "no key in command lines and environments of server and agent" $? "$found"
	timeout 20 bash -c 'cat "$1" >"$2"' _ "$work/sda.key" "$work/key.fifo"
}
hv_memory() {
	hv_wait '! "$1" stray "$3/sector" -- "pid:$2" >"$3/out" 2>&1'
	verdict "control: the guest runs, and what it read from its encrypted disk is found in its memory" $? "$(tail -n 1 "$work/hv.log")"
	! pgrep -P "$hv" >/dev/null && [ ! -e "/proc/$agent" ]
	verdict "the agent has ended then" $? "process $agent runs"
	for d in vda sda; do
		"$leak" scan "$work/$d.master" -- "pid:$hv" >/dev/null
		verdict "control: the cipher's key of $d is in hull-hv" $(($? != 1)) "the search did not find it"
	done
	if grep -qw aes /proc/cpuinfo; then
		"$leak" scan "aes:$work/vda.master" -- "pid:$hv" >/dev/null
		verdict "control: so are its round keys" $(($? != 1)) "the search did not find them"
	else
		echo "SKIP round keys: this processor has no AES instructions, and other code keeps them in other forms"
	fi
	found=$("$leak" stray "${hv_secrets[@]}" "${aes[@]}" -- "pid:$hv")
	verdict "keys and round keys stand only in memory that is locked and kept from core files; none in the guest's" $? "$found"
	found=$("$leak" scan "${hv_secrets[@]}" "${aes[@]}" -- "pid:$lma")
	verdict "hull-lma does not have a key any more that it gave away, nor the token" $? "$found"
	"$leak" scan "$work/root" -- "pid:$lma" >/dev/null
	verdict "control: hull-lma has the root key" $(($? != 1)) "the search did not find it"
	found=$("$leak" stray "$work/root" -- "pid:$lma")
	verdict "only in memory that is locked and kept from core files" $? "$found"
	found=$("$leak" scan "${hv_secrets[@]}" "${aes[@]}" -- "pid:$$" "pid:$holder_too" "pid:$bystander")
	verdict "no key of the server in processes that have nothing to do with it" $? "$found"
}
hv_end() {
	kill -SEGV "$hv"
	wait "$hv" 2>/dev/null
	verdict "hull-hv crashes" $(($? != 139)) "it ended otherwise"
	core=$(find "$work/core-hv" -type f | head -n 1)
	found=$([ -z "$core" ] || "$leak" scan "${hv_secrets[@]}" "${aes[@]}" -- "$core")
	verdict "and leaves ${core:+a core file without keys}${core:-no core file}" $? "$found"
	found=$("$leak" scan "${hv_secrets[@]}" "${aes[@]}" "${secrets[@]}" "$work/sector" -- "$work/vda" "$work/sda" "$work/hv.log" "$work/lma.log" "$work/audit" "$store" \
		"$work/placement")
	verdict "no key in the raw volumes, logs, audit log and placement; no plaintext in the volumes" $? "$found"
	"$leak" scan "$work/sector" -- "$work/plain" >/dev/null
	verdict "control: the plaintext is found in the plain disk" $(($? != 1)) "the search did not find it"
	kill "$lma"
	wait "$lma" 2>/dev/null
}
hv_secrets=("$work/vda.key" "$work/sda.key" "$work/vda.master" "$work/sda.master" "$work/token")
aes=("aes:$work/vda.master" "aes:$work/sda.master")
head -c 64 /dev/urandom >"$work/sector"
if [ ! -w /dev/kvm ] || [ "$(id -u)" -ne 0 ]; then
	echo "SKIP a server on encrypted volumes: needs root and /dev/kvm"
elif hv_volumes && hv_start; then
	tail -f /dev/null &
	holder_too=$!
	pids+=("$holder_too")
	hv_agent
	hv_memory
	hv_end
	secrets+=("${hv_secrets[@]}" "${aes[@]}")
fi

kill "$sampler" 2>/dev/null
wait "$sampler" 2>/dev/null
found=$("$leak" scan "${secrets[@]}" -- "$work/cmdlines")
times() { grep -o "$1" "$work/cmdlines" | wc -l; }
verdict "no key in command lines and environments, sampled $(times 'hull keys') times for hull keys, $(times 'volume agent') for the agent, $(times 'hull-hv --env') for hull-hv" \
	$? "$found"
found=$("$leak" scan "${secrets[@]}" -- "$work/log")
verdict "no key in output" $? "$found"
found=$("$leak" scan "${secrets[@]}" -- "$store" "$volume")
verdict "no key in the files of store and volume" $? "$found"
exit $failed
