# SPDX-License-Identifier: Apache-2.0
# Completion of hull(1) for bash. Source it, or install it as /usr/share/bash-completion/completions/hull.
_hull()
{
	local cur=${COMP_WORDS[COMP_CWORD]} words=
	COMPREPLY=()
	case "$COMP_CWORD,${COMP_WORDS[1]-},${COMP_WORDS[2]-}" in
	1,*) words="env fingerprint help --help --version" ;;
	2,env,*) words="check show diff compile features" ;;
	2,help,*) words="env fingerprint help" ;;
	3,help,env) words="check show diff compile features" ;;
	*,env,show | *,env,diff) [[ $cur == -* ]] && words="--json --help" ;;
	*,env,*) [[ $cur == -* ]] && words="--help" ;;
	esac
	if [[ -n $words ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	elif [[ ${COMP_WORDS[1]} == env && ${COMP_WORDS[2]} != features ]]; then
		mapfile -t COMPREPLY < <(compgen -f -X '!*.dts' -- "$cur"; compgen -f -X '!*.dtb' -- "$cur"; compgen -d -S / -- "$cur")
		compopt -o nospace 2>/dev/null
		[[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} != */ ]] && compopt +o nospace 2>/dev/null
	fi
	return 0
}
complete -o filenames -F _hull hull
