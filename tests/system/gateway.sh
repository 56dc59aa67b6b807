#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hull-lcg from outside: a client on a LAN, a gateway on that LAN, and far ends (hull join) that have servers' places. Every way to attach, VLANs,
# guards, firewall, mirror, and a configuration that changes while all of it runs.
# Usage: tests/system/gateway.sh [O]
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
make --no-print-directory O="$O" "$O/tools/frames" "$O/tools/tagged" >/dev/null || { echo "FAIL gateway: tools"; exit 1; }
. tests/net/topology.sh
net_enter gateway "$@"
. tests/net/hull.sh

frames=$O/tools/frames
tagged=$O/tools/tagged
lcg=${HULL_LCG:-$O/bin/hull-lcg}
mac1=52:54:00:00:01:01 mac2=52:54:00:00:01:02 mac3=52:54:00:00:01:03
ip1=192.0.2.10 ip2=192.0.2.11 ip3=192.0.2.12
failed=0
pass() { echo "PASS gateway: $1"; }
fail() { echo "FAIL gateway: $1"; failed=1; }
# check NAME COMMAND…
check() {
	local name=$1
	shift
	if "$@" >"$net_dir/out" 2>&1; then pass "$name"; else fail "$name: $(tail -n 2 "$net_dir/out" | tr '\n' ' ')"; fi
}
refuses() {
	local name=$1
	shift
	if "$@" >"$net_dir/out" 2>&1; then fail "$name: it was let through"; else pass "$name"; fi
}

# ---- the network: client == gw == cloud
net_space client gw cloud || { echo "FAIL gateway: namespaces"; exit 1; }
net_cable client eth0 gw lan0 && net_cable gw wan0 cloud wan0 || { echo "FAIL gateway: cables"; exit 1; }
net_address gw wan0 198.51.100.1/24 && net_address cloud wan0 198.51.100.2/24 || exit 1
net_address client eth0 192.0.2.1/24 2001:db8::1/64 || exit 1
client_mac=$(ns client cat /sys/class/net/eth0/address)

hull_authority && hull_lma gw 198.51.100.1 || { echo "FAIL gateway: hull-lma: $(tail -n 2 "$net_dir/lma.log")"; exit 1; }
hull_identity lcg gw1 || { echo "FAIL gateway: no identity"; exit 1; }
gw1=$hull_identity

# The card stands in a namespace of its own, at the end of a wire; its program where the cloud is.
# server NAME NUMBER MAC IP SEGMENT [KEY=VALUE…]
server() {
	local name=$1 n=$2 mac=$3 ip=$4 segment=$5

	shift 5
	hull_server "$name" net0 "$mac" "$segment" "direct=198.51.100.2:$((7500 + n))" "$@" && hull_identity hv "$name" &&
		hull_pki allow lcg/gw1 "hv/$name" >/dev/null || { fail "server $name"; exit 1; }
	net_space "$name" && net_ip cloud tuntap add dev "srv$n" mode tap vnet_hdr && net_cable cloud "w$n" "$name" eth0 &&
		ns cloud bash -c "echo 1 | tee /proc/sys/net/ipv6/conf/{srv$n,w$n,default}/disable_ipv6 >/dev/null" &&
		net_bridge cloud "b$n" "w$n" "srv$n" && ns "$name" ip link set eth0 address "$mac" &&
		net_address "$name" eth0 "$ip/24" "2001:db8::1$n/64" || { fail "server $name: network"; exit 1; }
	join "$name" "$n" "$mac" "$segment"
}
join() {
	hull_start cloud "join-$1" "$hull" join --identity "$net_dir/hv-$1" --nic net0 --segment "$4" --tap "srv$2" --mac "$3" \
		--listen "198.51.100.2:$((7500 + $2))"
	wait_for 10 hull_said "join-$1" 'listens on' || { fail "hull join $1: $(tail -n 1 "$net_dir/join-$1.log")"; exit 1; }
}
server web 1 $mac1 $ip1 office "storm=50/s"
server db 2 $mac2 $ip2 office "address=$ip2 2001:db8::12 fe80::5054:ff:fe00:102"

# configure LINE…: the gateway's configuration; what all have stands there already
configure() {
	{
		printf '%s\n' "name = gw1" "identity = $gw1" "lma = $hull_lma_address" "control = $net_dir/gw1.sock" "$@"
		for s in web db; do printf 'server.%s.environment = %s\nserver.%s.placement = %s\n' $s "$net_dir/$s.dtb" $s "$net_dir/$s.placement"; done
	} >"$net_dir/gw1.conf"
}
status() { "$hull" gateway status "$net_dir/gw1.sock" "$@"; }
# counter PREFIX NAME: "nic web net0" drop_storm
counter() { "$hull" gateway counters "$net_dir/gw1.sock" | awk -v p="$1 $2 " 'index($0, p) == 1 { n = $NF } END { print n + 0 }'; }
active() { [ "$(status --json | jq '[.nics[] | select(.active)] | length')" -ge "$1" ]; }
counts() { [ "$(counter "$1" "$2")" -ge "$3" ]; }
said() { hull_said gw1 "$1"; }
# start LINE…: the gateway with this configuration, serving both
start() {
	configure "$@"
	: >"$net_dir/gw1.log"
	hull_start gw gw1 "$lcg" "$net_dir/gw1.conf"
	wait_for 15 active 2 || { fail "start: $(tail -n 3 "$net_dir/gw1.log" | tr '\n' ' ')"; return 1; }
}
stop() {
	hull_stop gw1 || fail "the gateway ended with $?: $(tail -n 1 "$net_dir/gw1.log")"
}

reaches() { ns "$1" ping -c 1 -W 1 "$2"; }
# transfer FROM IP BYTES: over TCP from the server to the client; the client gets exactly that
transfer() {
	local server=$1 ip=$2 bytes=$3 pid got

	ns_exec "$server" socat -u "EXEC:head -c $bytes /dev/zero" TCP-LISTEN:8080,reuseaddr 2>/dev/null &
	pid=$!
	wait_for 5 listening "$server" || return 1
	got=$(ns client timeout 60 socat -u "TCP:$ip:8080" - | wc -c)
	wait $pid
	[ "$got" -eq "$bytes" ]
}
upload() {
	local server=$1 ip=$2 bytes=$3 pid

	ns_exec "$server" timeout 60 socat -u TCP-LISTEN:8080,reuseaddr - >"$net_dir/upload" 2>/dev/null &
	pid=$!
	wait_for 5 listening "$server" || return 1
	head -c "$bytes" /dev/zero | ns client timeout 60 socat -u - "TCP:$ip:8080"
	wait $pid
	[ "$(stat -c %s "$net_dir/upload")" -eq "$bytes" ]
}
listening() { ns "$1" ss -Hltn 'sport = :8080' | grep -q .; }
# What every way to attach must carry.
carries() {
	check "$1: ping" wait_for 5 reaches client $ip1
	check "$1: ping over IPv6" wait_for 5 reaches client 2001:db8::11
	check "$1: the second server" wait_for 5 reaches client $ip2
	check "$1: from the server" reaches web 192.0.2.1
	check "$1: download" transfer web $ip1 20000000
	check "$1: upload" upload web $ip1 20000000
}

# ---- each way to attach
net_bridge gw br0 lan0
if start "lan.home = tap:hull0,bridge:br0" "segment.office = home"; then
	carries "tap in a bridge"
	check "tap: the bridge learnt the server's place by the announcement" ns gw sh -c "bridge fdb show br br0 | grep -q '$mac1 dev hull0'"
	check "status says the way" sh -c "'$hull' gateway status '$net_dir/gw1.sock' | grep -q 'web .* active .* direct'"
	stop
	check "tap: it is gone with the gateway" sh -c "! ip -n gw link show hull0"
fi
net_ip gw link del br0
if start "lan.home = packet:lan0" "segment.office = home"; then
	carries "packet socket"
	check "packet: super-frames came whole" sh -c "'$hull' gateway counters '$net_dir/gw1.sock' | awk '/^lan home in_frames/ { f = \$NF } /^lan home in_bytes/ { b = \$NF } END { exit !(b / f > 2000) }'"
	stop
fi
if net_ip gw link add link lan0 name mv0 type macvtap mode passthru 2>"$net_dir/out"; then
	net_ip gw link set mv0 up
	index=$(ns gw cat /sys/class/net/mv0/ifindex 2>/dev/null || net_ip gw -o link show mv0 | cut -d: -f1)
	device=$(ns gw sh -c 'cat /sys/class/net/mv0/tap*/dev')
	[ -e "/dev/tap$index" ] || { mknod "/dev/tap$index" c "${device%:*}" "${device#*:}" && at_exit rm -f "/dev/tap$index"; }
	if [ -e "/dev/tap$index" ] && start "lan.home = macvtap:mv0" "segment.office = home"; then
		carries "macvtap"
		stop
	fi
	net_ip gw link del mv0
else
	echo "SKIP gateway: macvtap: $(head -n 1 "$net_dir/out")"
fi
