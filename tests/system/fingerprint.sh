#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hull-fingerprint on a made-up machine with ordinary and hostile contents, and its diff.
# Usage: tests/system/fingerprint.sh [O]     prints one line a check; exit status 1 when one failed
set -uo pipefail
O=$(realpath -m "${1:-build}")
print=$O/bin/hull-fingerprint
[ -x "$print" ] || { echo "FAIL fingerprint: $print is not built"; exit 1; }
export LC_ALL=C
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

check() {	# SENTENCE COMMAND…: the command must succeed
	local what=$1
	shift
	if "$@" > "$tmp/why" 2>&1; then
		echo "PASS $what"
	else
		echo "FAIL $what: $(head -1 "$tmp/why")"
		head -5 "$tmp/why" | sed 's/^/    /'
		failed=1
	fi
}
status() {	# WANTED COMMAND…: the exit status must be as wanted
	local want=$1 got=0
	shift
	"$@" > "$tmp/out" 2> "$tmp/err" || got=$?
	[ "$got" -eq "$want" ] || { echo "exit status $got, expected $want"; return 1; }
}
has() { grep -qxF -- "$2" "$1" || { echo "no line \"$2\""; return 1; }; }
hasnt() { ! grep -qE -- "$2" "$1" || { echo "a line with \"$2\""; return 1; }; }

# ---- a small machine
m=$tmp/machine
file() { mkdir -p "$(dirname "$m/$1")"; printf "$2" > "$m/$1"; }
link() { mkdir -p "$(dirname "$m/$1")"; ln -s "$2" "$m/$1"; }
file sys/class/dmi/id/sys_vendor 'Example Systems\n'
file sys/firmware/dmi/tables/smbios_entry_point '_SM_\0\0\x02\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
file sys/firmware/dmi/tables/DMI '\x0b\x05\x00\x0e\x02rack=R07\0unit=U12\0\0\x20\x04\x00\x20\0\0\x7f\x04\x00\x7f\0\0'
file sys/devices/pci0000:00/0000:00:1c.0/vendor '0x1b36\n'
file sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.0/vendor '0x8086\n'
file sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.0/resource \
	'0x00000000fe000000 0x00000000fe01ffff 0x0000000000040200\n0x0 0x0 0x0\n0x000000000000c000 0x000000000000c03f 0x0000000000040101\n'
link sys/bus/pci/devices/0000:00:1c.0 ../../../devices/pci0000:00/0000:00:1c.0
link sys/bus/pci/devices/0000:01:00.0 ../../../devices/pci0000:00/0000:00:1c.0/0000:01:00.0
file sys/bus/pci/slots/3/address '0000:01:00\n'
file sys/class/net/eno1/ifindex '2\n'
file sys/class/net/eno1/address '3c:ec:ef:12:34:56\n'
file run/udev/data/n2 'I:1234\nE:ID_NET_NAME_ONBOARD=eno1\nE:SYSTEMD_ALIAS=x\n'
file sys/class/block/sda/size '8388608\n'
file sys/class/block/sda/dev '8:0\n'
file sys/class/block/loop0/size '0\n'
file run/udev/data/b8:0 'E:ID_SERIAL_SHORT=WMC6N0L0XYZ1\n'
link dev/disk/by-id/ata-HGST_X-part1 ../../sda1
link dev/disk/by-diskseq/1 ../../sda
file proc/self/mounts '/dev/sda1 / ext4 rw 0 0\nproc /proc proc rw 0 0\n'
file proc/swaps 'Filename Type Size Used Priority\n/dev/sda2 partition 262140 0 -2\n'
file proc/meminfo 'MemTotal:         999352 kB\n'
file proc/ioports '0000-0cf7 : PCI Bus 0000:00\n  0070-0077 : rtc0\nc000-c03f : 0000:00:05.0\n'
file sys/class/tty/ttyS0/type '4\n'
file sys/class/tty/ttyS1/type '0\n'
file proc/bus/input/devices \
	'I: Bus=0011 Vendor=0001 Product=0001 Version=ab41\nN: Name="AT Translated Set 2 keyboard"\nP: Phys=isa0060/serio0/input0\n\n'
file etc/adjtime '0.0 0 0.0\n0\nLOCAL\n'

a=$tmp/a
check "a made-up machine is printed" status 0 "$print" --root="$m"
cp "$tmp/out" "$a"
check "the list is sorted by bytes" sort -c "$a"
check "a DMI field" has "$a" 'dmi.id.sys_vendor = Example Systems'
check "the SMBIOS version" has "$a" 'dmi.entry = SMBIOS 2.8, 32-bit entry point'
check "an SMBIOS structure's formatted area" has "$a" 'dmi.type11.0.data = 0b05000e02'
check "an SMBIOS structure's second string" has "$a" 'dmi.type11.0.string2 = unit=U12'
check "an SMBIOS structure without strings does not eat the next one" has "$a" 'dmi.type127.0.data = 7f04007f'
check "a memory BAR has its size and not its place" has "$a" 'pci.0000:01:00.0.bar0 = memory 0x20000'
check "an I/O BAR after an absent one" has "$a" 'pci.0000:01:00.0.bar2 = io 0x40'
check "a PCI device's parent bridge" has "$a" 'pci.0000:01:00.0.parent = 0000:00:1c.0'
check "a PCI device's physical slot" has "$a" 'pci.0000:01:00.0.slot = 3'
check "an interface's MAC" has "$a" 'net.eno1.address = 3c:ec:ef:12:34:56'
check "udev's name for an interface" has "$a" 'net.eno1.ID_NET_NAME_ONBOARD = eno1'
check "udev's properties without ID_ are no facts" hasnt "$a" SYSTEMD_ALIAS
check "a disk's size in bytes" has "$a" 'block.sda.size = 4294967296 bytes'
check "a disk's serial number from udev" has "$a" 'block.sda.ID_SERIAL_SHORT = WMC6N0L0XYZ1'
check "an unused loop device is no fact" hasnt "$a" loop0
check "a by-id link" has "$a" 'disk.by-id.ata-HGST_X-part1 = sda1'
check "by-diskseq is no fact" hasnt "$a" diskseq
check "the root file system's source" has "$a" 'mount./ = /dev/sda1 ext4'
check "a swap partition" has "$a" 'swap./dev/sda2 = partition 262140 KiB'
check "memory is rounded to 16 MiB" has "$a" 'memory.total = 976 MiB'
check "a legacy I/O port range" has "$a" 'ports.0070-0077 = rtc0'
check "ports of PCI devices are no facts" hasnt "$a" 'ports.(c000|0000)'
check "a serial port that exists" has "$a" 'console.ttyS0.type = 4'
check "a serial port that does not exist" hasnt "$a" ttyS1
check "the keyboard by where it is plugged in" has "$a" \
	'input.isa0060/serio0/input0 = AT Translated Set 2 keyboard, Bus=0011 Vendor=0001 Product=0001 Version=ab41'
check "a clock in local time" has "$a" 'clock.hardware_time = LOCAL'
check "JSON holds the same facts" sh -c "[ \$('$print' --json --root='$m' | jq length) -eq \$(wc -l < '$a') ]"

# ---- differences
b=$tmp/b
cp "$a" "$b"
echo 'info.cpu.mhz = 1.0' >> "$b"
check "two equal lists: exit status 0, whatever the information says" status 0 "$print" diff "$a" "$b"
check "two equal lists are summed up" sh -c "tail -1 '$tmp/out' | grep -Eqx '$(wc -l < "$a") facts compared, 0 differences'"
sed -i -e 's/^net.eno1.address = .*/net.eno1.address = 52:54:00:12:34:56/' -e '/^swap/d' -e '$a block.sdb.size = 1 bytes' "$b"
check "a changed, a removed and an added fact: exit status 1" status 1 "$print" diff "$a" "$b"
check "the changed fact shows both values" sh -c "grep -A2 -x 'changed  net.eno1.address' '$tmp/out' | grep -q 'cloud  52:54:00:12:34:56'"
check "the removed fact is named" has "$tmp/out" 'removed  swap./dev/sda2'
check "the added fact is named" has "$tmp/out" 'added    block.sdb.size'
check "differences are counted" sh -c "tail -1 '$tmp/out' | grep -q ', 3 differences$'"
check "carriage returns of a serial console do not count" sh -c "sed 's/\$/\r/' '$a' > '$tmp/cr'; '$print' diff '$a' '$tmp/cr'"
check "a missing list: exit status 2" status 2 "$print" diff "$a" "$tmp/none"
check "and the reason" grep -q 'No such file' "$tmp/err"
: > "$tmp/empty"
check "an empty list is trouble, not equality" status 2 "$print" diff "$tmp/empty" "$tmp/empty"
printf 'a = b\nnonsense\n' > "$tmp/bad"
check "a line that is no fact: exit status 2" status 2 "$print" diff "$tmp/bad" "$a"
check "and its number" grep -q 'line 2 is not' "$tmp/err"
printf 'a = \033[2Jb\n' > "$tmp/bad"
check "terminal control characters in a list are refused" status 2 "$print" diff "$tmp/bad" "$a"
check "too few arguments: exit status 2" status 2 "$print" diff "$a"
check "an unknown option: exit status 2" status 2 "$print" --nonsense
check "no room for the output: exit status 2" status 2 sh -c "'$print' --root='$m' > /dev/full"
check "no room for the differences: exit status 2" status 2 sh -c "'$print' diff '$a' '$b' > /dev/full"

# ---- hostile contents
file sys/class/dmi/id/sys_vendor 'a\\b\n\033[2J = x\xff\0 '
check "unprintable bytes are escaped" sh -c "'$print' --root='$m' | grep -qxF 'dmi.id.sys_vendor = a\\x5cb\\x0a\\x1b[2J = x\\xff\\x00\\x20'"
head -c 3000 /dev/zero | tr '\0' x > "$m/sys/class/dmi/id/sys_vendor"
check "a long value is cut and says so" sh -c "'$print' --root='$m' | grep -qE '^dmi.id.sys_vendor = x{2048}\.\.\.\(3000 bytes\)$'"
head -c 1000000 /dev/zero > "$m/proc/self/mounts"
check "a long file is cut" status 0 "$print" --root="$m"
mkdir "$m/sys/class/dmi/id/$(printf 'odd = name\n')"
mkfifo "$m/sys/class/dmi/id/pipe"
check "a pipe in place of a file does not hang" status 0 timeout 20 "$print" --root="$m"
ln -s loop "$m/dev/disk/by-id/loop"
ln -s dirloop "$m/sys/class/block/dirloop"
check "links to themselves" status 0 timeout 20 "$print" --root="$m"
file 'dev/disk/by-id/x = y' ''
rm "$m/dev/disk/by-id/x = y"
ln -s ../../sda "$m/dev/disk/by-id/x = y#2"
check "separators in a name are escaped" sh -c "'$print' --root='$m' | grep -qxF 'disk.by-id.x\\x20\\x3d\\x20y\\x232 = sda'"

for structure in '\x01\x00\x00\x00\0\0' '\x01\x03\x00\x00' '\x01\xff\x00\x00' '\x01\x04\x00\x00abc' '\x01\x04\x00' '\x01\x04\x00\x00\0' '\x01\x04\x00\x00a\0'; do
	file sys/firmware/dmi/tables/DMI "$structure"
	check "broken SMBIOS structure $structure" status 0 timeout 20 "$print" --root="$m"
done
for n in 1 2 3 4 5 6 7 8; do
	head -c 20000 /dev/urandom > "$m/sys/firmware/dmi/tables/DMI"
	for f in sys/bus/pci/devices/0000:01:00.0/config sys/firmware/dmi/tables/smbios_entry_point sys/firmware/acpi/tables/FACP proc/cpuinfo \
		proc/meminfo proc/interrupts proc/ioports proc/swaps proc/bus/input/devices run/udev/data/b8:0; do
		mkdir -p "$(dirname "$m/$f")"
		head -c 4096 /dev/urandom > "$m/$f"
	done
	check "random bytes in every file, round $n" status 0 timeout 20 "$print" --root="$m"
	cp "$tmp/out" "$b"
	check "and what is printed can be loaded" status 0 "$print" diff "$b" "$b"
done
# A capability list that points at itself
head -c 256 /dev/zero > "$tmp/config"
printf '\x10' | dd of="$tmp/config" bs=1 seek=6 conv=notrunc status=none
printf '\x40' | dd of="$tmp/config" bs=1 seek=52 conv=notrunc status=none
printf '\x05\x40' | dd of="$tmp/config" bs=1 seek=64 conv=notrunc status=none
cp "$tmp/config" "$m/sys/bus/pci/devices/0000:01:00.0/config"
check "a circular capability list ends" status 0 timeout 20 "$print" --root="$m"
check "and shows 48 entries" sh -c "grep '^pci.0000:01:00.0.capabilities' '$tmp/out' | tr ' ' '\n' | grep -cx 05 | grep -qx 48"

exit $failed
