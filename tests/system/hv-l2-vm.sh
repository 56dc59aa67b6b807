#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In the test cloud: a Linux guest whose two NICs (virtio-net with two queue pairs, e1000) end in L2 links reaches the LANs of two
# gateways outside the cloud VM, by TCP in both directions, by the certificate that its token gives.
# Usage: tests/system/hv-l2-vm.sh [O]
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
# shellcheck source=tests/net/topology.sh
. tests/net/topology.sh
if [ -z "${NET_INSIDE:-}" ]; then	# what is built is built outside, where the network is
	out=$(tools/appliance/build "$O" 2>&1) || { echo "FAIL hv-l2-vm: appliance: $(tail -n 1 <<<"$out")"; exit 1; }
	# only its root file system is needed
	[ -n "$(find "$O/sample" -name 'rootfs-*.tar' 2>/dev/null)" ] || out=$(tools/sample/build "$O" 2>&1) ||
		{ echo "FAIL hv-l2-vm: sample: $(tail -n 1 <<<"$out")"; exit 1; }
fi
net_enter hv-l2-vm "$@"
work=$net_dir hull=$O/bin/hull store=$net_dir/store
by=(--unlock "keyfile:$work/root")
failed=0
pass() { echo "PASS hv-l2-vm: $1"; }
fail() { echo "FAIL hv-l2-vm: $1"; failed=1; }
verdict() { if [ "$2" -eq 0 ]; then pass "$1"; else fail "$1: ${3:-}"; fi; }
die() { fail "$1"; exit 1; }
must() { "$@" >"$work/err" 2>&1 || die "$1: $(tail -n 1 "$work/err")"; }

must tests/guest/build "$O" "$work/guest.initrd" tests/system/hv-l2-guest
cp "$O/guest/vmlinuz" "$work/guest.kernel"
# shellcheck disable=SC2086
must ${CC:-gcc} -std=gnu17 -D_GNU_SOURCE -O1 -I. ${SAN_CFLAGS:-} -o "$work/gateway" tests/system/hv_l2_gateway.c "$O/lib/libhullcrypto.a" "$O/lib/libhull.a" \
	-ljansson -lcryptsetup -lssl -lcrypto -largon2 -ltss2-esys -ltss2-mu -ltss2-tctildr -ltss2-rc -pthread

# ---- an authority, two gateways, two LANs
umask 077
head -c 64 /dev/urandom >"$work/root"
must "$hull" keys init "$store" "${by[@]}"
must "$hull" pki init "$store" "${by[@]}"
"$O/bin/hull-lma" --store "$store" "${by[@]}" --listen 127.0.0.1:7443 --audit "$work/audit" 2>"$work/lma.log" &
wait_for 20 grep -q 'listening on' "$work/lma.log" || die "hull-lma: $(tail -n 1 "$work/lma.log")"
token() { "$hull" pki token "$store" --role "$1" --name "$2" "${by[@]}" >"$work/token"; }
token lcg gw1
must "$hull" pki enrol --lma 127.0.0.1:7443 --token "file:$work/token" --output "$work/id"
must "$hull" pki allow "$store" lcg/gw1 hv/web01 "${by[@]}"
mkdir "$work/www"
head -c "${BYTES:-8000000}" /dev/urandom >"$work/www/data"
sum=$(md5sum <"$work/www/data")
lan() {	# NIC TAP ADDRESS PORT SINK
	ip tuntap add "$2" mode tap vnet_hdr && ip address add "$3/24" dev "$2" && ip link set "$2" up || die "no TAP devices"
	busybox httpd -f -p "$3:8080" -h "$work/www" &
	socat -u "TCP-LISTEN:$5,bind=$3" "CREATE:$work/$1.sent" &
	"$work/gateway" "$work/id" 127.0.0.1:7443 web01 "$1" office direct "127.0.0.1:$4" "$2" >"$work/$1.out" 2>"$work/$1.log" &
}
lan net0 tap0 192.0.2.1 7445 9000
lan net1 tap1 198.51.100.1 7446 9001

# ---- the cloud VM
token hv web01
must "$hull" env compile tests/system/hv-l2.dts "$work/dtb"
printf '%s\n' 'disk.vda = /tmp/disk' 'lma = 10.0.2.2:7443' 'lma.token = file:/config/token' \
	'nic.net0 = l2' 'nic.net0.listen = 0.0.0.0:7445' 'nic.net1 = l2' 'nic.net1.segment = office' 'nic.net1.listen = 0.0.0.0:7446' >"$work/placement.conf"
echo 'uplink eth0 10.0.2.15/24 10.0.2.2' >"$work/network"
cat >"$work/job.sh" <<'JOB'
truncate -s 1M /tmp/disk
hull-hv --env /config/dtb --placement /config/placement.conf --kernel /config/guest.kernel --initrd /config/guest.initrd --console stdio --control /tmp/control \
	--append "console=ttyS0 quiet panic=-1" --stats /tmp/stats -v </dev/null 2>&1 | sed 's/^/guest: /' &
while kill -0 $! 2>/dev/null; do hull server net /tmp/control >/tmp/net.new 2>/dev/null && mv /tmp/net.new /tmp/net; usleep 500000; done
sed 's/^/net: /' /tmp/net
echo L2-DONE
JOB
tests/cloud/vm --appliance "$O/appliance" --memory 832 --timeout "${LIMIT:-400}" --state "$work/vm" \
	--nic 'user,hostfwd=tcp:127.0.0.1:7445-:7445,hostfwd=tcp:127.0.0.1:7446-:7446' --config "$work/dtb" --config "$work/placement.conf" --config "$work/token" \
	--config "$work/network" --config "$work/job.sh" --config "$work/guest.kernel" --config "$work/guest.initrd" >"$work/log" 2>&1
tr -d '\r' <"$work/log" >"$work/text"
grep -E '^(guest: |net: )' "$work/text" >"$O/hv-l2-vm.log"
if ! grep -q L2-DONE "$work/text"; then
	cp "$work/text" "$O/hv-l2-vm.log"
	die "the cloud VM did not come to the end: $(tail -n 1 "$work/text")"
fi

# ---- what the guest saw
says() { grep -qE "^guest: l2 $1" "$work/text"; verdict "$2" $? "$(grep "^guest: l2" "$work/text" | tail -n 1) $(grep '^guest: hull-hv' "$work/text" | tail -n 1)"; }
says 'net0 driver virtio_net queues rx-0 rx-1 tx-0 tx-1' "virtio-net has two queue pairs"
says 'net1 driver e1000 ' "e1000"
for nic in net0 net1; do
	says "$nic pings 5" "$nic: pings are answered"
	says "$nic fetched ${sum%% *}" "$nic: a file comes whole"
	cmp -s "$work/www/data" "$work/$nic.sent"
	verdict "$nic: a file goes whole" $? "$(stat -c %s "$work/$nic.sent") bytes"
done
grep -q 'net: certificate valid' "$work/text"
verdict "the certificate came by the token" $? "$(grep '^net: ' "$work/text" | tail -n 1)"
sed -n 's/^guest: l2 \(net.\) \(round-trip\|fetched\|sent\|counters\)/# \1 \2/p' "$work/text"
exit $failed
