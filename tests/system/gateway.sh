#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hull-lcg from outside: a client on a LAN, a gateway on that LAN, and far ends (hull join) that have servers' places. Every way to attach, VLANs,
# guards, firewall, mirror, and a configuration that changes while all of it runs.
# Usage: tests/system/gateway.sh [O]
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
make --no-print-directory O="$O" "$O/tools/frames" "$O/tools/tagged" "$O/tools/capture" >/dev/null || { echo "FAIL gateway: tools"; exit 1; }
. tests/net/topology.sh
net_enter gateway "$@"
. tests/net/hull.sh

frames=$O/tools/frames
tagged=$O/tools/tagged
lcg=${HULL_LCG:-$O/bin/hull-lcg}
mac1=52:54:00:00:01:01 mac2=52:54:00:00:01:02
ip1=192.0.2.10 ip2=192.0.2.11
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
	if "$@" >"$net_dir/refused" 2>&1; then fail "$name: it was let through"; else pass "$name"; fi
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

# Frames between the servers that the gateway carried, before and after a ping: none came in addition.
past_the_gateway() {
	local before

	reaches web $ip2
	before=$(counter "segment office" between_servers)
	ns web ping -c 3 -i 0.1 -W 1 $ip2 && [ "$(counter "segment office" between_servers)" -le $((before + 1)) ]
}

# ---- each way to attach
net_bridge gw br0 lan0
if start "lan.home = tap:hull0,bridge:br0" "segment.office = home"; then
	carries "tap in a bridge"
	check "tap: the bridge learnt the server's place by the announcement" ns gw sh -c "bridge fdb show br br0 | grep -q '$mac1 dev hull0'"
	check "two servers reach each other" wait_for 5 reaches web $ip2
	check "they are introduced" wait_for 15 sh -c "grep -q 'server \\(web\\|db\\) is here' '$net_dir/join-web.log' '$net_dir/join-db.log'"
	check "they talk past the gateway" wait_for 15 past_the_gateway
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

# ---- VLANs, which the kernel here need not know: tests/tools/tagged is the client's VLAN device
net_space client20
vlan_device() {	# VID TAP NAMESPACE ADDRESS…
	local vid=$1 tap=$2 n=$3

	shift 3
	hull_start client "tagged$vid" "$tagged" eth0 "$vid" "$tap"
	wait_for 5 hull_said "tagged$vid" ready && net_ip client link set "$tap" netns "$n" up && net_address "$n" "$tap" "$@"
}
net_ip client address flush dev eth0
vlan_device 20 v20 client20 192.0.2.1/24 || fail "tagged: $(tail -n 1 "$net_dir/tagged20.log")"
if start "lan.home = packet:lan0" "segment.office = home vlan 20"; then
	check "access segment: ping with a tag on the LAN" wait_for 5 reaches client20 $ip1
	check "access segment: the server's frames have the LAN's tag" ns client "$frames" --listen --src $mac1 --vlan 20 --count 1 --seconds 5 eth0 &
	listener=$!
	wait_for 5 reaches client20 $ip1
	wait $listener
	cat "$net_dir/out" >/dev/null
	ns web "$frames" --dst "$client_mac" --src $mac1 --vlan 30 --text forbidden --count 5 eth0
	check "access segment: a server's own tag is dropped" wait_for 5 counts "segment office" drop_vlan 5
	ns client "$frames" --dst $mac1 --vlan 21 --count 5 eth0
	check "access segment: other VLANs of the LAN are nobody's" wait_for 5 counts "lan home" drop_vid 5
	ns client "$frames" --dst $mac1 --count 3 eth0
	check "access segment: so are untagged frames" wait_for 5 counts "lan home" drop_vid 8
	stop
fi
net_bridge gw br0 lan0
if start "lan.home = tap:hull0,bridge:br0" "segment.office = home vlan 20"; then
	check "access segment behind a bridge: ping" wait_for 5 reaches client20 $ip1
	stop
fi
net_ip gw link del br0
if start "lan.home = packet:lan0" "segment.office = home trunk"; then
	hull_start web tagged-web "$tagged" eth0 20 v20
	wait_for 5 hull_said tagged-web ready && net_ip web address flush dev eth0 && net_ip web link set v20 address $mac1 up &&
		net_address web v20 $ip1/24
	check "trunk: ping with the server's own tag" wait_for 5 reaches client20 $ip1
	hull_stop tagged-web
	net_address web eth0 $ip1/24
	stop
fi
hull_stop tagged20
net_address client eth0 192.0.2.1/24 2001:db8::1/64

# ---- guards
if start "lan.home = packet:lan0" "segment.office = home" "segment.office.mirror = pcap:$net_dir/mirror.pcap"; then
	wait_for 5 reaches client $ip1
	ns web "$frames" --src 52:54:00:00:09:09 --count 5 eth0
	check "spoofed MAC: counted" wait_for 5 counts "nic web net0" drop_spoofed-mac 5
	net_address db eth0 192.0.2.99/24
	refuses "spoofed IP: goes nowhere" ns db ping -c 1 -W 1 -I 192.0.2.99 192.0.2.1
	check "spoofed IP: counted" wait_for 5 counts "nic db net0" drop_spoofed-ip 1
	ns db ip address del 192.0.2.99/24 dev eth0
	ns web "$frames" --count 500 eth0
	check "storm from the server: counted" wait_for 5 counts "nic web net0" drop_storm 300
	check "storm: others are not held up" reaches client $ip2
	wait_for 5 reaches client $ip1
	ns client "$frames" --count 200 --src $mac1 eth0
	check "a server's MAC on the LAN: counted as a loop" wait_for 5 counts "segment office" drop_loop 200
	check "a server's MAC on the LAN: forged frames stop nothing" wait_for 5 reaches client $ip1
	ns client "$frames" --dst 01:80:c2:00:00:00 --count 3 eth0
	check "bridges' own frames: dropped" wait_for 5 counts "segment office" drop_reserved 3
	refuses "no announcement is a loop" counts "segment office" loops 1
	stop
	check "mirror: tcpdump reads it" sh -c "tcpdump -nr '$net_dir/mirror.pcap' icmp 2>/dev/null | grep -q '192.0.2.1 > $ip1'"
	refuses "mirror: what was dropped is not in it" sh -c "tcpdump -enr '$net_dir/mirror.pcap' 2>/dev/null | grep -q 52:54:00:00:09:09"
fi
# a cable that leads back: what goes out of lan0 comes in again
net_cable gw loop0 gw loop1
net_bridge gw br0 lan0 loop0
if start "lan.home = tap:hull0,bridge:br0" "segment.office = home"; then
	wait_for 5 reaches client $ip1
	net_bridge gw br1 loop1
	net_cable gw back0 gw back1 && net_bridge gw br1 back0 && net_bridge gw br0 back1
	check "loop in the LAN: found" wait_for 15 counts "segment office" loops 1
	check "loop in the LAN: shut, and status says so" sh -c "'$hull' gateway status '$net_dir/gw1.sock' | grep -q 'LOOP'"
	net_ip gw link del br1
	check "loop in the LAN: after its end the segment is back" wait_for 90 reaches client $ip1
	stop
fi
net_ip gw link del br0
net_ip gw link del loop0 2>/dev/null
net_ip gw link del back0 2>/dev/null

# ---- a configuration that changes under a running transfer
placement() { printf 'nic.net0 = l2\nnic.net0.segment = office\nnic.net0.direct = 198.51.100.2:7501\n' >"$net_dir/web.placement"; printf 'nic.net0.%s\n' "$@" >>"$net_dir/web.placement"; }
placement "rate = 8M/s" "storm = 50/s"
if start "lan.home = packet:lan0" "segment.office = home"; then
	wait_for 5 reaches client $ip1
	size=40000000
	ns_exec web socat -u "EXEC:head -c $size /dev/zero" TCP-LISTEN:8080,reuseaddr 2>/dev/null &
	wait_for 5 listening web
	ns client timeout 60 socat -u "TCP:$ip1:8080" - >"$net_dir/running" &
	running=$!
	wait_for 10 test -s "$net_dir/running"
	connects=$(counter "nic web net0" connects)
	placement "rate = 8M/s" "storm = 50/s" "allow.1 = in tcp port 8080" "allow.2 = in icmp"
	check "reload by the control socket" "$hull" gateway reload "$net_dir/gw1.sock"
	placement "rate = 8M/s" "storm = 50/s" "allow.1 = in tcp from 192.0.2.0/24 port 8000-8100"
	kill -HUP "${hull_pids[gw1]}"
	check "reload by SIGHUP" wait_for 5 sh -c "[ \$('$hull' gateway counters '$net_dir/gw1.sock' | awk '/^gateway reloads/ { print \$3 }') -eq 2 ]"
	check "firewall: what no rule allows is dropped" sh -c "! ip netns exec client ping -c 1 -W 1 $ip1"
	check "firewall: counted" wait_for 5 counts "nic web net0" drop_firewall 1
	refuses "firewall: another port" ns client timeout 2 socat -u "TCP:$ip1:9090,connect-timeout=1" -
	cp "$net_dir/gw1.conf" "$net_dir/good.conf"
	echo "segment.office.mirrow = pcap:x" >>"$net_dir/gw1.conf"
	refuses "broken configuration: refused" "$hull" gateway reload "$net_dir/gw1.sock"
	check "broken configuration: the words say why" grep -q 'segment.office.mirrow is no key' "$net_dir/refused"
	{ cat "$net_dir/good.conf"; echo "lan.more = packet:nothere0"; } >"$net_dir/gw1.conf"
	refuses "broken configuration: a device that is not there" "$hull" gateway reload "$net_dir/gw1.sock"
	{ cat "$net_dir/good.conf"; echo "segment.other = home"; } >"$net_dir/gw1.conf"
	refuses "broken configuration: frames of two segments" "$hull" gateway reload "$net_dir/gw1.sock"
	cp "$net_dir/good.conf" "$net_dir/gw1.conf"
	placement "rate = 8M/s" "allow.1 = in tcp porto 80"
	refuses "broken firewall rule: refused" "$hull" gateway reload "$net_dir/gw1.sock"
	check "broken firewall rule: the words say which" grep -q 'web.placement: nic.net0.allow.1: .*porto' "$net_dir/refused"
	check "the transfer was still running" kill -0 $running
	wait $running
	if [ "$(stat -c %s "$net_dir/running")" -eq $size ]; then pass "the transfer ended whole"; else fail "the transfer: $(stat -c %s "$net_dir/running") of $size bytes"; fi
	if [ "$(counter "nic web net0" connects)" -eq "$connects" ]; then pass "the link was never made again"; else fail "the link was made again"; fi
	placement "storm = 50/s"
	check "reload: rules are gone" "$hull" gateway reload "$net_dir/gw1.sock"
	check "reload: ping passes" wait_for 5 reaches client $ip1
	configure "lan.home = packet:lan0" "segment.office = home" "segment.office.mirror = tap:ids0" "segment.office.suppress = on"
	check "reload: a mirror on a TAP device and suppression" "$hull" gateway reload "$net_dir/gw1.sock"
	capture_start "$net_dir/ids.pcap" gw ids0
	wait_for 5 reaches client $ip1
	capture_stop
	check "mirror on a TAP device: tcpdump listens there" sh -c "tcpdump -nr '$net_dir/ids.pcap' icmp 2>/dev/null | grep -q '192.0.2.1 > $ip1'"
	# the first question is the server's to answer, the second one the gateway's
	ns client ip neigh flush dev eth0
	wait_for 5 reaches client $ip1
	ns client ip neigh flush dev eth0
	check "suppression: ping" wait_for 5 reaches client $ip1
	check "suppression: the gateway answered" wait_for 5 counts "segment office" answers 1
	sed -i '/^server.db/d' "$net_dir/gw1.conf"
	check "reload: a server less" "$hull" gateway reload "$net_dir/gw1.sock"
	refuses "reload: it is not served any more" reaches client $ip2
	check "reload: the other one is" reaches client $ip1
	# the cable
	net_ip client link set eth0 down
	check "cable out: status says so" wait_for 5 sh -c "'$hull' gateway status '$net_dir/gw1.sock' | grep -q 'NO LINK'"
	net_ip client link set eth0 up
	net_address client eth0 2001:db8::1/64 2>/dev/null
	check "cable in: back" wait_for 10 reaches client $ip1
	# without the management application
	hull_stop lma
	check "without the management application it goes on" reaches client $ip1
	stop
fi
refuses "--check: unknown key" "$lcg" --check <(cat "$net_dir/good.conf"; echo "priorty = 3")
cp "$net_dir/good.conf" "$net_dir/gw1.conf"
placement "storm = 50/s"
check "--check" "$lcg" --check "$net_dir/gw1.conf"
exit $failed
