# SPDX-License-Identifier: Apache-2.0
# Completion of hull(1) for bash. Source it, or install it as /usr/share/bash-completion/completions/hull.
_hull_keys_options()
{
	case $1 in
	list\ * | "slot list") echo --json ;;
	"slot add") echo --new ;;
	export\ *) echo --output --yes ;;
	*\ remove) [[ $1 == slot* ]] || echo --yes ;;
	esac
}
_hull_pki_options()
{
	case $1 in
	token) echo --role --name --ttl ;;
	issue) echo --role --name --csr --life --output ;;
	list) echo --json ;;
	crl | ca) echo --output ;;
	enrol) echo --lma --token --output ;;
	renew) echo --lma --dir --if-due ;;
	esac
}
_hull_volume_options()
{
	local key="--key --server --name --unlock"
	case $1 in
	format) echo "$key --size --sector --luks1 --random-key --force" ;;
	info) echo --json ;;
	open) echo "$key --nbd --map --read-only" ;;
	addkey) echo "$key --new-key --random-key" ;;
	rotate) echo "$key --also --drop-others" ;;
	import) echo "$key --verify" ;;
	export) echo "$key --verify --force" ;;
	esac
}
_hull()
{
	local cur=${COMP_WORDS[COMP_CWORD]} words=
	COMPREPLY=()
	case "$COMP_CWORD,${COMP_WORDS[1]-},${COMP_WORDS[2]-}" in
	1,*) words="env fingerprint gateway help join keys pki relay server volume --help --version" ;;
	2,env,*) words="check show diff compile features" ;;
	2,help,*) words="env fingerprint gateway help join keys pki relay server volume" ;;
	2,keys,* | 3,help,keys) words="check export init list rotate-root server slot volume" ;;
	2,pki,* | 3,help,pki) words="allow ca crl deny enrol init issue list renew revoke token" ;;
	2,gateway,* | 3,help,gateway) words="counters reload status" ;;
	2,relay,* | 3,help,relay) words="status" ;;
	2,server,* | 3,help,server) words="disks limit net net-retry power rotate rotate-stop snapshot status volumes" ;;
	3,server,snapshot) words="create drop" ;;
	2,volume,* | 3,help,volume) words="addkey backup-header close export format import info open restore-header rmkey roll-back rotate" ;;
	3,keys,server | 3,keys,volume) words="add remove" ;;
	3,keys,slot) words="add list remove" ;;
	3,help,env) words="check show diff compile features" ;;
	*,join,*) [[ $cur == -* ]] && words="--identity --nic --segment --tap --mac --listen --relay --accept --server --call --ticket \
			--lanes --priority --help" ;;
	*,env,show | *,env,diff) [[ $cur == -* ]] && words="--json --help" ;;
	*,relay,*) [[ $cur == -* ]] && words="--json --help" ;;
	*,env,*) [[ $cur == -* ]] && words="--help" ;;
	*,volume,*) [[ $cur == -* ]] && words="--help --header $(_hull_volume_options "${COMP_WORDS[2]}")" ;;
	*,keys,*)
		case ${COMP_WORDS[COMP_CWORD - 1]} in
		--unlock | --new) words="ask file: fd: keyfile: tpm" ;;
		*) [[ $cur == -* ]] && words="--unlock --help $(_hull_keys_options "${COMP_WORDS[2]} ${COMP_WORDS[3]-}")" ;;
		esac ;;
	*,pki,*)
		case ${COMP_WORDS[COMP_CWORD - 1]} in
		--unlock) words="ask file: fd: keyfile: tpm" ;;
		--role) words="lma lcg csc hv" ;;
		--token) words="file: fd: ask" ;;
		*) [[ $cur == -* ]] && words="--unlock --help $(_hull_pki_options "${COMP_WORDS[2]}")" ;;
		esac ;;
	esac
	if [[ -n $words ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	elif [[ ${COMP_WORDS[1]} =~ ^(gateway|keys|pki|relay|server|volume)$ ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	elif [[ ${COMP_WORDS[1]} == env && ${COMP_WORDS[2]} != features ]]; then
		mapfile -t COMPREPLY < <(compgen -f -X '!*.dts' -- "$cur"; compgen -f -X '!*.dtb' -- "$cur"; compgen -d -S / -- "$cur")
		compopt -o nospace 2>/dev/null
		[[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} != */ ]] && compopt +o nospace 2>/dev/null
	fi
	return 0
}
complete -o filenames -F _hull hull
