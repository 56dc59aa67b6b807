#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A server's link on bad networks: loss and delay, cuts that nobody hears of, a peer that stops reading, floods, forged senders,
# certificates that are over, noise at the door. Each is survived or refused with its own counter, and in all of it the internet's
# wires carry TLS 1.3 and nothing else. hull join takes the place of the server and of the gateway.
# Usage: tests/system/network-bad.sh [O]
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
. tests/net/topology.sh
. tests/net/hull.sh
make --no-print-directory -s O="$O" "$O/tools/wan" "$O/tools/onlytls" "$O/tools/frames" || { echo "FAIL network-bad: build"; exit 1; }
net_enter network-bad "$@"
failed=0
mac=52:54:00:be:ac:02
marker=HULL-MARKER-4711
pass() { echo "PASS network-bad: $1"; }
fail() { echo "FAIL network-bad: $1"; failed=1; }
# within NAME SECONDS COMMAND…
within() {
	local name=$1 seconds=$2 begin=${EPOCHREALTIME/./}

	shift 2
	if wait_for "$seconds" "$@"; then pass "$name, $(((${EPOCHREALTIME/./} - begin) / 1000)) ms"; else fail "$name: not in $seconds s"; fi
}
# at_most NAME MOST VALUE, at_least NAME LEAST VALUE
at_most() { if [ "${3:-x}" -le "$2" ] 2>/dev/null; then pass "$1: $3"; else fail "$1: ${3:-nothing}, at most $2 wanted"; fi; }
at_least() { if [ "${3:-x}" -ge "$2" ] 2>/dev/null; then pass "$1: $3"; else fail "$1: ${3:-nothing}, at least $2 wanted"; fi; }

# ---- the two ends
start_server() {
	hull_start cloud server "$hull" join --identity "$net_dir/hv-srv" --nic net0 --segment office --tap tap0 --mac $mac --accept lcg/gw1 \
		--listen 203.0.113.2:7443
	wait_for 10 hull_said server 'listens on'
}
start_gateway() {
	hull_start gateway gateway "$hull" join --identity "${1:-$net_dir/lcg-gw1}" --nic net0 --segment office --tap tap0 --mac 52:54:00:00:00:01 \
		--server srv --call 203.0.113.2:7443
}
documents() { sed -n '/^[{ }]/p' "$net_dir/$1.log" | jq -s length 2>/dev/null; }
has_documents() { [ "$(documents "$1")" -gt "$2" ]; }
# count NAME FILTER: of its status, which it prints when asked
count() {
	local before

	before=$(documents "$1")
	kill -USR1 "${hull_pids[$1]}" && wait_for 10 has_documents "$1" "$before" || { echo "no status of $1" >&2; return 1; }
	sed -n '/^[{ }]/p' "$net_dir/$1.log" | jq -s ".[-1] | $2"
}
resident() { awk '$1 == "VmRSS:" { print $2 }' "/proc/${hull_pids[$1]}/status"; }
descriptors() { find "/proc/${hull_pids[$1]}/fd" -mindepth 1 | wc -l; }

# ---- the client
reaches() { ns lan ping -q -c 1 -W 1 192.0.2.10; }
lost_pings() {	# lost_pings COUNT INTERVAL
	ns lan ping -n -c "$1" -i "$2" -W 3 -p "$(printf %s "$marker" | od -An -tx1 | tr -d ' \n')" 192.0.2.10 >"$net_dir/ping"
	echo $(($1 - $(grep -c 'time=' "$net_dir/ping")))
}
# A file there and back through the server's echo
copies() { timeout "$1" ip netns exec lan socat -t 60 "OPEN:$net_dir/sent,rdonly!!CREATE:$net_dir/got" TCP:192.0.2.10:7000 && cmp -s "$net_dir/sent" "$net_dir/got"; }

yes "$marker and the rest of the line" | head -c 2000000 >"$net_dir/sent"
net_space lan gateway cloud && net_internet delay=10ms && net_uplink gateway west 203.0.113.1/24 && net_uplink cloud east 203.0.113.2/24 &&
	net_cable lan eth0 gateway lan0 && ip -n gateway tuntap add tap0 mode tap vnet_hdr && net_bridge gateway br0 lan0 tap0 &&
	ip -n cloud tuntap add tap0 mode tap vnet_hdr && ip -n cloud link set tap0 address $mac up &&
	net_address cloud tap0 192.0.2.10/24 && net_address lan eth0 192.0.2.1/24 || { fail "no topology"; exit 1; }
ns_exec cloud socat TCP-LISTEN:7000,bind=192.0.2.10,fork,reuseaddr EXEC:cat 2>/dev/null &
capture_start "$net_dir/west.pcap" internet west && capture_start "$net_dir/east.pcap" internet east || { fail "no capture"; exit 1; }
hull_authority && hull_lma gateway 203.0.113.1 && hull_identity lcg gw1 && hull_identity hv srv && hull_identity hv other || { fail "no identities"; exit 1; }

# ---- good
start_server && start_gateway
within "the link comes up" 20 reaches
at_most "pings lost on a good network, of 20" 0 "$(lost_pings 20 0.05)"
copies 30 && pass "a copy on a good network" || fail "a copy on a good network"
server_kib=$(resident server) gateway_kib=$(resident gateway) server_fds=$(descriptors server) gateway_fds=$(descriptors gateway)

# ---- 5 % loss, 200 ms each way
wan set loss=5 delay=200ms >/dev/null
within "5 % loss, 200 ms: the link is there" 20 reaches
wait_for 5 false	# the round trip becomes known
elections=$(count server .counters.elections) lost=$(count gateway .leases_lost)
at_most "5 % loss, 200 ms: pings lost, of 60" 6 "$(lost_pings 60 0.2)"
copies 120 && pass "5 % loss, 200 ms: a copy" || fail "5 % loss, 200 ms: a copy"
at_most "5 % loss, 200 ms: leases lost" 0 $(($(count gateway .leases_lost) - lost))
at_most "5 % loss, 200 ms: elections" 0 $(($(count server .counters.elections) - elections))
hull_stop gateway && start_gateway
within "5 % loss, 200 ms: the link comes up" 30 reaches
wan set loss=0 delay=10ms >/dev/null

# ---- cuts that nobody hears of
serves() { [ "$(count gateway .active)" = true ]; }
serves_not() { ! serves; }
has_carrier() { [ "$(count server .carrier)" = true ]; }
has_none() { ! has_carrier; }
for which in cut a:cut b:cut; do
	within "before $which: the link is there" 20 reaches
	wan $which >/dev/null
	within "$which: the gateway stops serving" 10 serves_not
	within "$which: the server has no carrier" 20 has_none
	wan restore >/dev/null
	within "$which, restored: the link is there again" 20 reaches
done

# ---- a peer that stops reading: the gateway's queue is bounded, what is beyond it is dropped and counted
before=$(count gateway '[.. | .drop_queue_full? // 0] | add')
kill -STOP "${hull_pids[server]}"
ns lan "$O/tools/frames" --dst $mac --size 1400 --count 20000 --text "$marker" eth0
ns lan "$O/tools/frames" --dst $mac --size 1400 --count 20000 --rate 20000 eth0
at_most "a server that stopped: KiB of the gateway beyond before" 20000 $(($(resident gateway) - gateway_kib))
dropped=$(count gateway '([.. | .drop_queue_full? // 0] | add) + ([.. | .drop_queue_late? // 0] | add) + .drop_closed + .drop_passive')
at_least "a server that stopped: frames dropped and counted" 10000 $((dropped - before))
kill -CONT "${hull_pids[server]}"
within "a server that goes on: the link is there again" 30 reaches

# ---- floods and forged senders
ns lan "$O/tools/frames" --size 60 --count 100000 eth0
within "after 100,000 broadcasts: the link is there" 20 reaches
before=$(count server .counters.drop_spoofed)
ns cloud "$O/tools/frames" --src 02:00:00:00:00:66 --count 50 tap0
at_most "a forged sender behind the gateway: frames refused as forged by the server end" 0 $(($(count server .counters.drop_spoofed) - before))

# ---- certificates and noise at the door
refused() { count server .counters.refused; }
before=$(refused)
hull_start gateway stranger "$hull" join --identity "$net_dir/hv-other" --nic net0 --segment office --tap tap9 --mac 52:54:00:00:00:09 --server srv \
	--call 203.0.113.2:7443
rejected() { [ "$(refused)" -gt "$before" ]; }
within "a caller without a ticket is refused and counted" 20 rejected
hull_stop stranger
for noise in "GET / HTTP/1.0" "" "$(head -c 3000 /dev/urandom | base64 -w 0)"; do
	printf '%s\r\n\r\n' "$noise" | ns gateway socat -t 1 - TCP:203.0.113.2:7443 >/dev/null 2>&1
done
within "after noise at the door: the link is there" 20 reaches

# ---- nothing leaks
within "at the end: the link is there" 20 reaches
copies 30 && pass "a copy at the end" || fail "a copy at the end"
at_most "KiB of the server's end beyond the beginning" 20000 $(($(resident server) - server_kib))
at_most "KiB of the gateway's end beyond the beginning" 20000 $(($(resident gateway) - gateway_kib))
at_most "descriptors of the server's end beyond the beginning" 2 $(($(descriptors server) - server_fds))
at_most "descriptors of the gateway's end beyond the beginning" 2 $(($(descriptors gateway) - gateway_fds))
hull_stop gateway
hull_stop server
hull_stop lma
capture_stop || fail "the captures are not whole"
if "$O/tools/onlytls" --never "$marker" --never-hex "${mac//:/}" --least 4000000 --gap 100000 "$net_dir/west.pcap" "$net_dir/east.pcap" >"$net_dir/wire"; then
	pass "the wires carried TLS 1.3 only: $(tail -n 1 "$net_dir/wire")"
else
	fail "the wires: $(head -n 3 "$net_dir/wire" | tr '\n' ' ')"
fi
exit $failed
