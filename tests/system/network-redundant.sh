#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two gateways on the LAN and two relays before the cloud: each is killed, stopped and cut off while a client downloads from the server and
# pings it. The download goes on, the longest silence is short, no frame comes twice, and the wires carry TLS 1.3 only.
# Usage: tests/system/network-redundant.sh [O]
# Environment: SILENCE_MS  how long the server may be silent in a takeover (default 1000)
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
SILENCE_MS=${SILENCE_MS:-1000}
. tests/net/topology.sh
. tests/net/hull.sh
make --no-print-directory -s O="$O" "$O/tools/wan" "$O/tools/capture" "$O/tools/onlytls" || { echo "FAIL network-redundant: build"; exit 1; }
net_enter network-redundant "$@"
failed=0
mac=52:54:00:be:ac:02
marker=HULL-MARKER-4712
pass() { echo "PASS network-redundant: $1"; }
fail() { echo "FAIL network-redundant: $1"; failed=1; }

# ---- topology: client and both gateways at one switch; lma beside them; both relays and the cloud across the internet
net_space client switch lma gw1 gw2 csc1 csc2 cloud && net_internet delay=10ms loss=0.1 rate=20M || { fail "no topology"; exit 1; }
net_uplink lma west 203.0.113.9/24
net_cable client eth0 switch client && net_bridge switch office client && net_address client eth0 192.0.2.1/24
n=1
for g in gw1 gw2; do
	net_uplink $g west 203.0.113.$n/24 && net_cable $g lan0 switch $g && net_bridge switch office $g && net_bridge $g br0 lan0
	net_uplink csc$n east 203.0.113.1$n/24
	n=$((n + 1))
done
net_uplink cloud east 203.0.113.20/24 && ip -n cloud tuntap add tap0 mode tap vnet_hdr && ip -n cloud link set tap0 address $mac up &&
	net_address cloud tap0 192.0.2.10/24 || { fail "no topology"; exit 1; }
capture_start "$net_dir/west.pcap" internet west && capture_start "$net_dir/east.pcap" internet east || { fail "no capture"; exit 1; }

hull_authority && hull_lma lma 203.0.113.9 && hull_identity hv srv &&
	hull_server srv net0 $mac office "relay=203.0.113.11:7444 203.0.113.12:7444" || { fail "no authority"; exit 1; }
for n in 1 2; do
	hull_identity lcg gw$n && hull_identity csc csc$n && hull_pki allow lcg/gw$n hv/srv || { fail "no identities"; exit 1; }
	cat >"$net_dir/gw$n.conf" <<-END
	identity = $net_dir/lcg-gw$n
	lma = $hull_lma_address
	control = $net_dir/gw$n.sock
	priority = $((300 - n * 100))
	lan.office = tap:tap0,bridge:br0
	segment.office = office
	server.srv.environment = $net_dir/srv.dtb
	server.srv.placement = $net_dir/srv.placement
	END
done
start_gateway() { hull_start "$1" "$1" "$O/bin/hull-lcg" "$net_dir/$1.conf"; }
start_relay() {
	hull_start "$1" "$1" "$O/bin/hull-csc" --identity "$net_dir/csc-$1" --listen "203.0.113.1${1#csc}:7444" --control "$net_dir/$1.sock"
}
start_relay csc1
start_relay csc2
hull_start cloud server "$hull" join --identity "$net_dir/hv-srv" --nic net0 --segment office --tap tap0 --mac $mac \
	--relay 203.0.113.11:7444 --relay 203.0.113.12:7444
start_gateway gw1
start_gateway gw2

# ---- what is asked
status() { "$hull" gateway status "$net_dir/$1.sock" --json 2>/dev/null | jq -e "$2" 2>/dev/null; }
active() { [ "$(status "$1" '.nics[0].active')" = true ]; }
paths() { [ "$(status "$1" '[.nics[0].link.paths[].open | select(.)] | length')" = "$2" ]; }
reaches() { ns client ping -q -c 1 -W 1 192.0.2.10; }
# the relay that the active gateway's frames go by: csc1 or csc2
relay_in_use() { status "$1" '.nics[0].link.paths[] | select(.active) | .address' | sed 's/.*113\.1\([12]\):.*/csc\1/'; }
settled() { active gw1 && ! active gw2 && paths gw1 2 && paths gw2 2; }
received() { ns client cat /sys/class/net/eth0/statistics/rx_bytes; }
flows() { [ $(($(received) - $1)) -gt 500000 ]; }
replies() { [ "$(grep -c 'time=' "$net_dir/ping")" -ge "$1" ]; }

# during NAME COMMAND…: the longest time between two replies while that is done and what follows it settles
during() {
	local name=$1 pid count longest before

	shift
	ns_exec client ping -n -D -i 0.02 192.0.2.10 >"$net_dir/ping" 2>&1 &
	pid=$!
	wait_for 10 replies 20
	count=$(grep -c 'time=' "$net_dir/ping")
	"$@"
	wait_for 30 replies $((count + 150)) || fail "$name: the server is silent for good"
	kill -INT $pid
	wait $pid
	longest=$(sed -n 's/^\[\([0-9.]*\)\].*time=.*/\1/p' "$net_dir/ping" | awk 'NR > 1 && $1 - last > longest { longest = $1 - last } { last = $1 } END { printf "%d", longest * 1000 }')
	if [ "$longest" -le "$SILENCE_MS" ]; then pass "$name: silent for $longest ms"; else fail "$name: silent for $longest ms"; fi
	grep -q 'DUP!' "$net_dir/ping" && fail "$name: replies came twice"
	before=$(received)
	if kill -0 $download 2>/dev/null && wait_for 20 flows "$before"; then pass "$name: the download goes on"; else fail "$name: the download stands still or has ended"; fi
}

wait_for 30 settled && pass "gw1, of the higher priority, serves; both have a path through each relay" ||
	{ fail "it does not settle: $(tail -n 2 "$net_dir"/gw?.log | tr '\n' ' ')"; exit 1; }
ns_exec cloud socat TCP-LISTEN:7000,bind=192.0.2.10,fork,reuseaddr SYSTEM:"yes '$marker and the rest of the line'" 2>/dev/null &
wait_for 10 ns client bash -c 'exec 3<>/dev/tcp/192.0.2.10/7000' || fail "no server"
mkfifo "$net_dir/stream"
cmp - <(yes "$marker and the rest of the line") <"$net_dir/stream" >"$net_dir/differs" 2>&1 &
compare=$!
ns_exec client socat -u TCP:192.0.2.10:7000 "OPEN:$net_dir/stream,wronly" 2>"$net_dir/download.log" &
download=$!
wait_for 20 flows "$(received)" || fail "the download does not begin"

# ---- gateways
during "gw1 is killed" hull_stop gw1 KILL
active gw2 && pass "gw2 serves" || fail "gw2 does not serve"
again() { start_gateway gw1; wait_for 60 settled || fail "gw1 does not serve again"; }
during "gw1 comes back" again
during "gw1 is stopped" hull_stop gw1
during "gw1 comes back again" again
during "gw1's cable to the LAN is out" ip -n switch link set gw1 down
active gw2 && pass "gw2 serves" || fail "gw2 does not serve"
plugged() { ip -n switch link set gw1 up; wait_for 60 settled || fail "gw1 does not serve again"; }
during "it is in again" plugged
during "gw1 is cut off the internet" ip -n internet link set up-gw1 down
reconnected() { ip -n internet link set up-gw1 up; wait_for 90 settled || fail "gw1 does not serve again"; }
during "it is not any more" reconnected

# ---- relays
used=$(relay_in_use gw1)
during "the relay in use is killed" hull_stop "$used" KILL
start_relay "$used"
wait_for 60 settled && pass "paths through both relays again" || fail "no path through the relay that came back"
used=$(relay_in_use gw1)
during "the relay in use is cut off" ip -n internet link set "up-$used" down
ip -n internet link set "up-$used" up
wait_for 90 settled && pass "paths through both relays again" || fail "no path through the relay that is there again"
during "hull-lma is killed" hull_stop lma KILL

kill $download 2>/dev/null
wait $download 2>/dev/null
wait $compare
if grep -q differ "$net_dir/differs"; then fail "the download: $(cat "$net_dir/differs")"; else pass "every byte of the download is right"; fi
capture_stop || fail "the captures are not whole"
if "$O/tools/onlytls" --never "$marker" --never-hex "${mac//:/}" --least 4000000 --gap 1000000 "$net_dir/west.pcap" "$net_dir/east.pcap" >"$net_dir/wire"; then
	pass "the wires carried TLS 1.3 only: $(tail -n 1 "$net_dir/wire")"
else
	fail "the wires: $(head -n 3 "$net_dir/wire" | tr '\n' ' ')"
fi
exit $failed
