#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The life of a guest under hull-hv, in the test cloud: power off, each way to reset, power button, force, restart.
# The guest is Debian's cloud kernel with a small initramfs, booted directly.
# Usage: tests/system/hv-life.sh [O]
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
work=$(mktemp -d "$O/life.XXXXXX")
trap 'rm -rf "$work"' EXIT

tools/appliance/build "$O" >"$work/appliance.log" 2>&1 || { echo "FAIL appliance: $(tail -1 "$work/appliance.log")"; exit 1; }
kernel=$O/appliance/cache/kernel
release=$(ls "$kernel/lib/modules")

make_initrd() {
	local root=$work/root m
	mkdir -p "$root"/{bin,proc,sys,dev,mod}
	cp /bin/busybox "$root/bin/"
	for m in kernel/drivers/acpi/button.ko kernel/drivers/input/evdev.ko; do
		find "$kernel/lib/modules/$release/$m"* -exec cp {} "$root/mod/" \;
	done
	cp tests/system/life-init "$root/init"
	chmod 755 "$root/init"
	(cd "$root" && find . -mindepth 1 | cpio -o -H newc --quiet | gzip -1) >"$work/guest.initrd"
}
make_initrd
$O/bin/hull env compile tests/system/life.dts "$work/life.dtb" || { echo "FAIL environment"; exit 1; }
cp "$O/appliance/vmlinuz" "$work/guest.kernel"
cp tests/system/life-job "$work/job.sh"

tests/cloud/vm --appliance "$O/appliance" --memory 768 --timeout 400 --state "$work/vm" --config "$work/life.dtb" \
	--config "$work/job.sh" --config "$work/guest.kernel" --config "$work/guest.initrd" >"$work/log" 2>&1
tr -d '\r' <"$work/log" | grep -E '^(PASS|FAIL|SKIP) '
if ! grep -q 'LIFE-DONE' "$work/log"; then
	echo "FAIL life: the cloud VM did not come to the end: $(tail -1 "$work/log")"
	cp "$work/log" "$O/life.log"
	exit 1
fi
! grep -q '^FAIL' "$work/log"
