# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Networks of tests: namespaces, cables, bridges, an internet with delay and loss, captures. docs/testing.md shows how to use it.
# Source it, then call net_enter first of all: the rest of the test runs in mount, network and process namespaces of its own, so
# that names never clash and everything vanishes when it ends, however it ends. Everything here is written for bash.
#
#   net_enter NAME "$@"                  re-executes the test ($0) inside; NAME is for its SKIP line. Afterwards:
#                                        $net_dir is a folder that vanishes with the test, $net_main the original /proc
#   net_space NAME…                      namespaces, loopback up, ARP and IPv6 addresses without delay
#   ns NAME COMMAND…                     run it there; `main` is the test's own namespace
#   ns_exec NAME COMMAND… &              the same in place of the shell, so that $! is the command's process;
#                                        take it at once: wait_for changes $!
#   net_cable NS1 IF1 NS2 IF2            a veth pair, up
#   net_bridge NS BRIDGE IF…             a bridge over interfaces, up, that forwards at once
#   net_address NS IF ADDRESS/LENGTH…
#   net_internet [FIGURE=VALUE…]         the namespace `internet`: bridges west and east, and wan (tests/tools/wan.c) between them
#   net_uplink NS west|east ADDRESS/LENGTH…   NS gets wan0 on that side of the internet
#   wan WORD…                            set FIGURE=VALUE…, cut, a:cut (west to east), b:cut, restore, stats
#   wan_count FIGURE                     one statistic, of both directions
#   capture_start FILE NS IF             everything there (tests/tools/capture.c); several can run
#   capture_stop                         ends all captures; fails when one of them missed packets
#   wait_for SECONDS COMMAND…            until it is true
#   at_exit COMMAND…                     more to do when the test ends
# A function net_after, if there is one, is called outside at the very end.

net_wan_program=${O:-build}/tools/wan
net_capture_program=${O:-build}/tools/capture
net_captures=()
net_exits=()
net_wan_pid=''

net_why_not() {
	local out

	command -v ip >/dev/null || { echo "iproute2 is not installed"; return 0; }
	[ -e /dev/net/tun ] || { echo "there is no /dev/net/tun"; return 0; }
	out=$(unshare "${net_unshare[@]}" bash -c 'busybox mount -t tmpfs none /run && ip link add v0 type veth peer name v1 && ip tuntap add t0 mode tap' 2>&1) ||
		echo "no namespaces here: $(tail -n 1 <<<"$out")"
}

# The outer half waits and sweeps up; the inner one is process 1 of its namespace, and when it ends the kernel ends all others.
net_enter() {
	local name=$1 why status

	shift
	if [ -n "${NET_INSIDE:-}" ]; then
		net_inside
		return 0
	fi
	net_unshare=(--net --mount --pid --fork --kill-child --mount-proc)
	# A user who is not root stays who he is, with the capabilities: tcpdump lays down a root's rights, which a lone user can't.
	[ "$(id -u)" -eq 0 ] || net_unshare+=(--map-current-user --keep-caps)
	why=$(net_why_not)
	[ -z "$why" ] || { echo "SKIP $name: $why"; exit 0; }
	net_dir=$(mktemp -d)
	exec 9</proc
	NET_INSIDE=1 NET_DIR=$net_dir unshare "${net_unshare[@]}" -- "$0" "$@" <&0 &
	net_pid=$!
	trap 'kill -KILL $net_pid 2>/dev/null; wait $net_pid 2>/dev/null || true; net_sweep; exit 143' INT TERM HUP
	status=0
	wait $net_pid || status=$?
	net_sweep
	exit $status
}
net_sweep() {
	rm -rf "$net_dir"
	! declare -F net_after >/dev/null || net_after
}

net_inside() {
	net_dir=$NET_DIR
	# shellcheck disable=SC2034
	net_main=/proc/self/fd/9
	trap net_leave EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	# Sockets of the test's programs need short paths, hence /run. mount(8) looks at the user, not at capabilities.
	busybox mount -t tmpfs none /run && mkdir -p /run/netns && ip link set lo up || { echo "FAIL namespaces: /run or loopback"; exit 1; }
}
net_leave() {
	local status=$? c

	trap - EXIT INT TERM HUP
	for c in "${net_exits[@]}"; do eval "$c"; done
	exit $status
}
at_exit() { net_exits=("$(printf '%q ' "$@")" "${net_exits[@]}"); }

wait_for() {
	local end=$((SECONDS + $1))

	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		read -rt 0.02 <> <(:) || true
	done
	return 0
}

# ---- namespaces and cables
net_space() {
	local n

	for n in "$@"; do
		ip netns add "$n" && ip -n "$n" link set lo up || return 1
		# duplicate address detection would keep addresses back for a second
		ns "$n" bash -c 'for f in all default; do echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad; done' 2>/dev/null
	done
}
ns() {
	local n=$1

	shift
	if [ "$n" = main ]; then "$@"; else ip netns exec "$n" "$@"; fi
}
ns_exec() {
	local n=$1

	shift
	if [ "$n" = main ]; then exec "$@"; else exec ip netns exec "$n" "$@"; fi
}
# net_ip NS ARGUMENT…: ip(8) there
net_ip() {
	local n=$1

	shift
	if [ "$n" = main ]; then ip "$@"; else ip -n "$n" "$@"; fi
}
net_cable() {
	local peer=("$4")

	[ "$3" = main ] || peer+=(netns "$3")
	net_ip "$1" link add "$2" type veth peer name "${peer[@]}" && net_ip "$1" link set "$2" up && net_ip "$3" link set "$4" up
}
net_bridge() {
	local n=$1 b=$2 i

	shift 2
	net_ip "$n" link show dev "$b" >/dev/null 2>&1 ||
		net_ip "$n" link add "$b" type bridge stp_state 0 forward_delay 0 mcast_snooping 0 || return 1
	net_ip "$n" link set "$b" up || return 1
	for i in "$@"; do net_ip "$n" link set "$i" master "$b" && net_ip "$n" link set "$i" up || return 1; done
}
net_address() {
	local n=$1 i=$2 a

	shift 2
	for a in "$@"; do net_ip "$n" address add "$a" dev "$i" || return 1; done
}

# ---- the internet
net_internet() {
	local s

	net_space internet || return 1
	for s in west east; do
		net_cable internet "$s-wan" internet "wan-$s" && net_bridge internet "$s" "$s-wan" || return 1
		# the shim's ends are wires: the kernel says nothing on them of itself
		ns internet bash -c 'echo 1 >/proc/sys/net/ipv6/conf/wan-'$s'/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/'$s'/disable_ipv6' || return 1
	done
	ns_exec internet "$net_wan_program" --control "$net_dir/wan" "$@" wan-west wan-east >"$net_dir/wan.log" 2>&1 &
	net_wan_pid=$!
	wait_for 10 wan stats
}
net_uplink() {
	local n=$1 side=$2

	shift 2
	net_cable "$n" wan0 internet "up-$n" && net_bridge internet "$side" "up-$n" && net_address "$n" wan0 "$@"
}
wan() { "$net_wan_program" --tell "$net_dir/wan" "$@"; }
wan_count() { wan stats | awk -v k="$1" '{ for (i = 2; i < NF; i += 2) if ($i == k) n += $(i + 1) } END { print n + 0 }'; }
# Ends the shim; its statistics are in $net_dir/wan.log then.
wan_stop() {
	[ -n "$net_wan_pid" ] || return 0
	kill "$net_wan_pid" 2>/dev/null
	wait "$net_wan_pid" 2>/dev/null
	net_wan_pid=''
}

# ---- captures
capture_start() {
	local file=$1

	rm -f "$file.log"
	ns_exec "$2" "$net_capture_program" "$3" "$file" >"$file.log" 2>&1 &
	net_captures+=("$!:$file")
	wait_for 10 grep -q '^listening' "$file.log" || { echo "capture of $3: $(cat "$file.log")" >&2; return 1; }
}
capture_stop() {
	local c status=0

	for c in "${net_captures[@]}"; do
		kill "${c%%:*}" 2>/dev/null
		wait "${c%%:*}" 2>/dev/null || { echo "${c#*:}: $(tail -n 1 "${c#*:}.log")" >&2; status=1; }
	done
	net_captures=()
	return $status
}
