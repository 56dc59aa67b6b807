#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Volumes of Hull in the hands of cryptsetup, QEMU and nbdkit, and theirs in Hull's: the same bytes both ways.
# Usage: tests/system/luks-peers.sh [O]     prints one line a check; exit status 1 when one failed
set -uo pipefail
O=$(realpath -m "${1:-build}")
hull=$O/bin/hull
[ -x "$hull" ] || { echo "FAIL luks-peers: $hull is not built"; exit 1; }
[ -f "$O/lib/nbdkit-hull-plugin.so" ] || { echo "FAIL luks-peers: the nbdkit plugin is not built"; exit 1; }
export LC_ALL=C
for tool in cryptsetup qemu-img nbdkit nbdcopy nbdinfo; do
	command -v "$tool" >/dev/null || { echo "SKIP luks-peers: no $tool here"; exit 0; }
done
tmp=$(mktemp -d)
server=
finish() { [ -z "$server" ] || kill "$server" 2>/dev/null; wait; rm -rf "$tmp"; }
trap finish EXIT
cd "$tmp" || exit 2
failed=0

check() {	# SENTENCE COMMAND…
	local what=$1
	shift
	if "$@" >why 2>&1; then echo "PASS $what"; else
		echo "FAIL $what: $(grep -v ' taken$' why | head -n 1)"; head -n 5 why | sed 's/^/    /'; failed=1
	fi
}
same() { [ "$(sha256sum <"$1")" = "$(sha256sum <"$2")" ] || { echo "$1 and $2 differ"; return 1; }; }

head -c 32 /dev/urandom >key
printf 'a passphrase with spaces' >words	# what QEMU's secret takes as text
# Data with structure, random parts, zeroes at the end.
{ yes 'the plaintext' | head -c 9M; head -c 14M /dev/urandom; head -c 1M /dev/zero; } >plain
size=$(stat -c %s plain)
quick=(--pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 64 --pbkdf-parallel 1)
cs() { cryptsetup --batch-mode "$@"; }

# cryptsetup's own way to the plaintext without a device mapper: decrypt the volume in place.
by_cryptsetup() {	# VOLUME: becomes the same as plain
	local header=$1.header

	rm -f "$header"
	cs reencrypt --decrypt --force-offline-reencrypt --header "$header" --key-file key "$1" || return 1
	head -c "$size" "$1" >"$1.out"
	same "$1.out" plain
}

for sector in 512 4096; do
	v=ours$sector
	check "Hull makes a LUKS2 volume of $sector-byte sectors" "$hull" volume format $v --key file:key --size "$size" --sector $sector --random-key
	check "cryptsetup opens it" cs open --test-passphrase $v --key-file key
	check "cryptsetup knows its sectors" grep -q "sector: $sector \[bytes\]" <(cs luksDump $v)
	check "Hull fills it" "$hull" volume import plain $v --key file:key --verify
	check "cryptsetup decrypts what Hull wrote, $sector-byte sectors" by_cryptsetup $v

	v=theirs$sector
	truncate -s $((size + 16777216)) $v
	check "cryptsetup makes a LUKS2 volume of $sector-byte sectors" cs luksFormat --type luks2 --sector-size $sector "${quick[@]}" $v key
	check "Hull opens it" "$hull" volume open $v --key file:key
	check "Hull fills cryptsetup's volume" "$hull" volume import plain $v --key file:key
	check "cryptsetup decrypts that" by_cryptsetup $v

	v=moved$sector
	cp plain $v
	truncate -s $((size + 33554432)) $v
	check "cryptsetup encrypts a plain image in place, $sector-byte sectors" \
		cs reencrypt --encrypt --type luks2 --reduce-device-size 32M --sector-size $sector "${quick[@]}" --key-file key $v
	check "Hull reads it" "$hull" volume export $v $v.out --key file:key
	head -c "$size" $v.out >$v.cut
	check "to the last byte" same $v.cut plain
done

# ---- rotation begun by one, finished by the other
check "Hull makes a volume to rotate" "$hull" volume format turn --key file:key --size "$size" --random-key
check "and fills it" "$hull" volume import plain turn --key file:key
check "cryptsetup begins a rotation and leaves it" cs reencrypt --init-only "${quick[@]}" --key-file key --key-slot 0 turn
check "Hull says that a rotation is unfinished" grep -q '^rotation *unfinished' <("$hull" volume info turn)
check "Hull reads a volume in rotation" "$hull" volume export turn turn.out --key file:key
check "the same bytes" same turn.out plain
check "Hull finishes cryptsetup's rotation" "$hull" volume rotate turn --key file:key
check "no rotation is left" [ -z "$("$hull" volume info turn | grep '^rotation')" ]
rm turn.out
check "Hull reads it afterwards" "$hull" volume export turn turn.out --key file:key
check "the same bytes after the rotation" same turn.out plain
check "cryptsetup opens it afterwards" cs open --test-passphrase turn --key-file key

# ---- a re-encryption under the same key, which only cryptsetup knows: Hull must leave it alone, and every key slot with it
check "Hull makes a volume of 512-byte sectors" "$hull" volume format kept --key file:key --size "$size" --sector 512 --random-key
check "and fills it too" "$hull" volume import plain kept --key file:key
check "cryptsetup begins to change its sectors" cs reencrypt --init-only --force-offline-reencrypt --keep-key --sector-size 4096 "${quick[@]}" --key-file key kept
cp kept kept.before
check "Hull refuses to open it" grep -q 'in a way that is no rotation' <("$hull" volume open kept --key file:key 2>&1)
check "Hull refuses to rotate it" grep -q 'in a way that is no rotation' <("$hull" volume rotate kept --key file:key 2>&1)
check "and has changed nothing" same kept kept.before
check "cryptsetup finishes it" cs reencrypt --resume-only --force-offline-reencrypt --key-file key kept
check "Hull reads it then" "$hull" volume export kept kept.out --key file:key
check "the same bytes under the same key" same kept.out plain

# ---- LUKS1: QEMU and nbdkit read and write the same format in user space
secret=(--object secret,id=k,file=words)
by_qemu() { qemu-img convert "${secret[@]}" --image-opts "driver=luks,file.filename=$1,key-secret=k" -O raw "$1.qemu" && same "$1.qemu" plain; }
by_nbdkit() { nbdkit -U - file "$1" --filter=luks passphrase=+words --run 'nbdcopy "$uri" '"$1.nbdkit" && same "$1.nbdkit" plain; }
check "Hull makes a LUKS1 volume" "$hull" volume format one --luks1 --key file:words --size "$size" --random-key
check "Hull fills it" "$hull" volume import plain one --key file:words
check "QEMU reads what Hull wrote" by_qemu one
check "nbdkit reads what Hull wrote" by_nbdkit one
check "cryptsetup opens it too" cs open --test-passphrase one --key-file words
# QEMU measures its key derivation by the CPU's clock, which it finds too coarse now and then.
fill_qemu() { for _ in 1 2 3 4 5 6; do qemu-img convert "${secret[@]}" -f raw -O luks -o key-secret=k,iter-time=500 plain qemu1 && return; done; return 1; }
check "QEMU makes and fills a LUKS1 volume" fill_qemu
check "Hull reads what QEMU wrote" "$hull" volume export qemu1 qemu1.out --key file:words
check "the same bytes from QEMU" same qemu1.out plain
check "Hull makes another LUKS1 volume" "$hull" volume format two --luks1 --key file:words --size "$size" --random-key
check "nbdkit writes into it" nbdkit -U - file two --filter=luks passphrase=+words --run 'nbdcopy plain "$uri"'
check "Hull reads what nbdkit wrote" "$hull" volume export two two.out --key file:words
check "the same bytes from nbdkit" same two.out plain

# ---- a header of its own, and one from a backup
check "Hull makes a volume with a detached header" "$hull" volume format bare --header bare.header --key file:key --size "$size" --random-key
check "the volume holds data only" [ "$(stat -c %s bare)" -eq "$size" ]
check "Hull fills it" "$hull" volume import plain bare --header bare.header --key file:key
check "cryptsetup opens it by its header" cs open --test-passphrase --header bare.header bare --key-file key
check "Hull rotates it" "$hull" volume rotate bare --header bare.header --key file:key
check "Hull reads it" "$hull" volume export bare bare.out --header bare.header --key file:key
check "the same bytes with a detached header" same bare.out plain
check "Hull saves a header" "$hull" volume backup-header turn saved
dd if=/dev/urandom of=turn bs=1M count=1 conv=notrunc status=none
check "without its header a volume does not open" [ "$("$hull" volume open turn --key file:key >/dev/null 2>&1; echo $?)" -eq 2 ]
check "cryptsetup brings Hull's backup back" cs luksHeaderRestore --header-backup-file saved turn
check "and Hull opens it again" "$hull" volume open turn --key file:key
dd if=/dev/urandom of=turn bs=1M count=1 conv=notrunc status=none
check "Hull brings it back itself" "$hull" volume restore-header turn saved
check "and cryptsetup opens it" cs open --test-passphrase turn --key-file key

# ---- over NBD
serve() {	# VOLUME OPTION…
	"$hull" volume open "$1" --key file:key --nbd sock "${@:2}" >served 2>&1 &
	server=$!
	for _ in $(seq 200); do [ -S sock ] && return; kill -0 $server 2>/dev/null || return 1; read -rt 0.05 <> <(:); done
	return 1
}
stop() { kill -INT "$server"; wait "$server"; local status=$?; server=; return $status; }
check "the plaintext is served over NBD" serve turn
check "to its owner alone" [ "$(stat -c %a sock)" = 600 ]
check "an NBD client reads it" nbdcopy "nbd+unix:///?socket=$tmp/sock" turn.nbd
check "the same bytes over NBD" same turn.nbd plain
check "nobody opens it twice" grep -q 'in use by another process' <("$hull" volume export turn turn.twice --key file:key 2>&1)
head -c "$size" /dev/urandom >fresh
check "an NBD client writes it" nbdcopy --flush fresh "nbd+unix:///?socket=$tmp/sock"
check "an interrupt ends it" stop
check "its socket is gone" [ ! -e sock ]
rm -f turn.out
check "Hull reads what came over NBD" "$hull" volume export turn turn.out --key file:key
check "the same bytes came over NBD" same turn.out fresh
refused=$("$hull" volume open turn --key file:words --nbd sock 2>&1)
check "a wrong key is not served" grep -q 'turn: the key opens none of its' <<<"$refused"
check "and leaves no socket" [ ! -e sock ]
check "it is served read-only" serve turn --read-only
check "which the client is told" grep -q 'is_read_only: true' <(nbdinfo "nbd+unix:///?socket=$tmp/sock")
check "and ends" stop
exit $failed
