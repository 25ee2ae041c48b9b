# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# bash completion of `perf damon …`, on top of perf's own: it is loaded in perf's place, and asks
# perf's for all the rest.

for _perf_damon_file in /usr/share/bash-completion/completions/perf /etc/bash_completion.d/perf; do
	if [[ -r $_perf_damon_file && ! $_perf_damon_file -ef ${BASH_SOURCE[0]} ]]; then
		# shellcheck source=/dev/null
		source "$_perf_damon_file"
		break
	fi
done
unset _perf_damon_file

_perf_damon() {
	local word=${COMP_WORDS[COMP_CWORD]} words

	if [[ $COMP_CWORD -gt 1 && ${COMP_WORDS[1]} == damon ]]; then
		COMPREPLY=()
		if [[ $COMP_CWORD -eq 2 && $word != -* ]]; then
			words=$(perf damon --list-cmds 2>/dev/null)
		elif [[ $COMP_CWORD -gt 2 && $word == -* ]]; then
			words=$(perf damon "${COMP_WORDS[2]}" --list-opts 2>/dev/null)
		elif [[ $COMP_CWORD -eq 3 && ${COMP_WORDS[2]} == report ]]; then
			words="heatmap wss regions schemes applied darc"
		elif [[ $COMP_CWORD -eq 3 && ${COMP_WORDS[2]} == darc ]]; then
			words="status set enable disable"
		elif [[ ${COMP_WORDS[2]} == darc && ${COMP_WORDS[COMP_CWORD - 1]} == --zone ]]; then
			words="all $(ls /sys/kernel/mm/darc/zones 2>/dev/null)"
		elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == --schemes && ${COMP_WORDS[2]} != record ]]; then
			words="ethp lru_sort prcl tiering"
			mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word"; compgen -f -- "$word")
			return
		fi
		mapfile -t COMPREPLY < <(compgen -W "${words-}" -- "$word")
		return
	fi
	if declare -F _perf >/dev/null; then
		_perf "$@"
	fi
	if [[ $COMP_CWORD -eq 1 && damon == "$word"* ]]; then
		COMPREPLY+=(damon)
	fi
}

complete -o bashdefault -o default -F _perf_damon perf
