#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A server's link on bad networks: loss and delay, cuts that nobody hears of, a peer that stops reading, floods, forged senders,
# certificates that are over, noise at the door. Each is survived or refused with its own counter, and in all of it the internet's
# wires carry TLS 1.3 and nothing else. hull-lcg reaches the server's end, hull join, through hull-csc.
# Usage: tests/system/network-bad.sh [O]
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
. tests/net/topology.sh
. tests/net/hull.sh
make --no-print-directory -s O="$O" "$O/tools/wan" "$O/tools/capture" "$O/tools/onlytls" "$O/tools/frames" || { echo "FAIL network-bad: build"; exit 1; }
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

# ---- the ends
start_server() {
	hull_start cloud server "$hull" join --identity "$net_dir/hv-srv" --nic net0 --segment office --tap tap0 --mac $mac \
		--listen 203.0.113.2:7443 --relay 203.0.113.3:7444
	wait_for 10 hull_said server 'listens on'
}
start_gateway() {
	hull_start gateway gateway "$O/bin/hull-lcg" "$net_dir/lcg.conf"
}
# start_stranger IDENTITY: a caller who is not let in
start_stranger() {
	hull_start gateway stranger "$hull" join --identity "$1" --nic net0 --segment office --tap tap9 --mac 52:54:00:00:00:09 --server srv \
		--call 203.0.113.2:7443
}
documents() { sed -n '/^[{ }]/p' "$net_dir/server.log" | jq -s length 2>/dev/null; }
has_documents() { [ "$(documents)" -gt "$1" ]; }
# server FILTER: of its status, which it prints when asked; gateway FILTER; relay FILTER
server() {
	local before

	before=$(documents)
	kill -USR1 "${hull_pids[server]}" && wait_for 10 has_documents "$before" || { echo "no status of the server's end" >&2; return 1; }
	sed -n '/^[{ }]/p' "$net_dir/server.log" | jq -s ".[-1] | $1"
}
gateway() { "$hull" gateway status "$net_dir/gateway.sock" --json | jq "$1"; }
relay() { "$hull" relay status "$net_dir/relay.sock" --json | jq "$1"; }
resident() { awk '$1 == "VmRSS:" { print $2 }' "/proc/${hull_pids[$1]}/status"; }
descriptors() { find "/proc/${hull_pids[$1]}/fd" -mindepth 1 | wc -l; }

# ---- the client
reaches() { ns lan ping -q -c 1 -W 1 192.0.2.10; }
lost_pings() {	# lost_pings COUNT INTERVAL
	ns lan ping -n -c "$1" -i "$2" -W 3 -p "$(printf %s "$marker" | od -An -tx1 | tr -d ' \n')" 192.0.2.10 >"$net_dir/ping"
	echo $(($1 - $(grep -c 'time=' "$net_dir/ping")))
}
# copies SECONDS BYTES: a file there and back through the server's echo
copies() {
	yes "$marker and the rest of the line" | head -c "$2" >"$net_dir/sent"
	timeout "$1" ip netns exec lan socat -t 60 "OPEN:$net_dir/sent,rdonly!!CREATE:$net_dir/got" TCP:192.0.2.10:7000 &&
		cmp -s "$net_dir/sent" "$net_dir/got"
}

net_space lan gateway relay cloud && net_internet delay=10ms && net_uplink gateway west 203.0.113.1/24 && net_uplink cloud east 203.0.113.2/24 &&
	net_uplink relay east 203.0.113.3/24 && net_cable lan eth0 gateway lan0 && net_bridge gateway br0 lan0 &&
	ip -n cloud tuntap add tap0 mode tap vnet_hdr && ip -n cloud link set tap0 address $mac up &&
	net_address cloud tap0 192.0.2.10/24 && net_address lan eth0 192.0.2.1/24 || { fail "no topology"; exit 1; }
ns_exec cloud socat -t 120 TCP-LISTEN:7000,bind=192.0.2.10,fork,reuseaddr EXEC:cat 2>/dev/null &
capture_start "$net_dir/west.pcap" internet west && capture_start "$net_dir/east.pcap" internet east || { fail "no capture"; exit 1; }
hull_authority && hull_lma gateway 203.0.113.1 && hull_identity lcg gw1 && hull_identity hv srv && hull_identity hv other &&
	hull_identity csc csc1 && hull_pki allow lcg/gw1 hv/srv && hull_server srv net0 $mac office relay=203.0.113.3:7444 storm=1000/s address=192.0.2.10 || { fail "no identities"; exit 1; }

# issue ROLE NAME LIFE: an identity by hand, $net_dir/brief
issue() {
	mkdir -p "$net_dir/brief"
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$net_dir/brief/key" -subj /CN=x -out "$net_dir/brief/request" 2>/dev/null &&
		hull_pki issue --role "$1" --name "$2" --csr "$net_dir/brief/request" --life "$3" --output "$net_dir/brief/cert" &&
		cat "$net_dir/brief/cert" "$net_dir/brief/key" >"$net_dir/brief/identity.pem" && cp "$net_dir/lcg-gw1/ca.pem" "$net_dir/brief/"
}
issue lcg gw1 60s || fail "no certificate that ends soon"

cat >"$net_dir/lcg.conf" <<-END
identity = $net_dir/lcg-gw1
lma = $hull_lma_address
control = $net_dir/gateway.sock
lan.office = tap:tap0,bridge:br0
segment.office = office
server.srv.environment = $net_dir/srv.dtb
server.srv.placement = $net_dir/srv.placement
END

# ---- good
hull_start relay relay "$O/bin/hull-csc" --identity "$net_dir/csc-csc1" --listen 203.0.113.3:7444 --control "$net_dir/relay.sock"
start_server && start_gateway
within "the link comes up" 20 reaches
at_most "pings lost on a good network, of 20" 0 "$(lost_pings 20 0.05)"
copies 30 2000000 && pass "a copy on a good network" || fail "a copy on a good network"
declare -A kib fds
for p in server gateway relay; do kib[$p]=$(resident $p) fds[$p]=$(descriptors $p); done

# ---- 5 % loss, 200 ms each way
wan set loss=5 delay=200ms >/dev/null
within "5 % loss, 200 ms: the link is there" 20 reaches
wait_for 5 false	# the round trip becomes known
elections=$(server .counters.elections) lost=$(gateway .nics[0].link.leases_lost)
at_most "5 % loss, 200 ms: pings lost, of 60" 6 "$(lost_pings 60 0.2)"
copies 120 500000 && pass "5 % loss, 200 ms: a copy" || fail "5 % loss, 200 ms: a copy"
at_most "5 % loss, 200 ms: leases lost" 0 $(($(gateway .nics[0].link.leases_lost) - lost))
at_most "5 % loss, 200 ms: elections" 0 $(($(server .counters.elections) - elections))
hull_stop gateway && start_gateway
within "5 % loss, 200 ms: the link comes up" 30 reaches
wan set loss=0 delay=10ms >/dev/null

# ---- cuts that nobody hears of
serves() { [ "$(gateway .nics[0].active)" = true ]; }
serves_not() { ! serves; }
has_carrier() { [ "$(server .carrier)" = true ]; }
has_none() { ! has_carrier; }
for which in cut a:cut b:cut; do
	within "before $which: the link is there" 20 reaches
	wan $which >/dev/null
	within "$which: the gateway stops serving" 10 serves_not
	within "$which: the server has no carrier" 20 has_none
	wan restore >/dev/null
	within "$which, restored: the link is there again" 20 reaches
done

# A cut that lasts: both sides give the connections up as dead, and come back soon after it, not when TCP would try again.
gave_up() { [ "$(gateway '[.nics[0].link.paths[].open] | any')" = false ]; }
server_gave_up() { [ "$(server '[.paths[].open] | any')" = false ]; }
wan cut >/dev/null
within "a long cut: the gateway gives its connections up" 60 gave_up
within "a long cut: the server's end too" 60 server_gave_up
wait_for 5 false
wan restore >/dev/null
within "a long cut, restored: the link is there again" 15 reaches

# ---- a server and a relay that stop reading: the gateway's queue is bounded, what is beyond it is dropped and counted
all_drops="([.. | .drop_queue_full?, .drop_queue_late?, .drop_closed?, .drop_passive? | numbers] | add) + ([.nics[].drops] | add)"
for who in server relay; do
	before=$(gateway "$all_drops")
	kill -STOP "${hull_pids[$who]}"
	# as unicast, which no storm guard holds back
	ns lan "$O/tools/frames" --dst $mac --size 1400 --count 40000 --rate 20000 --text "$marker" eth0
	at_most "a $who that stopped: KiB of the gateway beyond before" 20000 $(($(resident gateway) - kib[gateway]))
	at_least "a $who that stopped: frames dropped and counted" 10000 $(($(gateway "$all_drops") - before))
	kill -CONT "${hull_pids[$who]}"
	within "a $who that goes on: the link is there again" 30 reaches
done

# ---- floods and forged senders
before=$(gateway .nics[0].drops) frames=$(server .tap.out_frames) begin=$SECONDS
ns lan "$O/tools/frames" --count 50000 --rate 20000 eth0
at_least "a flood of broadcasts: frames dropped and counted" 30000 $(($(gateway .nics[0].drops) - before))
at_most "a flood of broadcasts: frames that came through, 1000 a second may" $(((SECONDS - begin + 2) * 1000)) $(($(server .tap.out_frames) - frames))
hull_said gateway storm && pass "a flood of broadcasts: the log says so" || fail "a flood of broadcasts: the log does not say so"
at_most "a flood of broadcasts: lines in the log" 10 "$(grep -c ' storm' "$net_dir/gateway.log")"
before=$(gateway .nics[0].drops)
ns cloud "$O/tools/frames" --src 02:00:00:00:00:66 --count 500 tap0
forged() { [ $(($(gateway .nics[0].drops) - before)) -ge 500 ]; }
within "500 frames of a forged sender are dropped and counted" 10 forged
hull_said gateway spoofed-mac && pass "a forged sender: the log says so" || fail "a forged sender: the log does not say so"
within "after floods: the link is there" 20 reaches

# ---- certificates
refused() { server .counters.refused; }
before=$(refused)
ip -n gateway tuntap add tap9 mode tap vnet_hdr
start_stranger "$net_dir/hv-other"
rejected() { [ "$(refused)" -gt "$before" ]; }
within "a caller without a ticket is refused and counted" 20 rejected
hull_stop stranger
expired() { ! openssl x509 -in "$net_dir/brief/cert" -noout -checkend 0 >/dev/null; }
wait_for 70 expired
before=$(refused)
start_stranger "$net_dir/brief"
within "a certificate that is over is refused, and the log says why" 20 hull_said server 'expired'
hull_stop stranger
hull_pki deny lcg/gw1 hv/srv
hull_stop gateway && start_gateway
tickets_trouble() { [ "$(gateway .nics[0].tickets_trouble)" != '""' ]; }
within "a gateway that may not call the server gets no tickets, and says so" 20 tickets_trouble
reaches >/dev/null && fail "a gateway without tickets reaches the server" || pass "a gateway without tickets does not reach the server"
hull_pki allow lcg/gw1 hv/srv
within "a gateway that may call it again reaches the server" 90 reaches

# ---- nothing leaks
within "at the end: the link is there" 20 reaches
copies 30 2000000 && pass "a copy at the end" || fail "a copy at the end"
for p in server gateway relay; do
	at_most "KiB of the $p beyond the beginning" 20000 $(($(resident $p) - kib[$p]))
	at_most "descriptors of the $p beyond the beginning" 4 $(($(descriptors $p) - fds[$p]))
done
capture_stop || fail "the captures are not whole"
if "$O/tools/onlytls" --never "$marker" --never-hex "${mac//:/}" --least 4000000 --gap 200000 "$net_dir/west.pcap" "$net_dir/east.pcap" >"$net_dir/wire"; then
	pass "the wires carried TLS 1.3 only: $(tail -n 1 "$net_dir/wire")"
else
	fail "the wires: $(head -n 3 "$net_dir/wire" | tr '\n' ' ')"
fi

# ---- noise at the doors: what comes back is TLS too
capture_start "$net_dir/noise.pcap" internet east || fail "no capture"
for door in 203.0.113.2:7443 203.0.113.3:7444; do
	ns gateway socat -u -T 3 - TCP:$door <<<"GET / HTTP/1.0" 2>/dev/null
	head -c 3000 /dev/urandom | ns gateway socat -u -T 3 - TCP:$door 2>/dev/null
done
noticed() { [ "$(relay .counters.handshake_failed)" -ge 2 ]; }
within "noise at the relay's door is counted" 20 noticed
within "after noise at the doors: the link is there" 20 reaches
capture_stop || fail "the capture is not whole"
"$O/tools/onlytls" --never "$marker" "$net_dir/noise.pcap" | grep -E '^203.0.113.[23] 744[34] > ' >"$net_dir/answers" &&
	fail "an answer to noise: $(head -n 1 "$net_dir/answers")" || pass "answers to noise are TLS"
exit $failed
