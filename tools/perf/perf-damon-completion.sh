# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# bash completion of `perf damon …`, on top of perf's own, which does all the rest.
#
# In perf's tree it is installed beside perf's own; elsewhere it is loaded in the place of that.
# What can be completed perf damon itself tells: --list-cmds, --list-opts, --list-values=OPTION.

for _perf_damon_file in "${BASH_SOURCE[0]%/*}/perf" \
	/usr/share/bash-completion/completions/perf /etc/bash_completion.d/perf; do
	if declare -F _perf >/dev/null; then
		break
	fi
	if [[ -r $_perf_damon_file && ! $_perf_damon_file -ef ${BASH_SOURCE[0]} ]]; then
		# shellcheck source=/dev/null
		source "$_perf_damon_file"
	fi
done
unset _perf_damon_file

_perf_damon() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local perf=${COMP_WORDS[0]} words=""

	if [[ $COMP_CWORD -gt 1 && ${COMP_WORDS[1]} == damon ]]; then
		COMPREPLY=()
		perf=${perf/#\~\//$HOME/}
		# --option=value is three words to the shell.
		if [[ $word == "=" ]]; then
			word=""
		elif [[ $before == "=" ]]; then
			before=${COMP_WORDS[COMP_CWORD - 2]}
		fi
		if [[ $COMP_CWORD -eq 2 && $word == -* ]]; then
			words=$("$perf" damon --list-opts 2>/dev/null)
		elif [[ $COMP_CWORD -eq 2 ]]; then
			words=$("$perf" damon --list-cmds 2>/dev/null)
		elif [[ $word == -* ]]; then
			words=$("$perf" damon "${COMP_WORDS[2]}" --list-opts 2>/dev/null)
		elif [[ $before == -* ]]; then
			words=$("$perf" damon "${COMP_WORDS[2]}" --list-values="$before" 2>/dev/null)
			if [[ -n $words && $before == --schemes ]]; then
				mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word"; compgen -f -- "$word")
				return
			fi
		else
			words=$("$perf" damon "${COMP_WORDS[2]}" --list-cmds 2>/dev/null)
		fi
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
		return
	fi
	if declare -F _perf >/dev/null; then
		_perf "$@"
	fi
	if [[ $COMP_CWORD -eq 1 && damon == "$word"* && " ${COMPREPLY[*]} " != *" damon "* ]]; then
		COMPREPLY+=(damon)
	fi
}

complete -o bashdefault -o default -F _perf_damon perf
