# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: Apache-2.0
# Hull as contenders of tests/bench/net, as net-peers.sh has the others. Its programs get their certificates before anything is measured.
mac=52:54:00:be:ac:02

hull_keys() {
	hull_authority
	hull_lma near 10.99.0.1
	hull_identity lcg gw1
	hull_identity hv bench
}
mac_tap() {	# the far TAP has the server's MAC
	taps vnet_hdr
	ip -n far link set tap0 address $mac
}
far_end() {	# far_end ARGUMENT…: the server's end
	peer far "$hull" join --identity "$net_dir/hv-bench" --nic net0 --segment bench --tap tap0 --mac $mac --accept lcg/gw1 "$@"
}

# Both ends are hull join: what the link itself can do, without the gateway's switch and filter.
can_join() { "$hull" help join >/dev/null 2>&1 || { echo "this hull has no join"; return 1; }; }
start_join() {
	mac_tap
	far_end --listen 10.99.0.2:7443
	wait_for 10 listens far 7443
	peer near "$hull" join --identity "$net_dir/lcg-gw1" --nic net0 --segment bench --tap tap0 --mac "$(ns near cat /sys/class/net/tap0/address)" \
		--server bench --call 10.99.0.2:7443
}
