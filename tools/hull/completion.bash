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
_hull()
{
	local cur=${COMP_WORDS[COMP_CWORD]} words=
	COMPREPLY=()
	case "$COMP_CWORD,${COMP_WORDS[1]-},${COMP_WORDS[2]-}" in
	1,*) words="env fingerprint help keys --help --version" ;;
	2,env,*) words="check show diff compile features" ;;
	2,help,*) words="env fingerprint help keys" ;;
	2,keys,* | 3,help,keys) words="check export init list rotate-root server slot volume" ;;
	3,keys,server | 3,keys,volume) words="add remove" ;;
	3,keys,slot) words="add list remove" ;;
	3,help,env) words="check show diff compile features" ;;
	*,env,show | *,env,diff) [[ $cur == -* ]] && words="--json --help" ;;
	*,env,*) [[ $cur == -* ]] && words="--help" ;;
	*,keys,*)
		case ${COMP_WORDS[COMP_CWORD - 1]} in
		--unlock | --new) words="ask file: fd: keyfile: tpm" ;;
		*) [[ $cur == -* ]] && words="--unlock --help $(_hull_keys_options "${COMP_WORDS[2]} ${COMP_WORDS[3]-}")" ;;
		esac ;;
	esac
	if [[ -n $words ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	elif [[ ${COMP_WORDS[1]} == keys ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	elif [[ ${COMP_WORDS[1]} == env && ${COMP_WORDS[2]} != features ]]; then
		mapfile -t COMPREPLY < <(compgen -f -X '!*.dts' -- "$cur"; compgen -f -X '!*.dtb' -- "$cur"; compgen -d -S / -- "$cur")
		compopt -o nospace 2>/dev/null
		[[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} != */ ]] && compopt +o nospace 2>/dev/null
	fi
	return 0
}
complete -o filenames -F _hull hull
