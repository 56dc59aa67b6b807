#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two servers of one segment, each a hull-hv with a guest that runs (bridge_guest.c, the server itself is a namespace behind it), a
# gateway that introduces them, a relay: what one server sends the other goes there directly, filtered, and by the gateway when it
# can't. /dev/kvm of this machine is enough.
# Usage: tests/system/hv-peers.sh [O]
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
[ -w /dev/kvm ] || { echo "SKIP hv-peers: no /dev/kvm here"; exit 0; }
make --no-print-directory O="$O" "$O/tools/frames" >/dev/null || { echo "FAIL hv-peers: tools"; exit 1; }
# shellcheck source=tests/net/topology.sh
. tests/net/topology.sh
net_enter hv-peers "$@"
# shellcheck source=tests/net/hull.sh
. tests/net/hull.sh
failed=0
pass() { echo "PASS hv-peers: $1"; }
fail() { echo "FAIL hv-peers: $1"; failed=1; }
die() { fail "$1"; exit 1; }
# check NAME COMMAND…
check() {
	local name=$1

	shift
	if "$@" >"$net_dir/out" 2>&1; then pass "$name"; else fail "$name: $(tail -n 2 "$net_dir/out" | tr '\n' ' ')"; fi
}
check_not() { local name=$1; shift; if "$@" >"$net_dir/out" 2>&1; then fail "$name"; else pass "$name"; fi; }

# ---- the guest
if ! gcc -m32 -std=gnu17 -O2 -ffreestanding -fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables -mgeneral-regs-only -nostdlib \
	-static -Wl,--build-id=none,-N,--no-warn-rwx-segments,-e,0xfffc0000,-Ttext=0xfffc0000,--section-start=.reset=0xfffff000 \
	-o "$net_dir/elf" tests/system/bridge_guest.c 2>"$net_dir/err" ||
	! objcopy -O binary -j .text -j .rodata -j .reset "$net_dir/elf" "$net_dir/rom"; then
	die "guest: $(head -n 1 "$net_dir/err")"
fi

# ---- the network: client == gw == cloud1, cloud2
net_space client gw cloud1 cloud2 && net_cable client eth0 gw lan0 && net_address client eth0 192.0.2.1/24 || die "namespaces"
for n in 1 2; do net_cable gw "up$n" cloud$n wan0 && net_bridge gw wan "up$n" && net_address cloud$n wan0 198.51.100.1$n/24 || die "cables"; done
net_address gw wan 198.51.100.1/24 || die "addresses"
hull_authority && hull_lma gw 198.51.100.1 || die "hull-lma: $(tail -n 2 "$net_dir/lma.log")"
hull_identity lcg gw1 && gw1=$hull_identity || die "no identity"
hull_identity csc csc1 || die "no identity"
hull_start gw csc1 "$O/bin/hull-csc" --identity "$hull_identity" --listen 198.51.100.1:7600
wait_for 10 hull_said csc1 'listening on' || die "hull-csc: $(tail -n 1 "$net_dir/csc1.log")"

declare -A number=([app]=1 [db]=2)
mac() { echo "52:54:00:00:01:0${number[$1]}"; }
ip_of() { echo "192.0.2.1${number[$1]}"; }
sock() { echo "$net_dir/$1.sock"; }
environment() {	# NAME
	local m

	m=$(mac "$1")
	cat >"$net_dir/$1.dts" <<-END
	/dts-v1/;
	/ {
		compatible = "hull,environment-1";
		hostname = "$1"; uuid = "4c4c4544-0037-4a10-8052-b4c04f4d3137"; firmware = "bios"; clock = "utc";
		cpu {
			sockets = <1>; cores = <1>; threads = <1>; vendor = "AuthenticAMD"; model-name = "Hull test processor";
			family = <15>; model = <6>; stepping = <1>; phys-bits = <40>; max-leaf = <13>; max-ext-leaf = <0x80000008>;
			features = "fpu", "de", "pse", "tsc", "msr", "pae", "cx8", "apic", "sep", "cmov", "fxsr", "sse", "sse2", "lm", "nx", "syscall";
		};
		memory { size = /bits/ 64 <0x4000000>; };
		chipset { model = "q35"; serial0; };
		pci {
			lan@3,0 { compatible = "e1000"; label = "net0"; segment = "office"; mac = [ ${m//:/ } ]; };
			lan@4,0 { compatible = "e1000"; label = "inside"; mac = [ 52 54 00 00 02 01 ]; };
		};
	};
	END
	"$hull" env compile "$net_dir/$1.dts" "$net_dir/$1.dtb"
}
start() {	# NAME LINE…: a server with these lines for its link
	local name=$1 n=${number[$1]}

	shift
	printf '%s\n' "identity = $net_dir/hv-$name" "nic.net0 = l2" "nic.net0.segment = office" "nic.inside = tap:srv$n" "$@" \
		>"$net_dir/$name.placement"
	: >"$net_dir/$name.log"
	net_ip cloud$n tuntap add dev "srv$n" mode tap vnet_hdr || die "no TAP devices"
	hull_start cloud$n "$name" "$O/bin/hull-hv" --env "$net_dir/$name.dtb" --placement "$net_dir/$name.placement" --firmware "$net_dir/rom" \
		--control "$(sock "$name")" -v
	wait_for 20 net "$name" '.certificate.state == "valid"' || die "hull-hv $name: $(tail -n 1 "$net_dir/$name.log")"
	# the server's own card: the TAP itself, with the address of the card that the guest bridges it to
	net_ip cloud$n link set "srv$n" netns "$name" && net_ip "$name" link set "srv$n" name eth0 address "$(mac "$name")" mtu "${mtu:-1500}" up &&
		net_address "$name" eth0 "$(ip_of "$name")/24" || die "server $name: network"
	ns "$name" sysctl -qw net.ipv4.ping_group_range="0 0" 2>/dev/null
}
stop() {	# NAME
	local pid=${hull_pids[$1]}

	kill "$pid" && kill "$pid" 2>/dev/null	# power button, then by force
	wait "$pid" 2>/dev/null
	unset "hull_pids[$1]"
	net_ip "$1" link del eth0 2>/dev/null || net_ip cloud"${number[$1]}" link del "srv${number[$1]}" 2>/dev/null || true
}
for s in app db; do
	net_space $s && environment $s && hull_identity hv $s && hull_pki allow lcg/gw1 hv/$s >/dev/null || die "server $s"
done
net() { "$hull" server net "$(sock "$1")" net0 --json | jq -e "$2"; }
# of JQ-EXPRESSION with NIC $l
link() { net "$1" ".nics[0].l2 as \$l | $2"; }
number_of() { link "$1" "$2" 2>/dev/null || echo 0; }
gateway() {
	{
		printf '%s\n' "name = gw1" "identity = $gw1" "lma = $hull_lma_address" "control = $net_dir/gw1.sock" "lan.home = packet:lan0" "segment.office = home"
		for s in app db; do printf 'server.%s.environment = %s\nserver.%s.placement = %s\n' $s "$net_dir/$s.dtb" $s "$net_dir/$s.placement"; done
	} >"$net_dir/gw1.conf"
	: >"$net_dir/gw1.log"
	hull_start gw gw1 "$O/bin/hull-lcg" "$net_dir/gw1.conf"
	wait_for 15 active 2 || die "gateway: $(tail -n 3 "$net_dir/gw1.log" | tr '\n' ' ')"
}
active() { [ "$("$hull" gateway status "$net_dir/gw1.sock" --json | jq '[.nics[] | select(.active)] | length')" -ge "$1" ]; }
# frames that the gateway got of a server
by_gateway() { "$hull" gateway counters "$net_dir/gw1.sock" | awk -v p="nic $1 net0 from_server_frames " 'index($0, p) == 1 { n = $NF } END { print n + 0 }'; }
reaches() { ns "$1" ping -c 1 -W 1 "$(ip_of "$2")"; }
# app calls db: its name comes first
direct() { link app '[$l.link.peers[0].ways[] | select(.open and .way == "direct")] | length > 0'; }
relayed() { link app '[$l.link.peers[0].ways[] | select(.open and .way != "direct")] | length > 0'; }
peer_out() { number_of app '[$l.link.peers[0].ways[].counters.out_bytes // 0] | add // 0'; }
talk_until() { reaches app db >/dev/null; "$1"; }

# carried WAY: what app sends db takes WAY (direct or gateway)
carried() {
	local before after peer

	reaches app db || return 1	# neighbours are known then
	before=$(by_gateway app) peer=$(peer_out)
	ns app ping -q -c 50 -i 0.01 -W 1 "$(ip_of db)" | grep -q ' 0% packet loss' || { echo "frames are lost"; return 1; }
	after=$(by_gateway app) peer=$(($(peer_out) - peer))
	echo "by the gateway $((after - before)) frames, directly $peer bytes"
	case $1 in
	direct) [ $((after - before)) -lt 10 ] && [ $peer -ge $((50 * 98)) ] ;;
	gateway) [ $((after - before)) -ge 50 ] && [ $peer -lt 980 ] ;;
	esac
}

# ---- by direct addresses
start app "nic.net0.listen = 198.51.100.11:7501"
start db "nic.net0.listen = 198.51.100.12:7502" "nic.net0.direct = 198.51.100.12:7502" "nic.net0.allow.1 = in tcp port 8080" \
	"nic.net0.allow.2 = in icmp from 192.0.2.0/24" "nic.net0.allow.3 = in udp port 9999 from 192.0.2.1/32"
sed -i 's/^nic.net0.listen.*7501/&\nnic.net0.direct = 198.51.100.11:7501/' "$net_dir/app.placement"
gateway
check "the client reaches both servers" eval 'wait_for 10 ns client ping -c 1 -W 1 192.0.2.11 && wait_for 10 ns client ping -c 1 -W 1 192.0.2.12'
check "servers that talk are introduced, and link directly" wait_for 30 talk_until direct
check "unicast passes directly" carried direct
check "db sees it come from its peer" link db '[$l.link.paths[] | select(.role == "hv" and .name == "app" and .open)] | length == 1'
before=$(by_gateway app) peer=$(peer_out)
ns app "$O/tools/frames" --src "$(mac app)" --count 30 --rate 300 eth0 >/dev/null
gateway_has() { [ $(($(by_gateway app) - before)) -ge 30 ]; }
check "broadcasts go by the gateway" wait_for 5 gateway_has
check "and by it only" test $(($(peer_out) - peer)) -lt 1000

# ---- spoofed, filtered
drops() { number_of "$1" '$l.peer_filter["'"$2"'"] // 0'; }
before=$(drops app spoofed-mac)
ns app "$O/tools/frames" --src 52:54:00:00:01:77 --dst "$(mac db)" --count 5 eth0 >/dev/null
spoof_counted() { [ $(($(drops app spoofed-mac) - before)) -eq 5 ]; }
check "frames in another's name are dropped with their counter" wait_for 5 spoof_counted
serve() {	# TCP-PORT
	ns_exec db timeout 20 socat -u "TCP-LISTEN:$1,reuseaddr" - >"$net_dir/got" 2>/dev/null &
	server=$!
	wait_for 5 eval "ns db ss -Hltn 'sport = :$1' | grep -q ."
}
serve 8080
check "a rule that allows holds on the link between servers" eval "echo hello | ns app timeout 5 socat -u - TCP:$(ip_of db):8080,connect-timeout=3"
wait "$server" 2>/dev/null
before=$(drops db firewall)
check_not "what no rule allows does not pass there" ns app timeout 5 socat -u /dev/null "TCP:$(ip_of db):8081,connect-timeout=1"
check "it has its counter" test "$(drops db firewall)" -gt "$before"
check "the link is still the direct one" carried direct

# ---- too long
ns app ip link set eth0 mtu 9000
mtu_known() { { ns app ping -c 1 -W 1 -M 'do' -s 4000 "$(ip_of db)" 2>&1 || true; } | grep -E 'mtu ?= ?1500'; }
check "who sends what the LAN would not take is told" wait_for 5 mtu_known
check "and it was counted" test "$(drops app too-big)" -gt 0
ns app ip link set eth0 mtu 1500
ns app ip route flush cache

# ---- the direct way is cut
cut() { ns cloud1 ip route add blackhole 198.51.100.12/32; }
mend() { ns cloud1 ip route del blackhole 198.51.100.12/32; }
cut
check "the direct way is cut: the gateway carries it" wait_for 10 carried gateway
mend
check "it comes back" wait_for 60 talk_until direct
check "and is used again" wait_for 10 carried direct

# ---- no gateway
hull_stop gw1 KILL
check "no gateway: servers reach each other" wait_for 5 reaches app db
lonely() { reaches app db || return 1; link app '$l.link.carrier | not' >/dev/null && [ $SECONDS -ge "$end" ]; }
end=$((SECONDS + 13))
check "for as long as it lasts, the cable stays in" wait_for 20 lonely
check "both ways" eval 'net app ".nics[0].carrier" && net db ".nics[0].carrier" && reaches db app'
gateway
check "the gateway is back" wait_for 10 ns client ping -c 1 -W 1 192.0.2.11

# ---- one server gone and back
stop db
check_not "a server that is gone does not answer" reaches app db
start db "nic.net0.listen = 198.51.100.12:7502" "nic.net0.direct = 198.51.100.12:7502"
check "it is back: the gateway carries it, then the direct link" wait_for 20 reaches app db
check "directly again" wait_for 90 talk_until direct
stop app
stop db
hull_stop gw1

# ---- by a relay
start app "nic.net0.relay = 198.51.100.1:7600"
start db "nic.net0.relay = 198.51.100.1:7600"
gateway
check "without direct addresses: the client reaches both" eval 'wait_for 10 ns client ping -c 1 -W 1 192.0.2.11 && wait_for 10 ns client ping -c 1 -W 1 192.0.2.12'
check "and they link through the relay" wait_for 30 talk_until relayed
check "unicast passes there" carried direct
hull_stop csc1 KILL
check "no relay, no gateway's path by it: nothing passes" eval '! reaches app db'
hull_start gw csc1 "$O/bin/hull-csc" --identity "$net_dir/csc-csc1" --listen 198.51.100.1:7600
check "the relay is back, and the gateway" wait_for 60 reaches app db
stop app
stop db
hull_stop gw1
exit $failed
