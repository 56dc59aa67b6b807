# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The machine that dc-web01 was installed on and ran on before it moved, for QEMU. dc-web01.dts describes the same one.
# original_hardware DISK CACHE fills the array `hardware` with the arguments; nothing here starts anything.

# The processor is an EPYC without what a stock kvm_amd under emulated SVM cannot give its guests (svm, monitor) and
# without what QEMU cannot emulate, spelled out so that no QEMU version decides it (README.md, "The processor").
cpu_model=EPYC-v1,-svm,-monitor,-npt,-nrip-save,-vme,-rdseed,-sha-ni,-fxsr-opt,-misalignsse,-3dnowprefetch,-osvw,-topoext,-xsavec,-xsave,-xsaveopt,-xgetbv1,-avx,-avx2,-fma,-f16c

original_hardware() {
	local disk=$1 cache=${2:-writeback}

	hardware=(
		-name dc-web01
		-M pc-q35-7.2,hpet=off,vmport=off,smm=off,smbios-entry-point-type=32
		-accel tcg,thread=multi
		-cpu "$cpu_model"
		-smp 2,sockets=1,cores=2,threads=1
		-m 1024
		-nodefaults -no-user-config -display none -vga none
		-rtc base=utc
		# No ACPI hotplug: the root port's own slot number names the NIC behind it (ens3).
		-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off

		-uuid 4c4c4544-0037-4a10-8052-b4c04f4d3132
		-smbios "type=0,vendor=American Megatrends Inc.,version=2.3.1,date=03/14/2019,release=2.3"
		-smbios "type=1,manufacturer=Example Systems,product=ES-R240,version=A02,serial=ES7KX2J3,sku=SKU-0A1B,family=RackServer"
		-smbios "type=2,manufacturer=Example Systems,product=0X1R2C,version=A01,serial=.ES7KX2J3.CN7016.,asset=AT-10077,location=Main"
		-smbios "type=3,manufacturer=Example Systems,version=R1,serial=ES7KX2J3,asset=DC1-R07-U12,sku=1U"
		-smbios "type=4,sock_pfx=CPU,manufacturer=AMD,version=AMD EPYC Processor,serial=CPUSN01,asset=CPUAT01,part=PS7251BFV8SAF,max-speed=2900,current-speed=2100"
		-smbios "type=11,value=rack=R07,value=unit=U12"
		-smbios "type=17,loc_pfx=DIMM,bank=BANK 0,manufacturer=Samsung,serial=0A1B2C3D,asset=DIMM-AT,part=M393A1G40,speed=2400"
		-smbios "type=41,designation=Onboard LAN1,kind=ethernet,instance=1,pcidev=net0"

		-drive "if=none,id=sda,file=$disk,format=raw,cache=$cache"
		-device "ide-hd,bus=ide.0,drive=sda,bootindex=1,model=HGST HUS722T1TALA604,serial=WMC6N0L0XYZ1,ver=RAGNW3B0,wwn=0x5000cca25ec0ffee,logical_block_size=512,physical_block_size=4096,rotation_rate=7200,discard_granularity=0"
		-device "ide-cd,bus=ide.1,model=PLDS DVD-ROM DU-8D5LH,serial=D0123456,ver=1.00"

		-netdev user,id=lan,net=192.0.2.0/24,host=192.0.2.1,ipv6=off,restrict=on
		-device e1000,id=net0,netdev=lan,bus=pcie.0,addr=5,mac=3c:ec:ef:12:34:56,romfile=
		-device pcie-root-port,id=port1,bus=pcie.0,addr=1c.0,chassis=1,slot=3
		-netdev user,id=backup,net=198.51.100.0/24,host=198.51.100.1,ipv6=off,restrict=on
		-device e1000,id=net1,netdev=backup,bus=port1,addr=0,mac=3c:ec:ef:12:34:57,romfile=
		-device virtio-rng-pci,disable-legacy=on,bus=pcie.0,addr=6
	)
}
