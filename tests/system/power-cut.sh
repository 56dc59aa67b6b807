#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The power of a machine that works on volumes fails at a random moment: the cloud VM, QEMU with the kernel in it, gets SIGKILL while hull in it
# rotates a volume's key, or makes a volume over an older one and changes a key store on ext4 (tests/system/power-cut-job). Half of the
# times its disks lose their write cache too: nbdkit, which is the disk, keeps what was not flushed to itself and is killed with it. And
# half of the times the kernel writes out what nobody flushed soon, else not at all: so different things are lost.
# After each cut this machine looks at what the disks hold. Usage: tests/system/power-cut.sh [O]
# Environment: CUTS how often (default 6)
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
cuts=${CUTS:-6}
hull=$O/bin/hull
mkdir -p "$O"
base=${TMPDIR:-/dev/shm}
[ -d "$base" ] && [ "$(df --output=avail -B1M "$base" | tail -n 1)" -gt 600 ] || base=$O
work=$(mktemp -d "$base/power-cut.XXXXXX")
pids=()
vm=
trap 'kill "${pids[@]}" $vm 2>/dev/null; wait; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
. tests/system/crash/lib.sh
die() { echo "FAIL power cut${done:+ $done}: $*"; [ ! -e "$work/vm/serial.log" ] || cp "$work/vm/serial.log" "$O/power-cut.log"; exit 1; }
must() { timeout 120 "$@" >"$work/err" 2>&1 || die "$1 ${2:-} ${3:-}: $(tail -n 1 "$work/err")"; }
sum_of() { sha256sum <"$1" | cut -d' ' -f1; }
must_keys() { must "$hull" keys "$@" --unlock "keyfile:$work/key0"; }

# ---- what the disks hold before
prepare() {
	must tools/appliance/build "$O"
	for f in key0 key1; do (umask 077 && head -c 64 /dev/urandom >"$work/$f"); done
	head -c 72M /dev/urandom >"$work/rotate.plain"	# a zone of a rotation has 64 MiB
	head -c 8M "$work/rotate.plain" >"$work/plain"
	wanted=$(sum_of "$work/rotate.plain")
	must "$hull" volume format "$work/format" --key "file:$work/key0" --random-key --sector 512 --size 24M
	must "$hull" volume import "$work/plain" "$work/format" --key "file:$work/key0"
	must "$hull" volume format "$work/rotate" --key "file:$work/key0" --random-key --size 72M
	must "$hull" volume import "$work/rotate.plain" "$work/rotate" --key "file:$work/key0"
	mkdir "$work/tree"
	must_keys init "$work/tree/store"
	must_keys server add "$work/tree/store" web01
	truncate -s 32M "$work/keys"
	must mke2fs -q -t ext4 -d "$work/tree" "$work/keys"
	truncate -s 1M "$work/control"
	: >"$work/entries"
}

# ---- a machine that runs until its power is cut
start_disks() {
	local name cache=() i

	[ "$1" = kept ] || cache=(--filter=cache)
	pids=() drives=()
	for name in format rotate keys control; do
		rm -f "$work/$name.sock"
		TMPDIR=$work nbdkit -f -U "$work/$name.sock" "${cache[@]}" file "$work/$name" ${cache[0]:+cache-min-block-size=4096} 2>>"$work/nbdkit" &
		pids+=($!)
		drives+=(-drive "if=none,id=$name,file=nbd+unix:///?socket=$work/$name.sock,format=raw,cache=writeback"
			-device "virtio-blk-pci,drive=$name,serial=vol-$name")
		for ((i = 0; i < 500; i++)); do [ ! -S "$work/$name.sock" ] || break; sleep 0.02; done
		[ -S "$work/$name.sock" ] || die "nbdkit: $(tail -n 1 "$work/nbdkit")"
	done
}
all_said() {
	local word

	for word in CD $words; do grep -qa "^$word" "$work/vm/serial.log" 2>/dev/null || return 1; done
}
wait_for_work() {
	local i

	for ((i = 0; i < 4500; i++)); do
		! all_said || return 0
		kill -0 $vm 2>/dev/null || return 1
		sleep 0.02
	done
	return 1
}
cut_power() {
	rm -f "$work/vm/serial.log"
	head -c 4096 /dev/urandom >"$work/patch"
	printf 'formats=%s stores=%s writeback=%s rotate=%s\n' $formats $stores "$2" "$3" >"$work/orders"
	words='FB KB' span=6
	[ "$3" = 0 ] || words=RB span=12
	cp tests/system/power-cut-job "$work/job.sh"
	start_disks "$1"
	tests/cloud/vm --quiet --appliance "$O/appliance" --memory 512 --timeout 200 --nic none --state "$work/vm" --config "$work/job.sh" \
		--config "$work/orders" --config "$work/key0" --config "$work/key1" --config "$work/patch" -- "${drives[@]}" >"$work/log" 2>&1 &
	vm=$!
	wait_for_work || die "the cloud VM did not come up: $(tail -n 1 "$work/vm/serial.log" | tr -d '\r')"
	sleep "$(crash_dice $span).$(printf '%03d' "$(crash_dice 1000)")"
	kill -KILL "$(cat "$work/vm/qemu.pid")" "${pids[@]}" || die "the VM had ended: $(tail -n 1 "$work/log")"
	wait $vm "${pids[@]}" 2>/dev/null
	vm='' pids=()
	crash_lines "$work/vm/serial.log" | grep -aE '^([FRK][BD]( |$)|CD|E )' >"$work/said"
	! grep '^E ' "$work/said" >"$work/err" || die "$(head -n 1 "$work/err")"
}

# ---- what the disks hold after
same_block() { cmp -s -n 4096 "$work/control" "$work/patch" $((4096 * $1)) 0; }
check_control() {
	same_block 0 || die "the control's flushed block is lost"
	[ "$2" -lt 1000 ] || ! same_block 2 || die "what only the kernel had has survived: this is no power cut"
	if same_block 2; then written=$((written + 1)); fi
	if same_block 1; then reached=$((reached + 1)); fi
	[ "$1" = kept ] || ! same_block 1 || die "the disk has kept what was not flushed"
	[ "$1" = lost ] || same_block 1 || die "the disk has lost what it was to keep"
}

# opens_as FORMAT: the volume opens with that format's key, and is of its shape
opens_as() {
	local sector=4096

	[ $(($1 % 2)) = 1 ] || sector=512
	"$hull" volume open "$work/v" --key "file:$work/key$(($1 % 2))" >"$work/err" 2>&1 || return 1
	"$hull" volume info "$work/v" --json >"$work/info" 2>"$work/err" || die "format: opens, but: $(tail -n 1 "$work/err")"
	[ "$(jq -c '[.sector, .data_offset, .data_length, .key_bits, (.slots | length)]' "$work/info")" = "[$sector,16777216,0,512,1]" ] ||
		die "format: opens with the key of format $1 and is of another shape: $(jq -c 'del(.slots)' "$work/info")"
	must "$hull" volume export "$work/v" "$work/out" --key "file:$work/key$(($1 % 2))" --force
	[ "$(stat -c %s "$work/out")" -eq $((24 << 20)) ] || die "format: opens and has $(stat -c %s "$work/out") bytes"
	must cryptsetup open --test-passphrase --key-file "$work/key$(($1 % 2))" "$work/v"
}
check_format() {
	local begun finished

	begun=$(sed -n 's/^FB //p' "$work/said" | tail -n 1)
	finished=$(sed -n 's/^FD //p' "$work/said" | tail -n 1)
	held=${finished:-$held}
	formats=$begun
	cp --sparse=always "$work/format" "$work/v"
	if [ "$begun" = "$finished" ]; then
		format_done=$((format_done + 1))
		opens_as "$begun" || die "format $begun had ended: $(tail -n 1 "$work/err")"
		return
	fi
	if opens_as "$begun"; then
		format_new=$((format_new + 1))
		held=$begun
		return
	elif [ -n "$held" ] && opens_as "$held"; then
		format_old=$((format_old + 1))
		return
	fi
	held=
	format_half=$((format_half + 1))
	tail -n 1 "$work/err" | sed "s|$work/||g; s/^hull: //" >>"$work/refusals"
	grep -qE 'has no key slot: its format was cut short|is no LUKS volume|header is damaged' "$work/err" || die "format: unclear after a cut: $(cat "$work/err")"
	"$hull" volume format "$work/v" --key "file:$work/key0" --random-key >"$work/err" 2>&1 ||
		must "$hull" volume format "$work/v" --key "file:$work/key0" --random-key --force
	must "$hull" volume open "$work/v" --key "file:$work/key0"
}
check_rotate() {
	cp --sparse=always "$work/rotate" "$work/v"
	must "$hull" volume info "$work/v" --json
	case $(jq -c '.rotated' "$work/err") in
	null) ;;
	0) rotate_first=$((rotate_first + 1)) ;;
	*) rotate_second=$((rotate_second + 1)) ;;
	esac
	must "$hull" volume open "$work/v" --key "file:$work/key0"
	must "$hull" volume export "$work/v" "$work/out" --key "file:$work/key0" --force
	[ "$(sum_of "$work/out")" = "$wanted" ] || die "rotate: the content differs"
	cp --sparse=always "$work/rotate" "$work/v"
	must "$hull" volume rotate "$work/v" --key "file:$work/key0"
	must "$hull" volume export "$work/v" "$work/out" --key "file:$work/key0" --force
	[ "$(sum_of "$work/out")" = "$wanted" ] || die "rotate: the content differs after the rotation was finished"
	must cryptsetup open --test-passphrase --key-file "$work/key0" "$work/v"
	rotations=$((rotations + $(grep -c '^RD' "$work/said")))
}


# The store has what was in it before this run and what KD lines say; what had begun only is done or not.
check_keys() {
	local begun finished act name

	begun=$(sed -n 's/^KB //p' "$work/said" | tail -n 1)
	finished=$(sed -n 's/^KD //p' "$work/said" | tail -n 1)
	stores=${begun%% *}
	changes=$((changes + $(grep -c '^KD' "$work/said")))
	while read -r act name; do change "$act" "$name"; done < <(sed -n 's/^KD [0-9]* //p' "$work/said")
	cp --sparse=always "$work/keys" "$work/v"
	e2fsck -fy "$work/v" >"$work/err" 2>&1
	[ $? -le 1 ] || die "keys: e2fsck: $(tail -n 1 "$work/err")"
	rm -f "$work/store"
	must debugfs -R "dump /store $work/store" "$work/v"
	must_keys check "$work/store"
	must_keys list "$work/store" --json
	jq -r '.servers[] | select(.name == "web01") | .volumes[].name' "$work/err" | sort >"$work/listed"
	if [ "$begun" = "$finished" ]; then
		keys_done=$((keys_done + 1))
	elif cmp -s "$work/listed" "$work/entries"; then
		keys_before=$((keys_before + 1))
	else
		keys_after=$((keys_after + 1))
		read -r _ act name <<<"$begun"
		change "$act" "$name"
	fi
	cmp -s "$work/listed" "$work/entries" || die "keys: of $(wc -l <"$work/entries") entries that were reported: $(diff "$work/entries" "$work/listed" |
		sed -n 's/^< /missing /p; s/^> /too many /p' | head -n 5 | tr '\n' ' ')"
}
change() {	# ACT NAME
	case $1 in
	add) echo "$2" >>"$work/entries" ;;
	remove) sed -i "/^$2\$/d" "$work/entries" ;;
	esac
	sort -o "$work/entries" "$work/entries"
}

done='' formats=0 held=0 stores=0 reached=0 written=0
format_done=0 format_new=0 format_old=0 format_half=0 rotate_first=0 rotate_second=0 rotations=0 changes=0 keys_done=0 keys_before=0 keys_after=0
prepare
for ((done = 1; done <= cuts; done++)); do
	# each act with each of the four ways to lose
	rotate=$((done % 2)) mode=kept writeback=10	# hundredths of a second
	[ $((done / 2 % 2)) = 1 ] || mode=lost
	[ $((done / 4 % 2)) = 1 ] || writeback=360000
	cut_power $mode $writeback $rotate
	check_control $mode $writeback
	if [ $rotate = 1 ]; then
		check_rotate
	else
		check_format
		check_keys
	fi
done
echo "PASS power cut: $cuts cuts: what nobody had flushed was lost by the kernel in $((cuts - written)), by the disk in $((cuts - reached))"
echo "PASS power cut in format: $((format_new + format_old + format_half)) in the middle: $format_half left no volume and said so, $format_old the older volume," \
	"$format_new the new one; $format_done between two formats, which left the last one"
[ ! -s "$work/refusals" ] || sort "$work/refusals" | uniq -c | sort -rn | sed 's/^ */  /'
echo "PASS power cut in rotate: $rotate_first in the first zone, $rotate_second in the second, $rotations rotations ended between; each recovered, was finished, and kept its content"
echo "PASS power cut in keys: $changes changes reported, none lost; $((keys_before + keys_after)) cuts in the middle of one, $keys_after of which it had outlived"
