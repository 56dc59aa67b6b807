# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: Apache-2.0
# The contenders of tests/bench/net, which sources this. can_WHO: says why it can not run here, or is true; start_WHO starts it between
# the namespaces near and far, 10.99.0.1 and 10.99.0.2, and gives its TAPs 10.88.0.1 and 10.88.0.2 (or sets far_ip, near_if).
# Outputs go to $net_dir/WHO.near.log and $net_dir/WHO.far.log.
peer_pids=()
peer_signal=TERM

# peers_keys: a small authority of its own, P-256, for the peers
peers_keys() {
	local n

	mkdir -p "$net_dir/near" "$net_dir/far"
	(
		cd "$net_dir" || exit
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca -days 2 -subj /CN=bench
		for n in near far; do
			openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $n/key -out $n/request -subj /CN=$n
			openssl x509 -req -in $n/request -CA ca -CAkey ca.key -set_serial 0x$RANDOM -days 2 -out $n/cert
			cp ca $n/ca
		done
	) >/dev/null 2>&1
}
# peer NS COMMAND…: runs until peers_stop
peer() {
	echo "== ${*:2}" >>"$net_dir/$who.$1.log"
	ns_exec "$@" >>"$net_dir/$who.$1.log" 2>&1 &
	peer_pids+=($!)
}
peers_stop() {
	local p

	for p in "${peer_pids[@]}"; do kill "-$peer_signal" "$p" 2>/dev/null || true; done
	for p in "${peer_pids[@]}"; do wait "$p" 2>/dev/null || true; done
	peer_pids=() peer_signal=TERM
	for p in near far; do ip -n $p link delete tap0 2>/dev/null || true; done
}
overlay() {	# overlay [INTERFACE]: addresses of the TAPs
	net_address near "${1:-tap0}" 10.88.0.1/24
	net_address far "${1:-tap0}" 10.88.0.2/24
	ip -n near link set "${1:-tap0}" up
	ip -n far link set "${1:-tap0}" up
}
taps() {
	local n

	for n in near far; do ip -n $n tuntap add tap0 mode tap "$@"; done
	overlay
}

can_veth() { :; }
start_veth() { far_ip=10.99.0.2 near_if=v0; }

can_bare() { :; }
start_bare() {
	taps vnet_hdr
	peer far "$out/net_bare" --listen 10.99.0.2:7000 --tls "$net_dir/far" tap0
	wait_for 10 listens far 7000
	peer near "$out/net_bare" --dial 10.99.0.2:7000 --tls "$net_dir/near" tap0
}
can_bare_plain() { :; }
start_bare_plain() {
	taps vnet_hdr
	peer far "$out/net_bare" --listen 10.99.0.2:7000 tap0
	wait_for 10 listens far 7000
	peer near "$out/net_bare" --dial 10.99.0.2:7000 tap0
}

can_openvpn_udp() { command -v openvpn >/dev/null || { echo "openvpn is not installed"; return 1; }; }
can_openvpn_tcp() { can_openvpn_udp; }
openvpn_side() {	# openvpn_side NS PROTOCOL ARGUMENT…
	local n=$1 protocol=$2

	shift 2
	peer "$n" openvpn --dev tap0 --dev-type tap --proto "$protocol" --port 1194 --ca "$net_dir/ca" --cert "$net_dir/$n/cert" \
		--key "$net_dir/$n/key" --data-ciphers AES-256-GCM --tls-version-min 1.3 --sndbuf 2000000 --rcvbuf 2000000 "$@"
}
start_openvpn_udp() {
	taps
	openvpn_side far udp --tls-server --dh none
	openvpn_side near udp --tls-client --remote 10.99.0.2
}
start_openvpn_tcp() {
	taps
	openvpn_side far tcp-server --tls-server --dh none
	wait_for 10 listens far 1194
	openvpn_side near tcp-client --tls-client --remote 10.99.0.2
}

# SoftEther: a server on each side with its hub bridged to a TAP of its own, joined by a cascade.
can_softether() {
	command -v vpnserver >/dev/null && command -v vpncmd >/dev/null || { echo "softether-vpnserver or softether-vpncmd is not installed"; return 1; }
}
softether_command() {	# softether_command NS ARGUMENT…
	ns "$1" vpncmd localhost:5555 /SERVER "${@:2}" >>"$net_dir/$who.$1.log" 2>&1 || echo "net: softether: $*: refused" >&2
}
start_softether() {
	local n hub=(/HUB:bench /PASSWORD:bench /CMD)

	peer_signal=KILL
	for n in near far; do
		# Its folders are fixed: each server gets its own. It has a second process, which outlives the first: a process namespace ends it.
		peer $n unshare --mount --pid --fork --kill-child --mount-proc bash -c 'mount -t tmpfs none /var/lib && mount -t tmpfs none /var/log &&
			mkdir -p /var/lib/softether /var/log/softether /run/softether && mount -t tmpfs none /run/softether &&
			exec /usr/libexec/softether/vpnserver/vpnserver execsvc'
	done
	for n in near far; do
		wait_for 20 listens $n 5555
		softether_command $n /CMD HubCreate bench /PASSWORD:bench
		softether_command $n /CMD BridgeCreate bench /DEVICE:bench /TAP:yes
	done
	softether_command far "${hub[@]}" UserCreate near /GROUP:none /REALNAME:none /NOTE:none
	softether_command far "${hub[@]}" UserPasswordSet near /PASSWORD:bench
	softether_command near "${hub[@]}" CascadeCreate far /SERVER:10.99.0.2:5555 /HUB:bench /USERNAME:near
	softether_command near "${hub[@]}" CascadePasswordSet far /PASSWORD:bench /TYPE:standard
	softether_command near "${hub[@]}" CascadeOnline far
	near_if=tap_bench
	overlay tap_bench
}
