#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The PKI and hull-lma from outside: an authority, tokens, enrolment, volume keys, revocation; openssl is the peer.
# Usage: tests/system/pki.sh [O]
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
hull=$O/bin/hull
lma_program=${HULL_LMA:-$O/bin/hull-lma}
dir=$(mktemp -d)
store=$dir/store
unlock=(--unlock "keyfile:$dir/root")
failed=0
declare -A running=()

cleanup() {
	for pid in "${!running[@]}"; do kill "$pid" 2>/dev/null; done
	wait 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

pass() { echo "PASS pki: $1"; }
fail() { echo "FAIL pki: $1"; failed=1; }
# expect NAME WANTED COMMAND…: the command's exit status, and words that its output must hold
expect() {
	local name=$1 status=$2 words=$3 got
	shift 3
	"$@" >"$dir/out" 2>&1 </dev/null
	got=$?
	if [ $got -ne "$status" ]; then
		fail "$name: exit status $got, wanted $status: $(head -c 300 "$dir/out" | tr '\n' ' ')"
	elif [ -n "$words" ] && ! grep -qF -- "$words" "$dir/out"; then
		fail "$name: \"$words\" is not in: $(head -c 300 "$dir/out" | tr '\n' ' ')"
	else
		pass "$name"
	fi
}
# until_true SECONDS COMMAND…
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		read -rt 0.02 <> <(:)
	done
	return 0
}
start_lma() {
	: >"$dir/lma.log"
	"$lma_program" --store "$store" "${unlock[@]}" --listen "${address:-127.0.0.1:0}" --audit "$dir/audit" 2>>"$dir/lma.log" &
	lma=$!
	running[$lma]=1
	until_true 20 grep -q 'listening on' "$dir/lma.log" || { fail "hull-lma does not start: $(tail -n 1 "$dir/lma.log")"; exit 1; }
	address=$(sed -n 's/.*listening on //p' "$dir/lma.log")
}
# stop_lma SIGNAL: its exit status
stop_lma() {
	kill "-$1" "$lma" 2>/dev/null
	wait "$lma" 2>/dev/null
	local status=$?
	unset "running[$lma]"
	return $status
}
token() { "$hull" pki token "$store" --role "$1" --name "$2" --ttl "${3:-15m}" "${unlock[@]}" >"$dir/token"; }
# message TEXT…: hull-ctl/1 frames
message() { for text in "$@"; do printf '%b%s' "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' 0 0 $((${#text} / 256)) $((${#text} % 256)))" "$text"; done; }
# ask DIR TEXT…: what hull-lma answers to openssl with that identity ("": none)
ask() {
	local who=$1 id=()
	shift
	[ -z "$who" ] || id=(-cert "$who/identity.pem" -key "$who/identity.pem")
	{ message "$@"; read -rt "${linger:-0.5}" <> <(:); } |
		timeout 15 openssl s_client -quiet -no_ign_eof -connect "$address" -tls1_3 -alpn hull-ctl/1 -CAfile "$dir/ca.pem" "${id[@]}" 2>"$dir/s_client.err" |
		tr -d '\000-\037'
}

head -c 32 /dev/urandom >"$dir/root"
"$hull" keys init "$store" "${unlock[@]}" || { fail "no key store"; exit 1; }
expect "list without authority" 2 'hull pki init' "$hull" pki list "$store" "${unlock[@]}"
expect "init" 0 '' "$hull" pki init "$store" "${unlock[@]}"
expect "init twice" 2 'has one already' "$hull" pki init "$store" "${unlock[@]}"
"$hull" keys server add "$store" dc-web01 "${unlock[@]}"
"$hull" keys volume add "$store" dc-web01 sda "${unlock[@]}"
"$hull" keys export "$store" dc-web01 sda --output "$dir/sda.key" --yes "${unlock[@]}"
expect "authority's certificate" 0 '' "$hull" pki ca "$store" --output "$dir/ca.pem" "${unlock[@]}"
expect "openssl verifies the authority" 0 'OK' openssl verify -x509_strict -CAfile "$dir/ca.pem" "$dir/ca.pem"

# ---- by hand
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/hand.key" -subj '/CN=root' -addext 'basicConstraints=CA:TRUE' \
	-out "$dir/hand.csr" 2>/dev/null
expect "issue" 0 '' "$hull" pki issue "$store" --role lcg --name lan-1 --csr "$dir/hand.csr" --life 2h --output "$dir/hand.pem" "${unlock[@]}"
expect "openssl verifies it" 0 'OK' openssl verify -x509_strict -purpose sslclient -CAfile "$dir/ca.pem" "$dir/hand.pem"
openssl x509 -in "$dir/hand.pem" -noout -text >"$dir/text"
if grep -q 'URI:hull://lcg/lan-1' "$dir/text" && grep -q 'CA:FALSE' "$dir/text" && grep -q 'Subject: O = Hull, OU = lcg, CN = lan-1' "$dir/text"; then
	pass "a request's wishes are not heard"
else
	fail "a request's wishes are not heard: $(grep -E 'Subject:|CA:|URI:' "$dir/text" | tr -d '\n')"
fi
openssl req -new -newkey rsa:2048 -nodes -keyout /dev/null -subj '/CN=x' -out "$dir/rsa.csr" 2>/dev/null
expect "an RSA key is refused" 2 'none of P-256' "$hull" pki issue "$store" --role hv --name x --csr "$dir/rsa.csr" "${unlock[@]}"

# ---- over the wire
start_lma
token hv dc-web01
cp "$dir/token" "$dir/token1"
socat -d -d -x TCP-LISTEN:0,bind=127.0.0.1,fork "TCP:$address" 2>"$dir/wire" &
relay=$!
running[$relay]=1
relay_port() { port=$(sed -n 's/.*listening on .*127.0.0.1:\([0-9]*\)$/\1/p' "$dir/wire"); [ -n "$port" ]; }
if until_true 5 relay_port; then
	through=127.0.0.1:$port
else
	fail "the relay does not listen"
	through=$address
fi
expect "enrol" 0 '' "$hull" pki enrol --lma "$through" --token "file:$dir/token1" --output "$dir/web01"
expect "openssl verifies what was enrolled" 0 'OK' openssl verify -x509_strict -CAfile "$dir/web01/ca.pem" "$dir/web01/identity.pem"
if [ "$(stat -c %a "$dir/web01/identity.pem")" = 600 ]; then pass "the private key's mode"; else fail "the private key's mode"; fi
expect "a token is good once" 2 'unknown, used, or not' "$hull" pki enrol --lma "$address" --token "file:$dir/token1" --output "$dir/again"
expect "renew" 0 '' "$hull" pki renew --lma "$through" --dir "$dir/web01"
expect "openssl verifies against the list" 0 'OK' openssl verify -x509_strict -crl_check -CAfile "$dir/ca.pem" -CRLfile "$dir/web01/crl.pem" \
	"$dir/web01/identity.pem"
expect "not due" 0 '' "$hull" pki renew --lma 127.0.0.1:1 --dir "$dir/web01" --if-due
whole=$address
address=$through
ask "$dir/web01" '{"id":1,"do":"key","volume":"sda"}' | sed 's/.*"key": *"\([^"]*\)".*/\1/' | base64 -d >"$dir/got" 2>/dev/null
address=$whole
if cmp -s "$dir/got" "$dir/sda.key"; then pass "openssl gets the volume's key"; else fail "openssl gets the volume's key"; fi

# what passed the relay: neither the key nor the token's secret, in any of the forms they have
kill "$relay"
wait "$relay" 2>/dev/null
unset "running[$relay]"
hex() { od -An -v -tx1 | tr -d ' \n'; }
hexed=$(grep '^ [0-9a-f ]*$' "$dir/wire" | tr -d ' \n')
leak=
for form in "$(hex <"$dir/sda.key")" "$(base64 -w 0 "$dir/sda.key" | hex)" "$(head -c 48 "$dir/token1" | tail -c 30 | hex)"; do
	[[ $hexed == *${form:0:32}* ]] && leak=yes
done
[[ $hexed == *"$(printf 'hull-ctl/1' | hex)"* ]] || leak="the search finds nothing"
if [ ${#hexed} -lt 8000 ]; then fail "the wire: only ${#hexed} characters were seen"
elif [ -n "$leak" ]; then fail "the wire holds a secret"
else pass "the wire holds no secret"; fi

case $(ask "" '{"id":1,"do":"key","volume":"sda"}') in *EACCES*) pass "no certificate, no key" ;; *) fail "no certificate, no key" ;; esac
case $(ask "$dir/web01" '{"id":1,"do":"key","server":"dc-db01","volume":"sda"}') in *EPERM*) pass "another server's key" ;; *) fail "another server's key" ;; esac
cat "$dir/hand.pem" "$dir/hand.key" >"$dir/identity.pem"
case $(ask "$dir" '{"id":1,"do":"key","volume":"sda"}') in *EPERM*"not for lcg"*) pass "another role" ;; *) fail "another role" ;; esac
case $(ask "$dir/web01" '{"id":7,"do":"ping"}') in *'"id":7'*'"name":"lma"'*) pass "ping" ;; *) fail "ping" ;; esac
expect "TLS 1.2 is refused" 1 'protocol version' openssl s_client -connect "$address" -tls1_2 -alpn hull-ctl/1
expect "a wrong purpose is refused" 1 'no application protocol' openssl s_client -connect "$address" -tls1_3 -alpn h2
expect "no purpose is refused" 1 'no application protocol' openssl s_client -connect "$address" -tls1_3
mkdir "$dir/foreign"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/foreign/key.pem" -out "$dir/foreign/cert.pem" -subj /CN=x \
	-addext 'subjectAltName=URI:hull://hv/dc-web01' 2>/dev/null
cat "$dir/foreign/cert.pem" "$dir/foreign/key.pem" >"$dir/foreign/identity.pem"
if [ -z "$(ask "$dir/foreign" '{"id":1,"do":"ping"}')" ] && grep -q 'unknown ca' "$dir/s_client.err"; then pass "a foreign certificate"; else fail "a foreign certificate"; fi

# ---- the pin: a man in the middle who shows another authority
openssl s_server -www -accept 127.0.0.1:0 -tls1_3 -alpn hull-ctl/1 -cert "$dir/foreign/cert.pem" -key "$dir/foreign/key.pem" >"$dir/s_server" 2>&1 &
middle=$!
running[$middle]=1
until_true 5 grep -q ACCEPT "$dir/s_server"
token hv dc-web02
expect "a man in the middle" 2 'certificate is refused' "$hull" pki enrol --lma "$(sed -n 's/ACCEPT //p' "$dir/s_server")" --token "file:$dir/token" --output "$dir/mitm"
kill "$middle"
wait "$middle" 2>/dev/null
unset "running[$middle]"
if grep -q "$(head -c 30 "$dir/token")" "$dir/s_server"; then fail "the man in the middle got the token"; else pass "the man in the middle got no token"; fi

# ---- revocation, while hull-lma runs
expect "revoke" 0 '2 certificates revoked' "$hull" pki revoke "$store" dc-web01 "${unlock[@]}"
if [ -z "$(ask "$dir/web01" '{"id":1,"do":"key","volume":"sda"}')" ] && grep -q 'certificate revoked' "$dir/s_client.err"; then pass "revoked: no key"; else fail "revoked: no key"; fi
expect "revoked: no renewal" 2 'revoked' "$hull" pki renew --lma "$address" --dir "$dir/web01"
"$hull" pki crl "$store" --output "$dir/crl.pem" "${unlock[@]}"
expect "openssl sees the revocation" 2 'certificate revoked' openssl verify -crl_check -CAfile "$dir/ca.pem" -CRLfile "$dir/crl.pem" "$dir/web01/identity.pem"
expect "list" 0 revoked "$hull" pki list "$store" --json "${unlock[@]}"
token hv late 1s
until_true 5 sh -c "'$hull' pki list '$store' --json --unlock 'keyfile:$dir/root' | jq -e '.tokens[] | select(.name == \"late\" and .state == \"expired\")'"
expect "an expired token" 2 'has expired' "$hull" pki enrol --lma "$address" --token "file:$dir/token" --output "$dir/late"
jq -es 'map(select(.verb == "key" and .result == "ok" and .who == "hv/dc-web01" and .volume == "sda")) | length == 1' "$dir/audit" >/dev/null &&
	jq -es 'map(select(.verb == "key" and .result == "EPERM" and .server == "dc-db01")) | length == 1' "$dir/audit" >/dev/null &&
	pass "audit log" || fail "audit log: $(tail -n 3 "$dir/audit" | tr '\n' ' ')"

# ---- one token, used by several at the same moment, and beside a revocation
token hv twin
for i in 1 2 3 4; do
	"$hull" pki enrol --lma "$address" --token "file:$dir/token" --output "$dir/twin$i" >/dev/null 2>&1 &
	twins[i]=$!
done
won=0
for i in 1 2 3 4; do wait "${twins[i]}" && won=$((won + 1)); done
issued=$("$hull" pki list "$store" --json "${unlock[@]}" | jq '[.certificates[] | select(.name == "twin")] | length')
if [ $won = 1 ] && [ "$issued" = 1 ]; then pass "four use one token: one gets in"; else fail "four use one token: $won got in, $issued certificates"; fi
valid=0
for i in $(seq 10); do
	token hv "race-$i"
	"$hull" pki enrol --lma "$address" --token "file:$dir/token" --output "$dir/race" >/dev/null 2>&1 &
	client=$!
	"$hull" pki revoke "$store" "race-$i" "${unlock[@]}" >/dev/null || fail "race $i: cannot be revoked"
	wait $client
done
valid=$("$hull" pki list "$store" --json "${unlock[@]}" | jq '[(.certificates, .tokens)[] | select((.name | startswith("race-")) and .state != "revoked")] | length')
if [ "$valid" = 0 ]; then pass "revoked beside an enrolment: nothing stays valid"; else fail "revoked beside an enrolment: $valid are valid"; fi

# ---- another program has the store for itself: nobody else waits, and who must is served afterwards
token hv patient
exec {held}<>"$store.lock"
flock $held
"$hull" pki enrol --lma "$address" --token "file:$dir/token" --output "$dir/patient" >"$dir/patient.out" 2>&1 &
client=$!
linger=0.2
begun=${EPOCHREALTIME/./}
case $(ask "$dir" '{"id":1,"do":"ping"}') in *'"name":"lma"'*) ;; *) fail "hull-lma does not answer while the store is held" ;; esac
took=$(((${EPOCHREALTIME/./} - begun) / 1000))
kill -0 $client 2>/dev/null && waits=yes || waits=
flock -u $held
exec {held}>&-
unset linger
if [ $took -lt 3000 ] && [ -n "$waits" ] && wait $client; then pass "a store that is held delays nobody else"; else fail "a store that is held: $took ms; $(cat "$dir/patient.out")"; fi

# ---- others who hold or hammer connections
for i in 1 2 3 4 5 6 7 8; do
	socat -u EXEC:'sleep 5' "TCP:$address" 2>/dev/null &
	running[$!]=1
	head -c 3000 /dev/urandom | timeout 5 socat -u - "TCP:$address" 2>/dev/null
	message '{"id":1,"do":' | timeout 5 socat -u - "TCP:$address" 2>/dev/null
done
token hv dc-web03
expect "enrol beside garbage and silence" 0 '' timeout 5 "$hull" pki enrol --lma "$address" --token "file:$dir/token" --output "$dir/web03"
: >"$dir/x"
{ printf '\0\1\0\1garbage'; read -rt 0.3 <> <(:); } | timeout 5 openssl s_client -quiet -no_ign_eof -connect "$address" -tls1_3 -alpn hull-ctl/1 -CAfile "$dir/ca.pem" \
	-cert "$dir/web03/identity.pem" -key "$dir/web03/identity.pem" >"$dir/x" 2>/dev/null
case $(ask "$dir/web03" '{"id":9,"do":"ping"}')$(wc -c <"$dir/x") in *'"id":9'*0) pass "a message that is too long" ;; *) fail "a message that is too long" ;; esac
kill -HUP "$lma"
until_true 5 grep -q 'opened again' "$dir/lma.log"
case $(ask "$dir/web03" '{"id":9,"do":"ping"}') in *'"id":9'*) pass "reload" ;; *) fail "reload" ;; esac
kill -USR1 "$lma"
until_true 5 grep -q 'enrolled: ' "$dir/lma.log" && pass "counters" || fail "counters"
if stop_lma TERM; then pass "SIGTERM"; else fail "SIGTERM: status $?: $(tail -n 3 "$dir/lma.log" | tr '\n' ' ')"; fi
if grep -qiE 'sanitizer|runtime error' "$dir/lma.log"; then fail "sanitizer: $(grep -iE -m1 'sanitizer|runtime error' "$dir/lma.log")"; fi

# ---- killed at any moment: a token is used and its certificate on record, or unused and good
whole=0
used=0
rounds=${PKI_KILLS:-50}
for i in $(seq "$rounds"); do
	start_lma
	token hv "kill-$i"
	"$hull" pki enrol --lma "$address" --token "file:$dir/token" --output "$dir/kill" >/dev/null 2>&1 &
	client=$!
	read -rt "0.$(printf %03d $((RANDOM % 40)))" <> <(:)
	stop_lma KILL
	wait $client 2>/dev/null
	enrolled=$?
	"$hull" pki list "$store" --json "${unlock[@]}" >"$dir/list" || { fail "killed: the store is damaged"; break; }
	certs=$(jq "[.certificates[] | select(.name == \"kill-$i\")] | length" "$dir/list")
	tokens=$(jq "[.tokens[] | select(.name == \"kill-$i\")] | length" "$dir/list")
	case $certs$tokens in
	10) whole=$((whole + 1)); used=$((used + 1)) ;;
	01) [ $enrolled -ne 0 ] && whole=$((whole + 1)) ;;
	esac
done
if [ $whole -eq "$rounds" ]; then pass "killed $rounds times: $used tokens used with a certificate, $((rounds - used)) unused"
else fail "killed: only $whole of $rounds were whole"; fi
exit $failed
