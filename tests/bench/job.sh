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
hull() { echo hull-hv --env $env --console stdio; }
# The same machine: chipset, processors, memory, SATA disk, two e1000 NICs, entropy, firmware on the serial console.
peer() {
	echo /peer/lib/ld-linux-x86-64.so.2 --library-path /peer/lib /peer/qemu-system-x86_64 -L /peer/firmware -accel kvm -cpu host -machine q35,graphics=off,hpet=off,smm=off -smp 2 -m 1024 -nodefaults -no-user-config \
		-display none -serial stdio -no-reboot -device virtio-rng-pci
}
peer_nics() {
	echo -netdev "tap,id=n0,ifname=tap0,script=no,downscript=no" -device e1000,netdev=n0,addr=5,romfile= \
		-device pcie-root-port,id=p1,chassis=1,slot=3,addr=1c.0 \
		-netdev "tap,id=n1,ifname=tap1,script=no,downscript=no" -device e1000,netdev=n1,bus=p1,romfile=
}
peer_disk() { echo -drive "if=none,id=d,file=$1,format=raw,cache=none,aio=native" -device ide-hd,drive=d,bus=ide.0; }

for round in $(seq "$rounds"); do
	measure first "$round" hull --timeout 60 --mark first=! -- $(hull) --disk sda=/tmp/empty --firmware /peer/firmware/first.bin
	measure first "$round" peer --timeout 60 --mark first=! -- $(peer) -bios /peer/firmware/first.bin
	measure post "$round" hull --timeout 120 --mark post="No bootable device" -- $(hull) --disk sda=/tmp/empty
	measure post "$round" peer --timeout 120 --mark post="No bootable device" -- $(peer) \
		-drive if=none,id=d,file=/tmp/empty,format=raw -device ide-hd,drive=d,bus=ide.0
done
for round in $(seq "$boots"); do
	measure boot "$round" hull --timeout 900 --settle 5 --mark login=login: -- $(hull) --disk sda=/dev/vol/hull"$round" \
		--nic net0=tap:tap0 --nic net1=tap:tap1
	measure boot "$round" peer --timeout 900 --settle 5 --mark login=login: -- $(peer) $(peer_disk /dev/vol/peer"$round") $(peer_nics)
done
exit 0
