#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A server's NICs end in L2 links: certificate by token or from a folder, renewed, its key in locked memory only; gateways come
# with tickets or not at all, take over from each other, and the server's cable stays in. The guest stands still here.
# Usage: tests/system/hv-l2.sh [O]
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
# shellcheck source=tests/net/topology.sh
. tests/net/topology.sh
[ -w /dev/kvm ] || { echo "SKIP hv-l2: no /dev/kvm here"; exit 0; }
net_enter hv-l2 "$@"
hull=$O/bin/hull hv_program=$O/bin/hull-hv work=$net_dir
store=$work/store sock=$work/control
by=(--unlock "keyfile:$work/root")
failed=0 hv='' lma=''
declare -A gateways=()

pass() { echo "PASS hv-l2: $1"; }
fail() { echo "FAIL hv-l2: $1"; failed=1; }
verdict() { if [ "$2" -eq 0 ]; then pass "$1"; else fail "$1: ${3:-}"; fi; }
die() { fail "$1"; exit 1; }
say() { tail -n 1 "$1" 2>/dev/null | cut -c1-300; }

build() {	# PROGRAM SOURCE
	# shellcheck disable=SC2086
	${CC:-gcc} -std=gnu17 -D_GNU_SOURCE -O1 -I. ${SAN_CFLAGS:-} -o "$work/$1" "$2" "$O/lib/libhullcrypto.a" "$O/lib/libhull.a" -ljansson \
		-lcryptsetup -lssl -lcrypto -largon2 -ltss2-esys -ltss2-mu -ltss2-tctildr -ltss2-rc -pthread 2>"$work/cc" || die "$1 does not build: $(head -n 1 "$work/cc")"
}
build gateway tests/system/hv_l2_gateway.c
build key-leak tests/system/key-leak.c

start_lma() {	# [OPTION…]
	"$O/bin/hull-lma" --store "$store" "${by[@]}" --listen "${address:-127.0.0.1:0}" --audit "$work/audit" "$@" 2>"$work/lma.log" &
	lma=$!
	wait_for 20 grep -q 'listening on' "$work/lma.log" || die "hull-lma: $(say "$work/lma.log")"
	address=$(sed -n 's/.*listening on //p' "$work/lma.log")
}
stop() { { kill -"${2:-KILL}" "$1" && wait "$1"; } 2>/dev/null; }
token() { "$hull" pki token "$store" --role "$1" --name "$2" "${by[@]}" >"$work/token" 2>>"$work/log" || die "token: $(say "$work/log")"; }
enrol() {	# ROLE NAME
	token "$1" "$2"
	"$hull" pki enrol --lma "$address" --token "file:$work/token" --output "$work/id-$2" 2>>"$work/log" || die "enrol $2: $(say "$work/log")"
}
start_hv() {
	"$hv_program" --env "$work/dtb" --placement "$work/placement" --control "$sock" -v </dev/null 2>"$work/hv.log" &
	hv=$!
	wait_for 20 "$hull" server status "$sock" || die "hull-hv: $(say "$work/hv.log")"
}
place() { printf '%s\n' "disk.vda = $work/disk" "$@" >"$work/placement"; }
refuse() {	# NAME WORDS LINE…
	local name=$1 words=$2

	shift 2
	place "$@"
	if timeout 20 "$hv_program" --env "$work/dtb" --placement "$work/placement" </dev/null 2>"$work/err"; then fail "$name: it starts"
	elif grep -qF -- "$words" "$work/err"; then pass "$name"
	else fail "$name: $(say "$work/err")"; fi
}
net() { "$hull" server net "$sock" --json | jq -e "$1" >/dev/null; }
gateway() {	# NAME DEVICE PORT [no-tickets]; PORT of a relay: relay:PORT
	local way=direct

	[ "$3" = "${3#relay:}" ] || way=relay
	: >"$work/$1.out"
	"$work/gateway" "$work/id-$1" "$address" web01 net0 office $way "127.0.0.1:${3#relay:}" "$2" ${4:+"$4"} >"$work/$1.out" 2>"$work/$1.log" &
	gateways[$1]=$!
}
active() { [ "$(tail -n 1 "$work/$1.out" 2>/dev/null)" = active ]; }

# ---- an authority, a machine that stands still
umask 077
head -c 64 /dev/urandom >"$work/root"
"$hull" keys init "$store" "${by[@]}" 2>>"$work/log" && "$hull" pki init "$store" "${by[@]}" >>"$work/log" 2>&1 || die "key store: $(say "$work/log")"
start_lma --cert-life 60s
{ printf '\364\353\375'; head -c 507 /dev/zero; printf '\125\252'; } >"$work/disk"	# hlt, and that for ever
truncate -s 1M "$work/disk"
"$hull" env compile tests/system/hv-l2.dts "$work/dtb" || die "environment"
for g in gw1 gw2 gw3; do enrol lcg $g; done
for g in gw1 gw2; do "$hull" pki allow "$store" lcg/$g hv/web01 "${by[@]}" 2>>"$work/log" || die "allow: $(say "$work/log")"; done
for t in tap1 tap2; do ip tuntap add $t mode tap vnet_hdr && ip link set $t up || die "no TAP devices"; done

# ---- placements that say too little
link=("nic.net0 = l2" "nic.net0.listen = 127.0.0.1:0")
id=("lma = $address" "lma.token = file:$work/token")
refuse "no way in" 'nic.net0: l2 needs a way in: set nic.net0.relay or nic.net0.listen' "nic.net0 = l2" "${id[@]}"
refuse "no segment" 'nic.net1: l2 needs a segment: set nic.net1.segment' "nic.net1 = l2" "nic.net1.listen = 127.0.0.1:0" "${id[@]}"
refuse "no certificate" 'set lma and lma.token, or identity' "${link[@]}"
refuse "two certificates" 'a certificate comes from one of them' "${link[@]}" "${id[@]}" "identity = $work/id-gw1"
refuse "a relay without a port" '"csc.example" is no HOST:PORT' "${link[@]}" "${id[@]}" "nic.net0.relay = 192.0.2.1:1 csc.example"
refuse "a fifth relay" 'relay: more than 4' "${link[@]}" "${id[@]}" "nic.net0.relay = a:1 b:1 c:1 d:1 e:1"
refuse "a carrier of its own kind" '"down" is not follow or up' "${link[@]}" "${id[@]}" "nic.net0.carrier = down"
refuse "a rule that is none" 'nic.net0.allow.1' "${link[@]}" "${id[@]}" "nic.net0.allow.1 = banana"
refuse "a key of a NIC without a link" 'nic.net1.segment names nothing' "${link[@]}" "${id[@]}" "nic.net1.segment = office"

# ---- no certificate: the server starts, the link does not
token hv other
place "${link[@]}" "${id[@]}"
start_hv
wait_for 30 net '.certificate.text | contains("this server is hv/web01")'
verdict "another server's token gives no link, and the server runs" $? "$("$hull" server net "$sock")"
net '.nics[0].l2.link == null and .nics[0].carrier == false'
verdict "nothing listens then" $? "$("$hull" server net "$sock")"
stop $hv

# ---- by token
token hv web01
place "${link[@]}" "${id[@]}" "nic.net1 = up"
start_hv
wait_for 30 net '.certificate.state == "valid"'
verdict "a token gives a certificate" $? "$(say "$work/hv.log")"
port=$("$hull" server net "$sock" --json | jq '.nics[0].l2.port')
gateway gw3 tap1 "$port" no-tickets
wait_for 20 grep -q 'lcg/gw3: it has no ticket' "$work/hv.log"
verdict "a gateway without a ticket is refused" $? "$(say "$work/hv.log")"
stop "${gateways[gw3]}"
gateway gw3 tap1 "$port"
wait_for 20 grep -q '^hv_l2_gateway: tickets' "$work/gw3.log"
verdict "one that no policy allows gets none" $? "$(say "$work/gw3.log")"
wait "${gateways[gw3]}" 2>/dev/null
net '.nics[0].carrier == false'
verdict "no cable yet" $? ""
gateway gw1 tap1 "$port"
wait_for 20 active gw1
verdict "a gateway with tickets serves" $? "$(say "$work/gw1.log") $(say "$work/hv.log")"
net '.nics[0].carrier and (.nics[0].l2.link.paths[0] | .active and .name == "gw1" and .lanes == 2)'
verdict "the cable is in" $? "$("$hull" server net "$sock")"
"$hull" server net "$sock" >"$work/out"
grep -q 'gateway   gw1 by direct: active, round trip' "$work/out" && grep -q '^certificate valid until' "$work/out" && grep -q '^net1: e1000, null, cable in' "$work/out"
verdict "people see it" $? "$(tr '\n' '|' <"$work/out")"
"$hull" server net "$sock" net0 --json | jq -e '.nics | length == 1 and .[0].l2.link.paths[0].counters.link_in_bytes > 0' >/dev/null
verdict "counters of one NIC" $? ""
"$hull" server net "$sock" net7 2>&1 | grep -q 'no NIC "net7"'
verdict "no such NIC" $? ""

# ---- renewed
first=$("$hull" server net "$sock" --json | jq .certificate.until)
wait_for 60 net ".certificate.until > $first"
verdict "the certificate is renewed" $? "$("$hull" server net "$sock" | tail -n 1) $(say "$work/hv.log")"
active gw1 && net '.nics[0].l2.link.paths[0].active'
verdict "the link goes on" $? "$(say "$work/hv.log")"

# ---- takeover
for g in gw1 gw2; do "$hull" pki renew --lma "$address" --dir "$work/id-$g" 2>>"$work/log"; done
gateway gw2 tap2 "$port"
wait_for 20 net '.nics[0].l2.link.paths | map(select(.open)) | length == 2'
verdict "a second gateway stands by" $? "$("$hull" server net "$sock") $(say "$work/gw2.log")"
start=$(date +%s%N)
stop "${gateways[gw1]}"
wait_for 20 active gw2
took=$((($(date +%s%N) - start) / 1000000))
verdict "the second one takes over when the first is killed (after $took ms)" $? "$(say "$work/hv.log")"
[ $took -le 1000 ]
verdict "within a second" $? "$took ms"
! grep -q 'no carrier' "$work/hv.log" && net '.nics[0].carrier'
verdict "the cable stayed in" $? ""
stop "${gateways[gw2]}" TERM
wait_for 20 net '.nics[0].l2.link.carrier == false'
net '.nics[0].carrier'
verdict "the last gateway goes, the cable stays a while" $? ""
wait_for 20 net '.nics[0].carrier == false'
verdict "and is out then" $? ""
stop $hv

# ---- by a relay
enrol csc csc1
token hv web01
"$O/bin/hull-csc" --identity "$work/id-csc1" --listen 127.0.0.1:0 -v 2>"$work/csc.log" &
csc=$!
wait_for 20 grep -q 'listening on' "$work/csc.log" || die "hull-csc: $(say "$work/csc.log")"
port=$(sed -n 's/.*listening on .*:\([0-9]*\).*/\1/p' "$work/csc.log" | head -n 1)
place "nic.net0 = l2" "nic.net0.relay = 127.0.0.1:$port" "${id[@]}"
start_hv
wait_for 30 net '.nics[0].l2.link.relays[0].parked > 0'
verdict "a server without a listening socket parks at a relay" $? "$("$hull" server net "$sock") $(say "$work/csc.log")"
"$hull" pki renew --lma "$address" --dir "$work/id-gw1" 2>>"$work/log"
gateway gw1 tap1 "relay:$port"
wait_for 20 active gw1
verdict "and is served through it" $? "$(say "$work/gw1.log") $(say "$work/csc.log") $(say "$work/hv.log")"
net '.nics[0].carrier and .nics[0].l2.port == 0'
verdict "its cable is in" $? "$("$hull" server net "$sock")"
stop "${gateways[gw1]}" TERM
stop $hv
stop $csc TERM

# ---- by folder: a key that this test knows
enrol hv web01
openssl ec -in "$work/id-web01/identity.pem" -noout -text 2>/dev/null | sed -n '/^priv:/,/^pub:/{/^ /p}' | tr -d ' :\n' | tail -c 64 | xxd -r -p >"$work/scalar"
xxd -p -c1 "$work/scalar" | tac | xxd -r -p >"$work/scalar.le"
place "${link[@]}" "identity = $work/id-web01" "nic.net0.carrier = up"
start_hv
wait_for 30 net '.certificate.state == "valid" and .nics[0].l2.link != null'
verdict "a folder gives a certificate" $? "$(say "$work/hv.log")"
net '.nics[0].carrier'
verdict "a cable that is always in" $? ""
if [ "$(stat -c %s "$work/scalar")" -ne 32 ]; then
	fail "the key: openssl does not show it"
elif [ "$(id -u)" -ne 0 ] || ! head -c 1 "/proc/$hv/maps" >/dev/null 2>&1; then
	echo "SKIP hv-l2: the key in memory: needs root"
else
	"$work/key-leak" scan "$work/scalar" "$work/scalar.le" -- "pid:$hv" >/dev/null
	verdict "control: the private key is in hull-hv" $(($? != 1)) "the search did not find it"
	found=$("$work/key-leak" stray "$work/scalar" "$work/scalar.le" -- "pid:$hv")
	verdict "only in memory that is locked and kept from core files" $? "$found"
	port=$("$hull" server net "$sock" --json | jq '.nics[0].l2.port')
	gateway gw2 tap2 "$port"
	wait_for 20 active gw2
	verdict "a gateway serves" $? "$(say "$work/gw2.log") $(say "$work/hv.log")"
	found=$("$work/key-leak" stray "$work/scalar" "$work/scalar.le" -- "pid:$hv")
	verdict "after handshakes, too" $? "$found"
fi
stop $hv SEGV
core=$(find . -maxdepth 1 -name 'core*' -newer "$work/placement" -type f | head -n 1)
[ -z "$core" ]
verdict "a crash leaves no core file" $? "$core"
stop "$lma" TERM
exit $failed
