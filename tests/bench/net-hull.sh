# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: Apache-2.0
# Hull as contenders of tests/bench/net, as net-peers.sh has the others. Its programs get their certificates before anything is measured.
mac=52:54:00:be:ac:02

hull_keys() {
	hull_authority
	hull_lma near 10.99.0.1
	hull_identity lcg gw1
	hull_identity hv bench
	hull_identity csc relay
	hull_pki allow lcg/gw1 hv/bench
	# the relay's own namespace, with a cable to each side: what it carries passes no other way
	net_space relay
	net_cable near v1 relay near
	net_cable far v1 relay far
	net_address near v1 10.99.1.1/24
	net_address relay near 10.99.1.2/24
	net_address far v1 10.99.2.1/24
	net_address relay far 10.99.2.2/24
}
mac_tap() {	# the far TAP has the server's MAC
	taps vnet_hdr
	ip -n far link set tap0 address $mac
}
far_end() {	# far_end ARGUMENT…: the server's end
	peer far "$hull" join --identity "$net_dir/hv-bench" --nic net0 --segment bench --tap tap0 --mac $mac "$@"
}

# Both ends are hull join: what the link itself can do, without the gateway's switch and filter.
can_join() { "$hull" help join >/dev/null 2>&1 || { echo "this hull has no join"; return 1; }; }
start_join() {
	mac_tap
	far_end --listen 10.99.0.2:7443 --accept lcg/gw1
	wait_for 10 listens far 7443
	peer near "$hull" join --identity "$net_dir/lcg-gw1" --nic net0 --segment bench --tap tap0 --mac "$(ns near cat /sys/class/net/tap0/address)" \
		--server bench --call 10.99.0.2:7443
}

# The gateway with its switch and its stateful firewall, and hull join in the server's place: no virtual machine.
can_hull() { [ -x "$O/bin/hull-lcg" ] || { echo "there is no hull-lcg"; return 1; }; }
start_gateway() {	# start_gateway KEY=VALUE: of the NIC, how it is reached
	hull_server bench net0 $mac bench "address=10.88.0.2" "allow.1=in tcp" "allow.2=in udp" "allow.3=in icmp" "allow.4=out any" "$1"
	cat >"$net_dir/lcg.conf" <<-END
	name = gw1
	identity = $net_dir/lcg-gw1
	lma = $hull_lma_address
	lan.bench = tap:tap0
	segment.bench = bench
	server.bench.environment = $net_dir/bench.dtb
	server.bench.placement = $net_dir/bench.placement
	END
	peer near "$O/bin/hull-lcg" "$net_dir/lcg.conf"
}
start_hull() {
	mac_tap
	far_end --listen 10.99.0.2:7443
	wait_for 10 listens far 7443
	start_gateway direct=10.99.0.2:7443
}
can_hull_relay() { can_hull && { [ -x "$O/bin/hull-csc" ] || { echo "there is no hull-csc"; return 1; }; }; }
start_hull_relay() {
	mac_tap
	peer relay "$O/bin/hull-csc" --identity "$net_dir/csc-relay" --listen 0.0.0.0:7444
	wait_for 10 listens relay 7444
	far_end --relay 10.99.2.2:7444
	start_gateway relay=10.99.1.2:7444
}
