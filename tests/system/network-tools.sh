#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The tools of network tests do what the tests believe of them: wan's delay, loss, rate and cuts; onlytls finds what is no TLS 1.3.
# Usage: tests/system/network-tools.sh [O]
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
. tests/net/topology.sh
make --no-print-directory -s O="$O" "$O/tools/wan" "$O/tools/capture" "$O/tools/onlytls" "$O/tools/frames" || { echo "FAIL network-tools: build"; exit 1; }
net_enter network-tools "$@"
failed=0
pass() { echo "PASS network-tools: $1"; }
fail() { echo "FAIL network-tools: $1"; failed=1; }
# between NAME LEAST MOST VALUE
between() {
	if awk -v v="${4:-x}" -v a="$2" -v b="$3" 'BEGIN { exit !(v ~ /^[0-9.]+$/ && v + 0 >= a && v + 0 <= b) }'; then
		pass "$1: $4"
	else
		fail "$1: ${4:-nothing}, wanted $2 to $3"
	fi
}
# ping_figure median|lost COUNT INTERVAL: milliseconds; replies that did not come
ping_figure() {
	ns lan ping -n -c "$2" -i "$3" -W 1 10.0.0.2 >"$net_dir/ping"
	if [ "$1" = lost ]; then
		echo $(($2 - $(grep -c 'time=' "$net_dir/ping")))
	else
		sed -n 's/.*time=\([0-9.]*\) ms/\1/p' "$net_dir/ping" | sort -n | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'
	fi
}
# throughput ARGUMENT…: Mbit/s
throughput() {
	local server

	ns_exec cloud iperf3 -s -1 -p 5201 >/dev/null 2>&1 &
	server=$!
	wait_for 10 ns cloud bash -c 'ss -ltn | grep -q :5201' || echo "no iperf3 server" >&2
	ns lan iperf3 -J -c 10.0.0.2 -p 5201 "$@" | jq '.end.sum_received.bits_per_second / 1e6 | floor'
	wait $server
}

net_space lan cloud && net_internet delay=10ms && net_uplink lan west 10.0.0.1/24 2001:db8::1/64 &&
	net_uplink cloud east 10.0.0.2/24 2001:db8::2/64 || { fail "no topology"; exit 1; }

# ---- wan
ping_figure median 1 0.1 >/dev/null
between "round trip with 10 ms each way, ms" 20 24 "$(ping_figure median 21 0.01)"
wan set a:delay=30ms >/dev/null
between "round trip with 30 ms one way, ms" 40 44 "$(ping_figure median 21 0.01)"
wan set delay=5ms jitter=10ms >/dev/null
between "round trip with jitter, ms" 12 30 "$(ping_figure median 41 0.01)"
wan set delay=0 jitter=0 a:loss=5 >/dev/null
# 5 % of 2000; six standard deviations of 10 either way
between "lost of 2000 at 5 %" 40 160 "$(ping_figure lost 2000 0.002)"
wan set loss=0.1 delay=1ms >/dev/null
before=$(wan_count lost) sent=$(wan_count in_packets)
between "TCP at 0.1 % loss, Mbit/s" 20 100000 "$(throughput -t 1)"
lost=$(($(wan_count lost) - before)) sent=$(($(wan_count in_packets) - sent))
between "lost in 100,000 packets of TCP, segments of super-frames counted ($lost of $sent)" 50 160 $((lost * 100000 / (sent + 1)))
wan set loss=0 rate=50M >/dev/null
between "TCP at 50 Mbit/s" 10 52 "$(throughput -t 2)"
wan set rate=0 delay=20ms >/dev/null
between "TCP, four flows, 20 ms each way, Mbit/s" 1000 100000 "$(throughput -t 2 -P 4 -O 1)"
wan set delay=0 mtu=1400 >/dev/null
ns lan ping -q -c 1 -W 1 -s 1372 10.0.0.2 >/dev/null && pass "a packet of 1400 bytes passes an MTU of 1400" || fail "1400 bytes at an MTU of 1400"
ns lan ping -q -c 1 -W 0.3 -s 1373 10.0.0.2 >/dev/null && fail "1401 bytes at an MTU of 1400" || pass "one of 1401 does not"
wan set mtu=0 >/dev/null
wan a:cut >/dev/null
between "lost of 5 when one way is cut" 5 5 "$(ping_figure lost 5 0.01)"
wan restore >/dev/null
between "lost of 5 when it is not" 0 0 "$(ping_figure lost 5 0.01)"
wan set delay=nonsense >/dev/null && fail "a figure that is none is taken" || pass "a figure that is none is refused"
ns lan ping -q -c 1 -W 1 2001:db8::2 >/dev/null && pass "IPv6 passes" || fail "IPv6 does not pass"

# ---- frames
net_cable lan eth1 cloud eth1
# frames_pass NAME WANTED LISTEN-OPTIONS -- SEND-OPTIONS: how many of 20 frames sent come
frames_pass() {
	local name=$1 wanted=$2 listen=() got listener
	shift 2
	while [ "$1" != -- ]; do listen+=("$1"); shift; done
	shift
	ns_exec cloud "$O/tools/frames" --listen --count 20 --seconds 2 "${listen[@]}" eth1 >"$net_dir/count" &
	listener=$!
	wait_for 10 ns cloud awk 'NR > 1 { n++ } END { exit !n }' /proc/net/packet
	ns lan "$O/tools/frames" --count 20 "$@" eth1
	wait $listener
	got=$(cat "$net_dir/count")
	if [ "$got" -eq "$wanted" ]; then pass "$name"; else fail "$name: $got of 20"; fi
}
frames_pass "frames" 20 --type 88b5 --
frames_pass "frames of a sender that does not exist, at 200 a second" 20 --src 02:00:00:00:00:99 -- --src 02:00:00:00:00:99 --rate 200 --size 1400
frames_pass "tagged frames" 20 --vlan 7 --text "the marker" -- --vlan 7 --text "the marker"
frames_pass "another tag is told from it" 0 --vlan 8 -- --vlan 7

# ---- onlytls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$net_dir/key" -out "$net_dir/cert" -days 2 -subj /CN=x 2>/dev/null
head -c 300000 /dev/urandom >"$net_dir/random"
yes "the marker of this test" | head -c 300000 >"$net_dir/marked"
# send FILE HOW: over tls1.3, tls1.2, plain, or udp
send() {
	local to=${address:-10.0.0.2} options="verify=0,openssl-max-proto-version=${2^^}" server

	case $2 in
	plain) ns_exec cloud socat -u TCP6-LISTEN:4433,reuseaddr OPEN:/dev/null & ;;
	udp) ns_exec cloud socat -u UDP-RECVFROM:4433 OPEN:/dev/null & ;;
	*) ns_exec cloud socat -u "OPENSSL-LISTEN:4433,pf=ip6,reuseaddr,cert=$net_dir/cert,key=$net_dir/key,$options" OPEN:/dev/null & ;;
	esac
	server=$!
	wait_for 10 ns cloud bash -c 'ss -ltun | grep -q :4433' || fail "no server"
	case $2 in
	plain) ns lan socat -u "OPEN:$1" "TCP:$to:4433" ;;
	udp) head -c 100 "$1" | ns lan socat -u - "UDP:$to:4433" ;;
	*) ns lan socat -u "OPEN:$1" "OPENSSL:$to:4433,$options" ;;
	esac
	wait $server
}
# judge NAME STATUS WORDS OPTION…: of what was sent by the command in `doing`
judge() {
	local name=$1 status=$2 words=$3 got
	shift 3
	capture_start "$net_dir/west.pcap" internet west && capture_start "$net_dir/east.pcap" internet east || fail "$name: no capture"
	"${doing[@]}"
	capture_stop || fail "$name: the capture is not whole"
	"$O/tools/onlytls" "$@" "$net_dir/west.pcap" "$net_dir/east.pcap" >"$net_dir/out" 2>&1
	got=$?
	if [ $got -ne "$status" ] || ! grep -q -- "$words" "$net_dir/out"; then
		fail "$name: status $got, wanted $status and \"$words\": $(head -c 400 "$net_dir/out" | tr '\n' ' ')"
	else
		pass "$name"
	fi
}
doing=(send "$net_dir/random" tls1.3)
judge "TLS 1.3 passes" 0 'sessions 1 ' --least 300000 --never "the marker"
judge "too little of it is found" 1 'wanted 400000' --least 400000
wan set loss=5 delay=1ms >/dev/null
judge "TLS 1.3 passes with 5 % loss" 0 'gap_bytes 0 ' --least 300000
wan set loss=0 delay=0 >/dev/null
address='[2001:db8::2]' judge "TLS 1.3 over IPv6 passes" 0 'sessions 1 ' --least 300000
doing=(send "$net_dir/marked" tls1.3)
judge "a marker inside TLS is not seen" 0 'findings 0' --least 300000 --never "the marker of this test"
doing=(send "$net_dir/random" tls1.2)
judge "TLS 1.2 is found" 1 'handshake message in clear\|does not choose TLS 1.3'
doing=(send "$net_dir/random" plain)
judge "bytes without records are found" 1 'no TLS record'
doing=(send "$net_dir/marked" plain)
judge "a marker in clear is found" 1 'the marker of this test stands on the wire' --never "the marker of this test"
judge "a marker in digits is found" 1 '746865206d61726b6572 stands on the wire' --never-hex 746865206d61726b6572
doing=(send "$net_dir/random" udp)
judge "UDP is found" 1 'IP protocol 17'
doing=(ping_figure lost 1 1)
judge "a ping is found" 1 'ICMP of type 8'
judge "a ping that is allowed is not" 0 'findings 0' --allow-echo
tcpdump -n -r "$net_dir/west.pcap" 2>/dev/null | grep -q 'ICMP echo reply' && pass "tcpdump reads the captures too" ||
	echo "SKIP network-tools: tcpdump reads the captures too: not as this user"
# the same records with zeroes in them: what calls itself an application record and is none
forged() {
	{
		printf '\x16\x03\x01\x00\x28\x01\x00\x00\x24\x03\x03'
		head -c 34 /dev/zero
		for _ in $(seq 70); do printf '\x17\x03\x03\x04\x00'; head -c 1024 /dev/zero; done
	} >"$net_dir/forged"
	send "$net_dir/forged" plain
}
doing=(forged)
judge "records of zeroes are no noise" 1 'no noise'
wan_stop
exit $failed
