#!/bin/sh
# perf damon record and report (exclusive)
# SPDX-License-Identifier: GPL-2.0

set -e

if ! perf damon --version >/dev/null 2>&1; then
	echo "SKIP: perf-damon is not installed"
	exit 2
fi
build_options=$(perf version --build-options 2>/dev/null)
if echo "$build_options" | grep -q 'libtraceevent: \[ OFF'; then
	echo "SKIP: perf is built without libtraceevent"
	exit 2
fi
if [ "$(id -u)" -ne 0 ] || [ ! -d /sys/kernel/mm/damon/admin/kdamonds ]; then
	echo "SKIP: needs root, and a kernel with CONFIG_DAMON_SYSFS"
	exit 2
fi
# Not while somebody else uses DAMON.
if [ "$(cat /sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds)" -ne 0 ]; then
	echo "SKIP: DAMON is in use"
	exit 2
fi
for enabled in /sys/module/damon_*/parameters/enabled; do
	if [ "$(cat "$enabled" 2>/dev/null)" = Y ]; then
		echo "SKIP: DAMON is in use by the kernel itself ($enabled)"
		exit 2
	fi
done

dir=$(mktemp -d /tmp/perf-damon.XXXXXX)

cleanup() {
	rm -rf "$dir"
	trap - EXIT TERM INT
}

trap_cleanup() {
	cleanup
	exit 1
}
trap cleanup EXIT
trap trap_cleanup TERM INT

err=0

check() {
	if eval "$2"; then
		echo "$1 [Success]"
	else
		echo "$1 [Failed]"
		err=1
	fi
}

record() {
	# dd is ended by SIGTERM at the time limit, and that is its status.
	status=0
	perf damon record --timeout 3s -o "$dir/perf.data" -- \
		dd if=/dev/zero of=/dev/null bs=16M count=10000000 >"$dir/log" 2>&1 || status=$?
	[ "$status" -eq 143 ] && [ -s "$dir/perf.data" ]
}

check "perf damon record of a command" record
check "perf damon report names the process" \
	'perf damon report -i "$dir/perf.data" | grep -q "Target: dd"'
check "perf damon report regions has rows" \
	'[ "$(perf damon report regions -i "$dir/perf.data" | wc -l)" -gt 10 ]'
# Where perf has the script: not every installation puts it into perf's exec path.
if perf script --list | grep -q damon-heatmap; then
	check "perf script report damon-heatmap names the process" \
		'perf script report damon-heatmap -i "$dir/perf.data" | grep -q "Target: dd"'
fi
check "nothing is left running" \
	'[ "$(cat /sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds)" -eq 0 ]'

exit $err
