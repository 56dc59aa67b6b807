# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: Apache-2.0
# Hull's programs in the networks of topology.sh, which is sourced before this: an authority, hull-lma, identities, and what gateways read
# of servers. Everything is in $net_dir; programs' logs are $net_dir/NAME.log.
#
#   hull_authority                       a key store with an authority
#   hull_lma NS ADDRESS [PORT]           hull-lma there; sets $hull_lma_address
#   hull_identity ROLE NAME              enrols: a folder, whose path $hull_identity is then; the command runs beside hull-lma
#   hull_server NAME NIC MAC SEGMENT [KEY=VALUE…]   $net_dir/NAME.dtb and $net_dir/NAME.placement with nic.NIC.KEY = VALUE
#   hull_start NS NAME COMMAND…          a program: its output in NAME.log, its process in ${hull_pids[NAME]}
#   hull_stop NAME [SIGNAL]              ends it and waits; its exit status
#   hull_said NAME WORDS                 stands that in its log?
#   hull_pki WORD ARGUMENT…              hull pki WORD STORE ARGUMENT…

hull=$O/bin/hull
hull_unlock=()
declare -A hull_pids=()

hull_authority() {
	hull_store=$net_dir/store
	hull_unlock=(--unlock "keyfile:$net_dir/root")
	(umask 077; head -c 32 /dev/urandom >"$net_dir/root")
	"$hull" keys init "$hull_store" "${hull_unlock[@]}" && "$hull" pki init "$hull_store" "${hull_unlock[@]}" >/dev/null
}
hull_pki() {
	local word=$1

	shift
	"$hull" pki "$word" "$hull_store" "$@" "${hull_unlock[@]}"
}
hull_start() {
	local n=$1 name=$2

	shift 2
	ns_exec "$n" "$@" >>"$net_dir/$name.log" 2>&1 &
	hull_pids[$name]=$!
}
hull_stop() {
	local pid=${hull_pids[$1]:-} status=0

	[ -n "$pid" ] || return 0
	kill "-${2:-TERM}" "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || status=$?
	unset "hull_pids[$1]"
	return $status
}
hull_said() { grep -q -- "$2" "$net_dir/$1.log"; }
hull_lma() {
	hull_lma_space=$1
	hull_lma_address=$2:${3:-7440}
	hull_start "$1" lma "${HULL_LMA:-$O/bin/hull-lma}" --store "$hull_store" "${hull_unlock[@]}" --listen "$hull_lma_address" --audit "$net_dir/audit"
	wait_for 20 hull_said lma 'listening on'
}
hull_identity() {
	hull_identity=$net_dir/$1-$2
	(umask 077; hull_pki token --role "$1" --name "$2" --ttl 15m >"$net_dir/token") &&
		ns "$hull_lma_space" "$hull" pki enrol --lma "$hull_lma_address" --token "file:$net_dir/token" --output "$hull_identity" >/dev/null
}
hull_server() {
	local name=$1 nic=$2 mac=$3 segment=$4 pair

	shift 4
	cat >"$net_dir/$name.dts" <<-END
	/dts-v1/;
	/ {
		compatible = "hull,environment-1";
		hostname = "$name"; uuid = "4c4c4544-0037-4a10-8052-b4c04f4d3137"; firmware = "bios"; clock = "utc";
		cpu {
			sockets = <1>; cores = <1>; threads = <1>; vendor = "AuthenticAMD"; model-name = "Hull test processor";
			family = <15>; model = <6>; stepping = <1>; phys-bits = <40>; max-leaf = <13>; max-ext-leaf = <0x80000008>;
			features = "fpu", "de", "pse", "tsc", "msr", "pae", "cx8", "apic", "sep", "cmov", "fxsr", "sse", "sse2", "lm", "nx", "syscall";
		};
		memory { size = /bits/ 64 <0x10000000>; };
		chipset { model = "q35"; serial0; };
		pci { net@3,0 { compatible = "virtio-net"; label = "$nic"; segment = "$segment"; mac = [ ${mac//:/ } ]; }; };
	};
	END
	"$hull" env compile "$net_dir/$name.dts" "$net_dir/$name.dtb" || return 1
	{
		echo "nic.$nic = l2"
		echo "nic.$nic.segment = $segment"
		for pair in "$@"; do echo "nic.$nic.${pair%%=*} = ${pair#*=}"; done
	} >"$net_dir/$name.placement"
}
