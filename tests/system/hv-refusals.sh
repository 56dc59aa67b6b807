#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What hull-hv can't do it refuses with one clear line and a status, and changes nothing.
# Usage: tests/system/hv-refusals.sh [O]
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
hv=$O/bin/hull-hv
work=$(mktemp -d "$O/refusals.XXXXXX")
holder=
trap '[ -z "$holder" ] || kill "$holder" 2>/dev/null; rm -rf "$work"' EXIT
failed=0

# refuse NAME STATUS PATTERN COMMAND…: exit status and the message; exactly one line on standard error
refuse() {
	local name=$1 status=$2 pattern=$3 got lines
	shift 3
	timeout 20 "$@" </dev/null >"$work/out" 2>"$work/err"
	got=$?
	lines=$(grep -vc 'warn:' "$work/err")
	if [ $got -ne "$status" ]; then
		echo "FAIL $name: status $got instead of $status: $(head -1 "$work/err")"; failed=1
	elif ! grep -qE "$pattern" "$work/err"; then
		echo "FAIL $name: message is: $(head -1 "$work/err")"; failed=1
	elif [ "$lines" -ne 1 ]; then
		echo "FAIL $name: $lines error lines"; failed=1
	else
		echo "PASS $name"
	fi
}

$O/bin/hull env compile tools/sample/dc-web01.dts "$work/ok.dtb" || { echo "FAIL compile: dc-web01.dts"; exit 1; }
sed 's/size = .*0x100000000>/size = \/bits\/ 64 <0x200000000>/' tools/sample/dc-web01.dts >"$work/big.dts"
$O/bin/hull env compile "$work/big.dts" "$work/big.dtb" || { echo "FAIL compile: a larger disk"; exit 1; }
truncate -s 4G "$work/sda"
truncate -s 1G "$work/short"
head -c 100 "$work/ok.dtb" >"$work/cut.dtb"
before=$(stat -c '%s %Y' "$work/sda")

refuse "no environment" 2 'no environment: give --env' $hv
refuse "unknown option" 2 'unknown option' $hv --frobnicate
refuse "environment is not there" 1 'nowhere.dtb.*No such file' $hv --env "$work/nowhere.dtb"
refuse "environment is cut short" 1 'cut.dtb' $hv --env "$work/cut.dtb"
refuse "initrd without kernel" 2 'go with --kernel' $hv --env "$work/ok.dtb" --initrd x
sed 's/rng@6,0/rng@5,0/' tools/sample/dc-web01.dts >"$work/twice.dts"
refuse "PCI address used twice" 2 'rng@5,0|lan@5,0' $O/bin/hull env check "$work/twice.dts"

if [ ! -e /dev/kvm ]; then
	refuse "no /dev/kvm" 1 '/dev/kvm does not exist' $hv --env "$work/ok.dtb" --disk sda="$work/sda"
	echo "SKIP refusals behind KVM: this machine has no /dev/kvm"
	exit $failed
fi
run=("$hv" --env "$work/ok.dtb")
sed 's/serial0;/serial0; hpet;/' tools/sample/dc-web01.dts >"$work/hpet.dts"
"$O/bin/hull" env compile "$work/hpet.dts" "$work/hpet.dtb" || { echo "FAIL hpet environment"; failed=1; }
refuse "HPET, which is not modelled" 1 'chipset: hpet: hull-hv has no HPET yet' "$hv" --env "$work/hpet.dtb" --disk sda="$work/sda"
if unshare -m true 2>/dev/null; then
	# shellcheck disable=SC2016
	refuse "no /dev/kvm" 1 '/dev/kvm does not exist' unshare -m sh -c 'mount -t tmpfs none /dev && exec "$@"' sh "${run[@]}" --disk sda="$work/sda"
else
	echo "SKIP no /dev/kvm: mount namespaces can not be made here"
fi
refuse "no volume for a disk" 1 'disk sda has no volume: give --disk sda=PATH' "${run[@]}"
refuse "volume is not there" 1 'disk sda: .*nowhere.*No such file' "${run[@]}" --disk sda="$work/nowhere"
refuse "volume is a folder" 1 'disk sda: .*' "${run[@]}" --disk sda="$work"
refuse "volume is too short" 1 'too short: it has 1073741824 bytes, the environment says 4294967296' "${run[@]}" --disk sda="$work/short"
printf "%s\n" "disk.sda = $work/sda" "disk.sda.rate = fast" >"$work/placement"
refuse "rate that is none" 1 'disk.sda.rate: "fast" is no rate' "${run[@]}" --placement "$work/placement"
refuse "disk that the environment does not name" 1 'disk.sdb names nothing' "${run[@]}" --disk sda="$work/sda" --disk sdb="$work/short"
refuse "wire that is none" 1 'nic.net0: .*is no wire' "${run[@]}" --disk sda="$work/sda" --nic net0=rope
refuse "TAP device that is not there" 1 'nic.net0: ' "${run[@]}" --disk sda="$work/sda" --nic net0=tap:nosuchtap0
refuse "console end that is none" 1 'console.com1: "banana" is no console end' "${run[@]}" --disk sda="$work/sda" --console banana
refuse "firmware is not there" 1 'nowhere.bin' "${run[@]}" --disk sda="$work/sda" --firmware "$work/nowhere.bin"
refuse "firmware is no firmware" 1 'ok.dtb' "${run[@]}" --disk sda="$work/sda" --firmware "$work/ok.dtb"
refuse "kernel is no kernel" 1 'ok.dtb' "${run[@]}" --disk sda="$work/sda" --kernel "$work/ok.dtb"

# Encrypted volumes: what the agent says comes through, and nothing of the key does
printf 'correct horse battery staple' >"$work/key"
printf 'another key altogether' >"$work/key2"
truncate -s 4200M "$work/luks"
if "$O/bin/hull" volume format "$work/luks" --key file:"$work/key" --random-key >"$work/out" 2>&1; then
	placement() { printf '%s\n' "disk.sda = $work/$1" "${@:2}" >"$work/placement"; }
	placement luks
	refuse "encrypted volume without a key" 1 'disk sda: .*luks: is encrypted \(LUKS\): give volume.sda.key' "${run[@]}" --placement "$work/placement"
	placement luks "volume.sda.key = file:$work/key2"
	refuse "wrong key" 1 'disk sda: .*luks: .*key' "${run[@]}" --placement "$work/placement"
	placement luks "volume.sda.key = file:$work/nowhere"
	refuse "key file is not there" 1 'disk sda: .*nowhere.*No such file' "${run[@]}" --placement "$work/placement"
	placement sda "volume.sda.key = file:$work/key"
	refuse "key for a plain volume" 1 'disk sda: .*sda: .*LUKS' "${run[@]}" --placement "$work/placement"
	placement luks "volume.sda.key = correct horse battery staple"
	refuse "key in the placement" 1 'volume.sda.key is no key source' "${run[@]}" --placement "$work/placement"
	grep -q horse "$work/err" && { echo "FAIL key in the placement: the message repeats it"; failed=1; }
	placement luks "volume.sda.kye = file:$work/key" "volume.sda.key = file:$work/key"
	refuse "volume key with a typing error" 1 'volume.sda.kye names nothing' "${run[@]}" --placement "$work/placement"
	placement luks "volume.sda.key = fd:3"
	refuse "key on descriptor 3, the agent's own" 1 'disk sda: .*luks is too short: it has [0-9]+ bytes of plaintext' \
		"$hv" --env "$work/big.dtb" --placement "$work/placement" 3<"$work/key"
	placement luks "volume.sda.key = file:$work/key"
	refuse "no agent" 1 'disk sda: volume agent: /nowhere/hull: No such file' env HULL_AGENT=/nowhere/hull "${run[@]}" --placement "$work/placement"
	refuse "agent that fails" 1 'disk sda: the volume agent ended with status 1' env HULL_AGENT=/bin/false "${run[@]}" --placement "$work/placement"
else
	echo "FAIL encrypted volumes: $(head -1 "$work/out")"; failed=1
fi

sed 's/64 <0x40000000>/64 <0xc000000000>/; s/64 <0x400000000>/64 <0x1000000000>/' tools/sample/dc-web01.dts >"$work/huge.dts"
if $O/bin/hull env compile "$work/huge.dts" "$work/huge.dtb" 2>"$work/err"; then
	refuse "too little memory" 1 'too little memory: the server has 786432 MiB' $hv --env "$work/huge.dtb" --disk sda="$work/sda"
else
	echo "FAIL too little memory: $(cat "$work/err")"; failed=1
fi

( exec 9<>"$work/sda"; flock -x 9 && exec sleep 60 ) &
holder=$!
for _ in $(seq 100); do flock -n -x "$work/sda" true || break; done
echo 'wait = 0' >"$work/placement"
refuse "disk in use by another process" 1 'disk sda: .*in use' "${run[@]}" --placement "$work/placement" --disk sda="$work/sda"
# It waits for a while first. What stops it then is a key that names nothing, which is looked at behind the disks.
printf '%s\n' 'wait = 1m' "disk.sdb = $work/short" >"$work/placement"
"${run[@]}" --placement "$work/placement" --disk sda="$work/sda" </dev/null >"$work/out" 2>"$work/err" &
waiting=$!
for _ in $(seq 500); do grep -q "sda is in use; waiting for its last user to let go" "$work/err" && break; sleep 0.02; done
kill $holder; holder=
wait $waiting
if [ $? -eq 1 ] && grep -q 'waiting for its last user' "$work/err" && grep -q 'disk.sdb names nothing' "$work/err"; then
	echo "PASS disk in use is waited for"
else
	echo "FAIL disk in use is waited for: $(tail -n 1 "$work/err")"; failed=1
fi

if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	chmod 755 "$work"; chmod 666 "$work/sda"
	if [ "$(stat -c %a /dev/kvm)" = 600 ] && setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$hv"; then
		refuse "no permission for /dev/kvm" 1 '/dev/kvm: permission denied; add this user to the group' \
			setpriv --reuid=65534 --regid=65534 --clear-groups "${run[@]}" --disk sda="$work/sda"
	else
		echo "SKIP no permission for /dev/kvm: everyone may use it here, or nobody but root may reach the build folder"
	fi
fi
if [ "$(stat -c '%s %Y' "$work/sda")" = "$before" ]; then
	echo "PASS nothing was changed"
else
	echo "FAIL nothing was changed: the volume was touched"; failed=1
fi
exit $failed
