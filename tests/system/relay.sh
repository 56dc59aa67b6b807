#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hull-csc between a gateway and servers, with tickets of a real hull-lma: each refusal by its name, a thousand parked, slow and dead
# peers, nothing but TLS on the wire; then a relay in an attacker's hands.
# Usage: tests/system/relay.sh [O]
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
make --no-print-directory -s O="$O" "$O/tools/capture" "$O/tools/onlytls" "$O/tools/relay_end" "$O/tools/relay_evil" || { echo "FAIL relay: build"; exit 1; }
. tests/net/topology.sh
. tests/net/hull.sh
net_enter relay "$@"
failed=0
pass() { echo "PASS relay: $1"; }
fail() { echo "FAIL relay: $1"; failed=1; }
end=$O/tools/relay_end
relay=10.1.0.1:7441 relay_cloud=10.2.0.1:7441 evil=10.1.0.1:7442 evil_cloud=10.2.0.1:7442

# ---- a relay with a LAN on one side and a cloud on the other
net_space lan mid cloud && net_cable mid lan0 lan eth0 && net_cable mid cloud0 cloud eth0 &&
	net_address mid lan0 10.1.0.1/24 && net_address lan eth0 10.1.0.2/24 && net_address mid cloud0 10.2.0.1/24 &&
	net_address cloud eth0 10.2.0.2/24 || { fail "namespaces"; exit 1; }
hull_authority && hull_lma mid 127.0.0.1 || { fail "hull-lma"; exit 1; }
for who in csc/csc1 csc/evil lcg/gw1 lcg/gw2 hv/dc-web01 hv/dc-db01 hv/dc-old01; do
	hull_identity "${who%/*}" "${who#*/}" || { fail "identity $who"; exit 1; }
done
id() { echo "$net_dir/${1/\//-}"; }
for server in dc-web01 dc-db01 dc-old01; do hull_pki allow lcg/gw1 hv/$server; done
hull_start mid csc "${HULL_CSC:-$O/bin/hull-csc}" --identity "$(id csc/csc1)" --listen 0.0.0.0:7441 --control /run/csc --lma 127.0.0.1:7440 --refresh 1s \
	--handshake 2s --wait 1s --dead 5s --per-server 2000
wait_for 10 hull_said csc 'listening on' || { fail "hull-csc does not start: $(tail -n 1 "$net_dir/csc.log")"; exit 1; }
csc_pid=${hull_pids[csc]}

counter() { "$O/bin/hull" relay status /run/csc --json | jq -e ".counters.$1"; }
counted() { [ "$(counter "$1")" -ge "$2" ]; }
total() { "$O/bin/hull" relay status /run/csc --json | jq -e ".$1 | length"; }
has() { [ "$(total "$1")" -eq "$2" ]; }
# message TEXT: a hull-ctl/1 frame
message() { printf '%b%s' "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' 0 0 $((${#1} / 256)) $((${#1} % 256)))" "$1"; }
# ask GATEWAY JSON: hull-lma's answer
ask() {
	{ message "$2"; read -rt 0.4 <> <(:); } | ns mid timeout 15 openssl s_client -quiet -no_ign_eof -connect 127.0.0.1:7440 -tls1_3 -alpn hull-ctl/1 \
		-CAfile "$(id lcg/gw1)/ca.pem" -cert "$(id "$1")/identity.pem" -key "$(id "$1")/identity.pem" 2>"$net_dir/s_client" | tr -d '\000-\037'
}
# ticket FILE SERVER [RELAY]: for gw1, from hull-lma
ticket() { ask lcg/gw1 "{\"id\":1,\"do\":\"ticket\",\"callee\":\"$2\",\"nic\":\"net0\",\"relay\":\"${3:-csc1}\"}" | grep -o '{.*' | jq -er '.ok.tickets[0]' >"$net_dir/$1"; [ -s "$net_dir/$1" ]; }
# park NAME ROLE/NAME RELAY SERVER [COUNT]: output in NAME.log
park() {
	hull_start cloud "$1" "$end" park "$(id "$2")" "$3" "$4" net0 "${5:-1}"
	wait_for 20 hull_said "$1" parked
}
# call WANTED WORDS ROLE/NAME RELAY SERVER TICKET [BYTES]
call() {
	local want=$1 words=$2

	ns lan timeout 30 "$end" call "$(id "$3")" "$4" "$5" "$net_dir/$6" "${7:-1000}" >"$net_dir/call" 2>&1
	[ $? -eq "$want" ] && grep -q -- "$words" "$net_dir/call"
}
# refused NAME WORDS CALL…
refused() {
	local name=$1

	shift
	if call 1 "refused $1" "${@:2}"; then pass "$name"; else fail "$name: $(tail -n 1 "$net_dir/call")"; fi
}

capture_start "$net_dir/lan.pcap" mid lan0 && capture_start "$net_dir/cloud.pcap" mid cloud0 || exit 1

# ---- as it should be
park web hv/dc-web01 $relay_cloud dc-web01 2 || fail "park: $(tail -n 1 "$net_dir/web.log")"
wait_for 5 has parked 2 && pass "parks" || fail "parks: $(total parked)"
ticket t1 dc-web01 || fail "no ticket: $(tail -n 1 "$net_dir/s_client")"
if call 0 'ok 3000000' lcg/gw1 $relay dc-web01 t1 3000000 && grep -q 'reached hv/dc-web01' "$net_dir/call" && wait_for 5 hull_said web 'called lcg/gw1'; then
	pass "a gateway reaches a server through the relay"
else fail "a gateway reaches a server: $(tail -n 1 "$net_dir/call")"; fi
wait_for 5 counted relayed_ended 1 && [ "$(counter to_server_bytes)" -gt 3000000 ] && pass "counts its bytes" || fail "counts its bytes"
wait_for 5 has parked 2 && pass "parks again after a call" || fail "parks again after a call: $(total parked)"

# ---- refusals, each by its name
refused "a ticket used again" EEXIST lcg/gw1 $relay dc-web01 t1
"$end" sign "$hull_store" "$net_dir/root" gw1 dc-web01 csc1 -1000 >"$net_dir/t2"
refused "an expired ticket" EKEYEXPIRED lcg/gw1 $relay dc-web01 t2
"$end" sign "$hull_store" "$net_dir/root" gw1 dc-web01 csc1 1000 >"$net_dir/t2"
refused "a ticket of the future" EKEYEXPIRED lcg/gw1 $relay dc-web01 t2
"$end" sign "$hull_store" "$net_dir/root" gw1 dc-web01 csc1 45 >"$net_dir/t2"
call 0 'ok 1000' lcg/gw1 $relay dc-web01 t2 && pass "clocks that differ by 45 s" || fail "clocks that differ by 45 s: $(tail -n 1 "$net_dir/call")"
ticket t3 dc-web01
refused "somebody else's ticket" EPERM lcg/gw2 $relay dc-web01 t3
ticket t4 dc-web01 csc2
refused "a ticket for another relay" EPERM lcg/gw1 $relay dc-web01 t4
head -c 100 "$net_dir/t3" >"$net_dir/t5"
refused "half a ticket" EBADMSG lcg/gw1 $relay dc-web01 t5
ticket t6 dc-db01
refused "a server that is not parked" ENOENT lcg/gw1 $relay dc-db01 t6
case $(ask lcg/gw2 '{"id":1,"do":"ticket","callee":"dc-web01","nic":"net0"}') in *EPERM*'may not call'*) pass "no policy, no ticket" ;; *) fail "no policy, no ticket" ;; esac
hull_pki deny lcg/gw1 hv/dc-db01
case $(ask lcg/gw1 '{"id":1,"do":"ticket","callee":"dc-db01","nic":"net0"}') in *EPERM*) pass "a policy that was taken back" ;; *) fail "a policy that was taken back" ;; esac
hull_pki allow lcg/gw1 hv/dc-db01
[ "$(jq -s 'map(select(.verb == "ticket" and .who == "lcg/gw1" and .server == "dc-web01" and .result == "ok")) | length' "$net_dir/audit")" -ge 3 ] &&
	pass "tickets are in the audit log" || fail "tickets are in the audit log"
timeout 20 "$O/bin/hull" keys init "$net_dir/store2" "${hull_unlock[@]}" && "$O/bin/hull" pki init "$net_dir/store2" "${hull_unlock[@]}" &&
	"$O/bin/hull" pki allow "$net_dir/store2" lcg/gw1 hv/dc-web01 "${hull_unlock[@]}" || fail "another authority"
"$end" sign "$net_dir/store2" "$net_dir/root" gw1 dc-web01 csc1 0 >"$net_dir/t7"
refused "another authority's ticket" EKEYREJECTED lcg/gw1 $relay dc-web01 t7
mkdir "$net_dir/foreign"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$net_dir/foreign/key" -out "$net_dir/foreign/cert" -subj /CN=x \
	-addext 'subjectAltName=URI:hull://lcg/gw1' 2>/dev/null
cat "$net_dir/foreign/cert" "$net_dir/foreign/key" >"$net_dir/foreign/identity.pem"
cp "$(id lcg/gw1)/ca.pem" "$net_dir/foreign/ca.pem"
refused "a foreign certificate" 'EPROTO.*unknown ca' foreign $relay dc-web01 t3
ns cloud timeout 20 "$end" park "$(id hv/dc-db01)" $relay_cloud dc-web01 net0 >"$net_dir/out" 2>&1
grep -q 'refused EPERM' "$net_dir/out" && pass "parking under another's name" || fail "parking under another's name: $(tail -n 1 "$net_dir/out")"
ns cloud timeout 20 "$end" park "$(id lcg/gw1)" $relay_cloud gw1 net0 >"$net_dir/out" 2>&1
grep -q 'refused EPERM' "$net_dir/out" && pass "a gateway does not park" || fail "a gateway does not park: $(tail -n 1 "$net_dir/out")"

# ---- revocation: what is parked and relayed goes, too
park old hv/dc-old01 $relay_cloud dc-old01 || fail "park old"
wait_for 5 has parked 3
hull_pki revoke dc-old01 >/dev/null
wait_for 20 counted revoked 1 && pass "a revoked server's parked socket" || fail "a revoked server's parked socket"
hull_stop old
ns cloud timeout 20 "$end" park "$(id hv/dc-old01)" $relay_cloud dc-old01 net0 >"$net_dir/out" 2>&1
grep -q 'refused EPROTO.*certificate revoked' "$net_dir/out" && pass "a revoked certificate" || fail "a revoked certificate: $(tail -n 1 "$net_dir/out")"

# ---- a reader that takes nothing: its writer stops, the relay neither grows nor works
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$csc_pid/status"; }
ticks() { awk '{ print $14 + $15 }' "/proc/$csc_pid/stat"; }
DEAF=1 park deaf hv/dc-db01 $relay_cloud dc-db01 || fail "park deaf"
ticket t8 dc-db01
before=$(rss)
PUSH=1 hull_start lan push "$end" call "$(id lcg/gw1)" $relay dc-db01 "$net_dir/t8" 1000000000
if wait_for 20 hull_said push stalled; then
	work=$(ticks)
	read -rt 1 <> <(:)
	work=$(($(ticks) - work))
	grown=$(($(rss) - before))
	if [ $work -le 20 ] && [ $grown -lt 8192 ]; then pass "a reader that takes nothing: $grown KiB more, $work ticks of work in a second"
	else fail "a reader that takes nothing: $grown KiB more, $work ticks in a second"; fi
else fail "a reader that takes nothing: $(tail -n 1 "$net_dir/push.log")"; fi
hull_stop push KILL
wait_for 15 counted relayed_cut 1 && pass "a caller that is killed" || fail "a caller that is killed"
hull_stop deaf

# ---- a thousand
idle=$(rss)
HOLD=1 hull_start cloud thousand "$end" park "$(id hv/dc-db01)" $relay_cloud dc-db01 net0 1000
if wait_for 120 has parked 1002; then
	read -rt 1.5 <> <(:)	# memory of handshakes goes back a second after the last one
	each=$((($(rss) - idle) * 1024 / 1000))
	[ $each -le 20480 ] && pass "1000 parked: $each bytes each" || fail "1000 parked: $each bytes each"
	threads=$(ls "/proc/$csc_pid/task" | wc -l)
	[ "$threads" -le 2 ] && pass "1000 parked: $threads threads" || fail "1000 parked: $threads threads"
	ticket t9 dc-web01
	call 0 'ok 1000' lcg/gw1 $relay dc-web01 t9 && pass "a call beside 1000 parked" || fail "a call beside 1000 parked: $(tail -n 1 "$net_dir/call")"
else fail "1000 parked: $(total parked) are, $(tail -n 1 "$net_dir/thousand.log")"; fi
hull_stop thousand
wait_for 20 has parked 2 && pass "they go" || fail "they go: $(total parked)"

# ---- the wire, so far
capture_stop || fail "the captures miss packets"
if "$O/tools/onlytls" --never 'this line is for the other end' --never dc-web01 --least 1000000 "$net_dir/lan.pcap" >"$net_dir/out" 2>&1 &&
	"$O/tools/onlytls" --never 'this line is for the other end' --never dc-web01 --least 1000000 "$net_dir/cloud.pcap" >>"$net_dir/out" 2>&1; then
	pass "only TLS on the wire: $(tail -n 1 "$net_dir/out")"
else fail "only TLS on the wire: $(head -n 3 "$net_dir/out" | tr '\n' ' ')"; fi

# ---- those who speak no TLS
before=$(counter handshake_failed)
for i in 1 2 3; do head -c 3000 /dev/urandom | ns lan timeout 5 socat -u - "TCP:$relay" 2>/dev/null; done
wait_for 5 counted handshake_failed $((before + 3)) && pass "garbage instead of TLS" || fail "garbage instead of TLS"
ns_exec lan socat -u EXEC:'sleep 30' "TCP:$relay" 2>/dev/null &
silent=$!
wait_for 10 counted handshake_late 1 && pass "a client that says nothing" || fail "a client that says nothing"
kill $silent 2>/dev/null

# ---- a cable is cut under a pair
ticket t10 dc-web01
before=$(counter relayed_cut)
PUSH=1 hull_start lan push2 "$end" call "$(id lcg/gw1)" $relay dc-web01 "$net_dir/t10" 100000000000
wait_for 10 has relayed 1
net_ip lan link set eth0 down
wait_for 30 counted relayed_cut $((before + 1)) && pass "a peer that is gone" || fail "a peer that is gone"
net_ip lan link set eth0 up
hull_stop push2 KILL
hull_stop web

# ---- a relay in an attacker's hands. It has a relay's certificate, so both sides come; what is said stays between them.
evil_start() {
	hull_start mid "evil-$1" "$O/tools/relay_evil" "$(id csc/evil)" 0.0.0.0:7442 "$1" "$net_dir/seen-$1" "${2:-0}"
	wait_for 10 hull_said "evil-$1" listening || fail "the attacker's relay"
}
evil_ticket() { "$end" sign "$hull_store" "$net_dir/root" gw1 "$2" evil "$((RANDOM % 30))" >"$net_dir/$1"; }

evil_start record
park web1 hv/dc-web01 $evil_cloud dc-web01
evil_ticket e1 dc-web01
if call 0 'ok 1000000' lcg/gw1 $evil dc-web01 e1 1000000 && [ "$(wc -c <"$net_dir/seen-record")" -gt 2000000 ] &&
	! grep -qa -e 'this line is for' -e "$(cut -c 1-40 "$net_dir/e1")" -e lcg/gw1 "$net_dir/seen-record"; then
	pass "it records all, and reads nothing"
else fail "it records all, and reads nothing: $(tail -n 1 "$net_dir/call"), $(wc -c <"$net_dir/seen-record") bytes"; fi
# gw2 with gw1's ticket, which this relay lets through
evil_ticket e2 dc-web01
wait_for 10 sh -c "[ \$(grep -c parked '$net_dir/evil-record.log') -ge 2 ]"
call 1 'refused' lcg/gw2 $evil dc-web01 e2
wait_for 10 hull_said web1 'refused EPERM ticket: is somebody else' && pass "a stolen ticket: the server refuses it" || fail "a stolen ticket: $(tail -n 1 "$net_dir/web1.log")"
# the same ticket twice, by its owner
wait_for 10 sh -c "[ \$(grep -c parked '$net_dir/evil-record.log') -ge 3 ]"
call 1 'refused' lcg/gw1 $evil dc-web01 e1
wait_for 10 hull_said web1 'refused EEXIST' && pass "a ticket shown twice: the server remembers it" || fail "a ticket shown twice: $(tail -n 1 "$net_dir/web1.log")"
hull_stop web1
hull_stop evil-record

evil_start flip 4000
park web2 hv/dc-web01 $evil_cloud dc-web01
evil_ticket e3 dc-web01
refused "it flips a bit: the caller hears of it" EPROTO lcg/gw1 $evil dc-web01 e3 100000
wait_for 10 hull_said web2 'closed EPROTO.*bad record mac' && pass "it flips a bit: the server hears of it" || fail "it flips a bit: $(tail -n 1 "$net_dir/web2.log")"
hull_stop web2
hull_stop evil-flip

evil_start swap
park web3 hv/dc-web01 $evil_cloud dc-web01
park db3 hv/dc-db01 $evil_cloud dc-db01
evil_ticket e4 dc-web01
refused "it joins with another server: the caller sees whom it met" 'EKEYREJECTED the other end is another server' lcg/gw1 $evil dc-web01 e4
hull_stop web3
hull_stop db3
hull_stop evil-swap

evil_start replay
park web4 hv/dc-web01 $evil_cloud dc-web01
evil_ticket e7 dc-web01
call 0 'ok 50000' lcg/gw1 $evil dc-web01 e7 50000 || fail "before the replay: $(tail -n 1 "$net_dir/call")"
if wait_for 10 hull_said evil-replay replayed && wait_for 10 hull_said web4 'closed EPROTO'; then pass "it replays a stream: TLS refuses it"
else fail "it replays a stream: $(tail -n 1 "$net_dir/web4.log")"; fi
[ "$(grep -c 'called' "$net_dir/web4.log")" = 1 ] && pass "it replays a stream: nobody was called" || fail "it replays a stream: somebody was called"
hull_stop web4
hull_stop evil-replay

# ---- its end
kill -USR1 "$csc_pid"
wait_for 5 hull_said csc 'relayed_cut: ' && pass "counters" || fail "counters"
kill -HUP "$csc_pid"
wait_for 5 hull_said csc 'identity read again' && pass "reload" || fail "reload"
if hull_stop csc; then pass "SIGTERM"; else fail "SIGTERM: status $?: $(tail -n 1 "$net_dir/csc.log")"; fi
if grep -qiE 'sanitizer|runtime error' "$net_dir/csc.log"; then fail "sanitizer: $(grep -iE -m1 'sanitizer|runtime error' "$net_dir/csc.log")"; fi
exit $failed
