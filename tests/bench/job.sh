#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs inside the cloud VM (tests/bench/run): hull-hv and the peer in turn, same firmware, same disk contents, same NIC.
# Prints `bench FIGURE ROUND WHO KEY VALUE` lines.
mkdir -p /peer
mount -t ext4 -o ro /dev/vol/peer /peer || exit 1
set -- $(cat /config/bench)
rounds=$1 boots=$2
env=/config/dc-web01.dtb
truncate -s 4G /tmp/empty

measure() {
	figure=$1 round=$2 who=$3
	shift 3
	/peer/measure --memory 1024 --log "/tmp/$figure.$round.$who" "$@" 2>"/tmp/$figure.$round.$who.err" | sed "s/^/bench $figure $round $who /"
	[ -s "/tmp/$figure.$round.$who" ] || sed "s/^/bench: $figure $who: /" "/tmp/$figure.$round.$who.err" | tail -n 5
}
hull() {	# hull FIGURE ROUND DISK MEASURE-OPTIONS -- MORE-ARGUMENTS
	figure=$1 round=$2 disk=$3
	shift 3
	measure "$figure" "$round" hull "$@" --env $env --console stdio --disk sda="$disk" --nic net0=tap:tap0 --nic net1=tap:tap1
}
peer() {	# the same for the peer: the same chipset, processors, memory, disk, NICs and SMBIOS strings
	figure=$1 round=$2 disk=$3
	shift 3
	while IFS= read -r argument; do
		set -- "$@" "$(echo "$argument" | sed "s|@DISK@|$disk|")"
	done </config/peer.arguments
	measure "$figure" "$round" peer "$@" -serial stdio -no-reboot
}
qemu="/peer/lib/ld-linux-x86-64.so.2 --library-path /peer/lib /peer/qemu-system-x86_64 -L /peer/firmware"

for round in $(seq "$rounds"); do
	hull first "$round" /tmp/empty --timeout 60 --mark first=! -- hull-hv --firmware /peer/firmware/first.bin
	peer first "$round" /tmp/empty --timeout 60 --mark first=! -- $qemu -bios /peer/firmware/first.bin
	hull post "$round" /tmp/empty --timeout 120 --mark post="No bootable device" -- hull-hv
	peer post "$round" /tmp/empty --timeout 120 --mark post="No bootable device" -- $qemu -machine graphics=off
done
for round in $(seq "$boots"); do
	hull boot "$round" /dev/vol/hull"$round" --timeout 400 --settle 5 --mark login=login: -- hull-hv
	peer boot "$round" /dev/vol/peer"$round" --timeout 400 --settle 5 --mark login=login: -- $qemu -machine graphics=off
done
exit 0
