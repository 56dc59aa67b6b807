#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What `hull volume` says to keys, files, headers and media that are not right: message, exit status, and that nothing has changed.
# Usage: tests/system/volume-bad.sh [O]     prints one line a check; exit status 1 when one failed
set -uo pipefail
O=$(realpath -m "${1:-build}")
hull=$O/bin/hull
[ -x "$hull" ] || { echo "FAIL volume-bad: $hull is not built"; exit 1; }
export LC_ALL=C
tmp=$(mktemp -d)
holder=
finish() { [ -z "$holder" ] || kill "$holder" 2>/dev/null; wait; mountpoint -q "$tmp/small" && umount "$tmp/small"; rm -rf "$tmp"; }
trap finish EXIT
cd "$tmp" || exit 2
failed=0

check() {	# SENTENCE COMMAND…
	local what=$1
	shift
	if "$@" >why 2>&1; then echo "PASS $what"; else echo "FAIL $what: $(head -n 1 why)"; head -n 5 why | sed 's/^/    /'; failed=1; fi
}
# The command ends with status 2, says this and nothing else, and leaves the volume as it was.
refuses() {	# VOLUME MESSAGE ARGUMENT…
	local volume=$1 message=$2 status=0 before after
	shift 2
	before=$([ -f "$volume" ] && sha256sum <"$volume")
	timeout 60 "$hull" volume "$@" >out 2>&1 </dev/null || status=$?
	after=$([ -f "$volume" ] && sha256sum <"$volume")
	[ $status -eq 2 ] || { echo "status $status: $(head -n 1 out)"; return 1; }
	[ "$(cat out)" = "hull: $message" ] || { cat out; echo "expected: hull: $message"; return 1; }
	[ "$before" = "$after" ] || { echo "$volume has changed"; return 1; }
}
head -c 32 /dev/urandom >key
head -c 32 /dev/urandom >wrong
"$hull" volume format good --key file:key --size 8M --random-key || exit 1
fresh() { rm -f v; cp --reflink=auto good v; }

# ---- keys
fresh
check "a wrong key" refuses v "v: the key opens none of its 1 key slots: it is not the right one" open v --key file:wrong
check "a wrong key, export" refuses v "v: the key opens none of its 1 key slots: it is not the right one" export v x --key file:wrong
check "no target is made for a wrong key" [ ! -e x ]
check "a wrong key, rotate" refuses v "v: the key opens none of its 1 key slots: it is not the right one" rotate v --key file:wrong
check "a key file that is not there" refuses v "nokey: cannot open: No such file or directory" open v --key file:nokey
check "an empty key" refuses v "file:/dev/null: is empty" open v --key file:/dev/null
check "a source that is none" refuses v '"secret…" is no key source: file:PATH, fd:N, ask, store:PATH or lma' open v --key secret-key-itself
check "no key" refuses v "volume open: needs a --key" open v
check "a store without names" refuses v "store:s: a key store needs --server and --name" open v --key store:s
check "the last key stays" refuses v "v: key slot 0 is the last one: without it nobody could open the volume again" rmkey v 0
check "a slot that is not there" refuses v "v: has no key slot 5" rmkey v 5
check "a slot that is no number" refuses v "volume rmkey: \"x\" is no key slot; \`hull volume info\` lists them" rmkey v x

# ---- what is no volume
truncate -s 8M zeroes
head -c 8M /dev/urandom >random
truncate -s 20M ext && mkfs.ext4 -q ext
: >empty
mkdir folder
mkfifo fifo
for v in zeroes random ext empty; do
	check "open: $v" refuses $v "$v: is no LUKS volume: no header at its beginning" open $v --key file:key
done
check "open: a folder" refuses folder "folder: is a directory; a volume is a file or a block device" open folder --key file:key
check "open: a FIFO" refuses fifo "fifo: is neither a file nor a block device" open fifo --key file:key
check "open: nothing" refuses nothing "nothing: No such file or directory" open nothing --key file:key
check "format: over a file system" refuses ext "ext: holds an ext file system; format with --force if it may be lost" format ext --key file:key
check "format: over a volume" refuses v "v: holds a LUKS volume; format with --force if it may be lost" format v --key file:key
check "format: over data" refuses random "random: holds data; format with --force if it may be lost" format random --key file:key
check "format: into a folder" refuses folder "folder: is a directory; a volume is a file or a block device" format folder --key file:key
check "format: a file too small" refuses zeroes "zeroes: has 8388608 bytes; the header takes the first 16777216: give a --size" format zeroes --key file:key
check "format: a size that is none" refuses none "volume format: --size 8x: is no size; a number of bytes, with K, M, G or T" format none --key file:key --size 8x
check "format: a sector that is none" refuses none "none: sectors have 512, 1024, 2048 or 4096 bytes" format none --key file:key --size 8M --sector 700
check "a refused format leaves no file" [ ! -e none ]
check "an option that is none" [ "$("$hull" volume open v --key file:key --size 1 2>&1 | head -n 1)" = "hull: volume open: unknown option --size" ]

# ---- damage
spoil() { dd if=/dev/urandom of="$1" bs=512 seek="$2" count="$3" conv=notrunc status=none; }
fresh; spoil v 0 32
check "damaged first copy: info says so" grep -qx 'header *the first copy is damaged; the second one is in use' <("$hull" volume info v)
check "damaged first copy: opens" "$hull" volume open v --key file:key
fresh; spoil v 40 1
check "damaged second copy: info says so" grep -qx 'header *the second copy is damaged' <("$hull" volume info v)
check "damaged second copy: opens" "$hull" volume open v --key file:key
fresh; spoil v 9 1; spoil v 41 1
both="v: the LUKS header is damaged and so is its second copy: bring back a backup with \`hull volume restore-header\`"
check "both copies damaged" refuses v "$both" open v --key file:key
check "both copies damaged: info" refuses v "$both" info v
check "both copies damaged: rotate" refuses v "$both" rotate v --key file:key
fresh; spoil v 64 512
check "a damaged key slot" refuses v "v: the key opens none of its 1 key slots: it is not the right one" open v --key file:key
fresh; truncate -s 30000 v
check "cut off inside the second copy" refuses v "v: the LUKS header cannot be used: Device v is too small. Need at least 16777216 bytes" open v --key file:key
fresh; truncate -s 16M v
check "cut off at its data" refuses v "v: is cut off: its header speaks of 16781312 bytes, and it has 16777216" open v --key file:key
fresh
"$hull" volume backup-header v saved
check "a backup that is there already" refuses saved "saved: is there already" backup-header v saved
"$hull" volume format other --key file:key --size 1M --random-key
uuid() { "$hull" volume info --json "$1" | jq -r .uuid; }
check "another volume's backup" refuses other "saved: is the header of another volume (UUID $(uuid v); this is $(uuid other))" restore-header other saved
check "a backup that is none" refuses v "random: is no backup of a LUKS header, or damaged" restore-header v random

# ---- hostile headers: JSON changed, checksums right
rewrite() {	# VOLUME SED-SCRIPT
	local at
	for at in 0 16384; do
		dd if="$1" of=binary bs=4096 skip=$((at / 4096)) count=1 status=none
		dd if="$1" bs=4096 skip=$((at / 4096 + 1)) count=3 status=none | tr -d '\0' | sed "$2" >json
		truncate -s 12288 json
		dd if=/dev/zero of=binary bs=1 seek=448 count=64 conv=notrunc status=none
		cat binary json | sha256sum | cut -c1-64 | xxd -r -p | dd of=binary bs=1 seek=448 conv=notrunc status=none
		cat binary json | dd of="$1" bs=4096 seek=$((at / 4096)) conv=notrunc status=none
	done
}
hostile() {	# SENTENCE MESSAGE SED-SCRIPT
	fresh
	rewrite v "$3"
	check "$1" refuses v "$2" open v --key file:key
}
nonsense="v: the LUKS header is not valid, though its checksum is right: no LUKS program wrote it"
fresh; rewrite v ''
check "a header that was only copied still opens" "$hull" volume open v --key file:key
hostile "a cipher that is not served" "v: is encrypted with aes-cbc-essiv:sha256; Hull serves aes-xts-plain64" 's/"encryption":"aes-xts-plain64","sector/"encryption":"aes-cbc-essiv:sha256","sector/'
hostile "Argon2id that wants 2 TiB" "v: the key opens none of 0 key slots; 1 more ask for more memory or time than is allowed" 's/"memory":32/"memory":2147483647/'
hostile "Argon2id that takes years" "v: the key opens none of 0 key slots; 1 more ask for more memory or time than is allowed" 's/"time":4,"memory":32/"time":2147483647,"memory":4000000/'
hostile "a digest that takes hours" "v: its volume key's digest asks for more time than is allowed: no LUKS program wrote that" 's/"iterations":1000/"iterations":4294967295/'
hostile "data beyond the volume" "v: is cut off: its header speaks of 100000000003584 bytes, and it has 25165824" 's/"offset":"16777216"/"offset":"99999999999488"/'
hostile "sectors of 3 bytes" "$nonsense" 's/"sector_size":4096/"sector_size":3/'
hostile "a feature nobody knows" 'v: needs a feature that is not known here: "surprise"' 's/"keyslots_size":/"requirements":{"mandatory":["surprise"]},"keyslots_size":/'
hostile "no digest" "$nonsense" 's/"digests":{.*},"config"/"digests":{},"config"/'
hostile "no JSON" "$nonsense" 's/.*/{{{{{{/'
hostile "deep JSON" "$nonsense" "s/.*/$(printf '[%.0s' $(seq 4000))/"
"$hull" volume format one --luks1 --key file:key --size 8M --random-key
printf '\377\377\377\377' | dd of=one bs=1 seek=164 conv=notrunc status=none
check "a LUKS1 digest that takes hours" refuses one "one: its volume key's digest asks for more time than is allowed: no LUKS program wrote that" open one --key file:key
# QEMU measures its key derivation by the CPU's clock, which it finds too coarse now and then.
printf words >words
make_essiv() { qemu-img create -q --object secret,id=k,file=words -f luks -o key-secret=k,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256,iter-time=500 essiv 4M; }
for _ in 1 2 3 4 5 6; do make_essiv 2>/dev/null && break; rm -f essiv; done
if [ -e essiv ]; then
	check "LUKS1 with a cipher that is not served" refuses essiv "essiv: is encrypted with aes-cbc-essiv:sha256; Hull serves aes-xts-plain64" open essiv --key file:key
else
	echo "SKIP LUKS1 with a cipher that is not served: qemu-img cannot make one here"
fi

# ---- in use
fresh
exec {lock}<>v
flock -n $lock
for command in "rotate v --key file:key" "export v x --key file:key" "addkey v --key file:key --new-key file:wrong" "rmkey v 0" "format v --key file:key --force"; do
	check "in use: ${command%% *}" refuses v "v: disk is in use by another process (locked); stop it first" $command
done
exec {lock}>&-

# ---- room
head -c 9M /dev/urandom >large
fresh
check "a source that is too large" refuses v "v: has room for 8388608 bytes; large has 9437184" import large v --key file:key
check "a source that is no disk" refuses v "key: has 32 bytes, which is no disk's size" import key v --key file:key
check "a target that is there" refuses key "key: is there already; --force writes over it" export v key --key file:key
if mkdir small && mount -t tmpfs -o size=20M none small 2>/dev/null; then
	head -c 8M /dev/urandom >data
	"$hull" volume format small/v --key file:key --size 8M --random-key
	check "a full medium: import" grep -qE "^hull: small/v: writing at byte [0-9]+: No space left on device$" <("$hull" volume import data small/v --key file:key 2>&1)
	check "which info shows as unfinished" grep -q '^import *unfinished' <("$hull" volume info small/v)
	check "and open refuses" refuses small/v "small/v: holds an unfinished import (0 of 8388608 bytes): run the import again" open small/v --key file:key
	mount -o remount,size=40M small
	check "with more room the import ends" "$hull" volume import data small/v --key file:key --verify
	check "and the volume opens" "$hull" volume open small/v --key file:key
	rm small/v
	head -c 30M /dev/urandom >small/fill
	check "a full medium: format" refuses small/w "small/w: no room for a header of 16 MiB: No space left on device" format small/w --key file:key --size 8M
	check "which leaves no file" [ ! -e small/w ]
else
	echo "SKIP a full medium: no tmpfs can be mounted here"
fi

# ---- the kernel's way
if { : <>/dev/mapper/control; } 2>/dev/null; then
	echo "SKIP no device mapper: this kernel has one"
else
	check "no device mapper" refuses v "this kernel has no device mapper (/dev/mapper/control): serve the volume with --nbd instead" open v --key file:key --map x
	check "no device mapper: close" refuses v "this kernel has no device mapper (/dev/mapper/control): serve the volume with --nbd instead" close x
fi
check "the agent is not for hands" refuses v "volume agent: is started by hull-hv, not by hand" agent
exit $failed
