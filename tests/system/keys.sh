#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The key store from the command line: what it does, what it refuses, how it asks, a TPM (swtpm), the order of syncing, two writers at once.
# Usage: tests/system/keys.sh [O]
set -u
cd "$(dirname "$0")/../.." || exit 2
O=$(realpath "${1:-build}")
hull=$O/bin/hull
work=$(mktemp -d "$O/keys.XXXXXX")
tpm=
trap '[ -z "$tpm" ] || { kill "$tpm" && wait "$tpm"; } 2>/dev/null; umount "$work/full" 2>/dev/null; rm -rf "$work"' EXIT
failed=0
umask 022
s=$work/site.keys
head -c 64 /dev/urandom >"$work/key"
printf 'correct horse' >"$work/pass"
by=(--unlock "keyfile:$work/key")

# allow NAME COMMAND…: works, and says nothing on standard error
allow() {
	local name=$1
	shift
	if "$@" >"$work/out" 2>"$work/err" </dev/null && [ ! -s "$work/err" ]; then
		echo "PASS $name"
	else
		echo "FAIL $name: $(head -n 1 "$work/err")"; failed=1
	fi
}
# refuse NAME PATTERN COMMAND…: status 2 and one line
refuse() {
	local name=$1 pattern=$2 got
	shift 2
	"$@" >"$work/out" 2>"$work/err" </dev/null
	got=$?
	if [ $got -ne 2 ]; then
		echo "FAIL $name: status $got instead of 2: $(head -n 1 "$work/err")"; failed=1
	elif ! head -n 1 "$work/err" | grep -qE "$pattern"; then
		echo "FAIL $name: message is: $(head -n 1 "$work/err")"; failed=1
	else
		echo "PASS $name"
	fi
}
# expect_that NAME COMMAND…
expect_that() {
	local name=$1
	shift
	if "$@"; then echo "PASS $name"; else echo "FAIL $name: $*"; failed=1; fi
}

allow "init" "$hull" keys init "$s" "${by[@]}"
refuse "init replaces nothing" 'site.keys: is there already' "$hull" keys init "$s" "${by[@]}"
expect_that "the file is for its owner alone" [ "$(stat -c %a "$s")" = 600 ]
refuse "a short key file" 'has 13 bytes, it takes at least 32 random ones' "$hull" keys init "$work/x" --unlock "keyfile:$work/pass"
: >"$work/empty"
refuse "an empty passphrase" 'empty: is empty' "$hull" keys init "$work/x" --unlock "file:$work/empty"
refuse "no way at all" '"banana" is no way to unlock a key store: ask, file:PATH, fd:N, keyfile:PATH or tpm' "$hull" keys init "$work/x" --unlock banana
refuse "no terminal" 'there is no terminal to ask for the passphrase on; give it as file:PATH or fd:N' setsid -w "$hull" keys check "$s"
refuse "no TPM" 'there is no TPM at device:/nonexistent' env HULL_TPM_TCTI=device:/nonexistent "$hull" keys init "$work/x" --unlock tpm
refuse "an option with nothing behind it" 'unlock needs a value' "$hull" keys list "$s" --unlock
refuse "an option of another command" 'unknown option --output' "$hull" keys list "$s" --output x
expect_that "nothing came of what was refused" [ ! -e "$work/x" ]
printf short >"$work/short"
"$hull" keys slot add "$s" "${by[@]}" --new "file:$work/short" 2>"$work/err"
expect_that "a short passphrase is warned of" grep -q 'fewer than 8 characters' "$work/err"
allow "slot add" "$hull" keys slot add "$s" "${by[@]}" --new "file:$work/pass"
allow "server add" "$hull" keys server add "$s" web01 "${by[@]}"
allow "volume add, by a passphrase" "$hull" keys volume add "$s" web01 root --unlock "file:$work/pass"
allow "volume add, by a descriptor" bash -c 'exec "$@" 3<"$0"' "$work/pass" "$hull" keys volume add "$s" web01 data --unlock fd:3
refuse "a volume that is there" 'web01/root: is there already' "$hull" keys volume add "$s" web01 root "${by[@]}"
refuse "a server that is not" 'has no server web02' "$hull" keys volume add "$s" web02 root "${by[@]}"
refuse "a name that is none" '"a/b" is no name of a server' "$hull" keys server add "$s" a/b "${by[@]}"
refuse "a wrong passphrase" 'site.keys: the passphrase is wrong' "$hull" keys check "$s" --unlock "file:$work/key"
head -c 64 /dev/urandom >"$work/key2"
refuse "a wrong key file" 'site.keys: the key file is not the right one' "$hull" keys check "$s" --unlock "keyfile:$work/key2"
allow "check" "$hull" keys check "$s" "${by[@]}"
"$hull" keys list "$s" "${by[@]}" --json >"$work/json"
expect_that "list --json" [ "$(jq -r '[.servers[] | .name, .volumes[].name] | join(" ")' "$work/json")" = "web01 data root" ]
expect_that "slot list --json" [ "$("$hull" keys slot list "$s" "${by[@]}" --json | jq -r '[.[].way] | join(" ")')" = "keyfile passphrase passphrase" ]
allow "export" "$hull" keys export "$s" web01 root --output "$work/volume" --yes "${by[@]}"
expect_that "the key is 32 bytes for its owner alone" [ "$(stat -c '%s %a' "$work/volume")" = "32 600" ]
refuse "export replaces nothing" 'volume: File exists' "$hull" keys export "$s" web01 root --output "$work/volume" --yes "${by[@]}"
refuse "export without a terminal or --yes" 'no terminal to ask on: give --yes' setsid -w "$hull" keys export "$s" web01 root --output "$work/v2" "${by[@]}"
truncate -s 32M "$work/luks"
cryptsetup luksFormat --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$work/luks" "$work/volume" &&
	cryptsetup open --test-passphrase --key-file "$work/volume" "$work/luks"
expect_that "cryptsetup takes the exported key" [ $? -eq 0 ]
allow "slot remove" "$hull" keys slot remove "$s" 1 "${by[@]}"
refuse "a removed passphrase" 'the passphrase is wrong' "$hull" keys check "$s" --unlock "file:$work/short"
refuse "a slot that is not there" 'has no slot 9' "$hull" keys slot remove "$s" 9 "${by[@]}"
cp "$s" "$work/before"
allow "rotate-root" "$hull" keys rotate-root "$s" "${by[@]}"
expect_that "it says what it dropped" grep -q '^1 other way to unlock was dropped' "$work/out"
allow "export after that" "$hull" keys export "$s" web01 root --output "$work/v3" --yes "${by[@]}"
expect_that "volumes keep their keys" cmp -s "$work/volume" "$work/v3"
refuse "the last slot" 'the last way to unlock it' "$hull" keys slot remove "$s" 0 "${by[@]}"
allow "server remove" "$hull" keys server remove "$s" web01 --yes "${by[@]}"
refuse "its volumes are gone" 'has no server web01' "$hull" keys export "$s" web01 root --output "$work/v4" --yes "${by[@]}"

# ---- damage
printf '\007' | dd of="$work/before" bs=1 seek=8 conv=notrunc status=none
refuse "a newer version" 'is a key store of version 7; this program knows version 1: use a newer Hull' "$hull" keys check "$work/before" "${by[@]}"
head -c 200 "$s" >"$work/cut"
refuse "a file cut short" 'the key store is damaged: it is cut short' "$hull" keys check "$work/cut" "${by[@]}"
refuse "no key store" 'luks: is no key store' "$hull" keys check "$work/luks" "${by[@]}"
mkfifo "$work/fifo"
refuse "a FIFO" 'fifo: is not a regular file' timeout 20 "$hull" keys check "$work/fifo" "${by[@]}"

# ---- the medium
if mkdir "$work/full" && mount -t tmpfs -o size=16k none "$work/full" 2>/dev/null; then
	"$hull" keys init "$work/full/s" "${by[@]}" && before=$(sha256sum <"$work/full/s")
	head -c 64k /dev/zero >"$work/full/fill" 2>/dev/null
	refuse "a full medium" 's.new: No space left on device|is not changed: No space left on device' "$hull" keys server add "$work/full/s" web01 "${by[@]}"
	expect_that "the store is as it was" [ "$before" = "$(sha256sum <"$work/full/s")" ]
	umount "$work/full"
else
	echo "SKIP a full medium: nothing can be mounted here"
fi
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
	strace -y -e trace=fsync,fdatasync,rename,renameat,renameat2 -o "$work/trace" "$hull" keys server add "$s" order "${by[@]}"
	order=$(sed -nE 's/^(fsync)\([0-9]+<.*\.new>.*= 0$/\1-new/p; s/^(rename).*\.new.*= 0$/\1/p; s/^(fsync)\([0-9]+<[^>]*\/keys\.[^\/>]*>.*= 0$/\1-folder/p' "$work/trace" | tr '\n' ' ')
	expect_that "the new file is synced before it is renamed, its folder after" [ "$order" = "fsync-new rename fsync-folder " ]
else
	echo "SKIP order of syncing: strace does not run here"
fi

# ---- memory: each allocation of a change fails once
"$hull" keys server add "$s" alloc "${by[@]}"
cp "$s" "$work/whole"
if ${CC:-cc} -shared -fPIC -O1 -o "$work/alloc.so" tests/system/alloc-fail.c 2>"$work/err" && ! ldd "$hull" | grep -q 'lib[a-z]*san'; then
	odd='' refused=0 n=0
	while [ $((++n)) -le 300 ]; do
		cp "$work/whole" "$work/alloc"
		LD_PRELOAD=$work/alloc.so ALLOC_FAIL=$n "$hull" keys volume add "$work/alloc" alloc "v$n" "${by[@]}" 2>"$work/err" >&2
		got=$?
		case $got in
		0) ;;
		2) refused=$((refused + 1)); grep -q . "$work/err" || odd="allocation $n: no message"; cmp -s "$work/whole" "$work/alloc" ||
			grep -q 'is changed' "$work/err" || odd="allocation $n: refused and changed" ;;
		*) odd="allocation $n: status $got" ;;
		esac
		"$hull" keys check "$work/alloc" "${by[@]}" >/dev/null 2>&1 || odd="allocation $n: the store does not open"
	done
	expect_that "an allocation that fails ends the change, not the store ($refused refused)" [ -z "$odd" -a $refused -ge 10 ]
	[ -z "$odd" ] || echo "     $odd"
else
	echo "SKIP allocations that fail: not with this build of the programs"
fi

# ---- two writers: no change is lost
for i in 1 2 3 4 5 6 7 8; do "$hull" keys server add "$s" "both$i" "${by[@]}" & done
wait
expect_that "eight writers at once" [ "$("$hull" keys list "$s" "${by[@]}" | grep -c '^server   both')" = 8 ]

# ---- the terminal
ask() { expect -c "set timeout 60; log_user 0; $1" >/dev/null 2>&1; }
export hull s work
ask 'spawn $env(hull) keys slot add $env(s) --unlock keyfile:$env(work)/key
	expect "New passphrase of the key store: " { send "typed secret\r" }; expect "The same again: " { send "typed secret\r" }
	expect eof; exit [lindex [wait] 3]'
expect_that "a passphrase is asked for twice" [ $? -eq 0 ]
ask 'log_user 1; log_file -a -noappend $env(work)/typed; spawn $env(hull) keys check $env(s)
	expect "Passphrase of the key store: " { send "typed secret\r" }; expect eof; exit [lindex [wait] 3]'
expect_that "and once to unlock" [ $? -eq 0 ]
expect_that "it is not shown" [ "$(grep -c 'typed secret' "$work/typed")" = 0 ]
ask 'spawn $env(hull) keys init $env(work)/x; expect ": " { send "one secret\r" }; expect "again: " { send "another\r" }
	expect "the two passphrases are not the same" { expect eof; exit [lindex [wait] 3] }; exit 99'
expect_that "two that differ are refused" [ $? -eq 2 ]
ask 'spawn $env(hull) keys init $env(work)/x; expect ": " { send "\r" }
	expect "the passphrase is empty" { expect eof; exit [lindex [wait] 3] }; exit 99'
expect_that "an empty one is refused" [ $? -eq 2 ]
ask 'spawn sh -c "trap : INT; stty -a >$env(work)/tty1; $env(hull) keys check $env(s); stty -a >$env(work)/tty2; echo over"
	expect "store: " { send "\003" }; expect "over" { exit 0 }; exit 99'
expect_that "an interrupt leaves the terminal as it was" cmp "$work/tty1" "$work/tty2"
ask 'spawn $env(hull) keys server remove $env(s) both1 --unlock keyfile:$env(work)/key
	expect {[y/N]} { send "n\r" }; expect "nothing was done" { expect eof; exit [lindex [wait] 3] }; exit 99'
expect_that "a removal asks" [ $? -eq 2 ]

# ---- a volume's key made by `hull volume format`
from=(--key "store:$s" --server fresh01 --name root "${by[@]}")
refuse "format: a store that does not open makes no volume" 'the key file is not the right one' "$hull" volume format "$work/v" --key "store:$s" \
	--server fresh01 --name root --unlock "keyfile:$work/key2" --size 1M
expect_that "which is so" [ ! -e "$work/v" ]
refuse "format: a name that is none" 'is no name of a volume' "$hull" volume format "$work/v" --key "store:$s" --server fresh01 --name 'a b' "${by[@]}" --size 1M
expect_that "and nothing is left in the store" [ -z "$("$hull" keys list "$s" "${by[@]}" | grep fresh01)" ]
"$hull" volume format "$work/v1" "${from[@]}" --size 1M &
first=$!
allow "format by a store's key that is not there yet" "$hull" volume format "$work/v2" "${from[@]}" --size 1M
wait $first
expect_that "twice at the same moment" [ $? -eq 0 ]
expect_that "one server and one volume were made" [ "$("$hull" keys list "$s" "${by[@]}" | grep -c fresh01)" = 2 ]
allow "the store opens the first" "$hull" volume open "$work/v1" "${from[@]}"
allow "and the second" "$hull" volume open "$work/v2" "${from[@]}"
allow "its key in an emergency" "$hull" keys export "$s" fresh01 root --output "$work/fresh01.key" --yes "${by[@]}"
allow "opens it for cryptsetup" cryptsetup open --test-passphrase "$work/v1" --key-file "$work/fresh01.key"
allow "format again, by the same key" "$hull" volume format "$work/v1" "${from[@]}" --size 1M --force
allow "for cryptsetup too" cryptsetup open --test-passphrase "$work/v1" --key-file "$work/fresh01.key"

# ---- a TPM
port=$((21000 + $$ % 10000 / 2 * 2))
mkdir "$work/tpm"
swtpm socket --tpm2 --tpmstate "dir=$work/tpm" --server "type=tcp,bindaddr=127.0.0.1,port=$port" \
	--ctrl "type=tcp,bindaddr=127.0.0.1,port=$((port + 1))" --flags not-need-init,startup-clear >"$work/tpm.log" 2>&1 &
tpm=$!
export HULL_TPM_TCTI=swtpm:host=127.0.0.1,port=$port
if timeout 20 bash -c 'until : 2>/dev/null <>"/dev/tcp/127.0.0.1/$1"; do kill -0 "$2" 2>/dev/null || exit 1; done' _ $((port + 1)) "$tpm"; then
	allow "slot add, a TPM" "$hull" keys slot add "$s" "${by[@]}" --new tpm
	allow "a TPM unlocks" "$hull" keys check "$s" --unlock tpm
else
	echo "SKIP a TPM: swtpm does not start: $(head -n 1 "$work/tpm.log")"
fi
exit $failed
