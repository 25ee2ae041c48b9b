# SPDX-License-Identifier: GPL-2.0
#
# The verbs of this repository: make help.

PREFIX ?= /usr/local
PYTHON ?= /usr/bin/python3
PERF_EXEC ?= $(shell perf --exec-path 2>/dev/null)
MAN := build/man/perf-damon.1
COMPLETIONS := build/completions/perf-damon
DIST ?= build/dist
DEB ?= build/deb
VENV := build/venv
VENV_SYSTEM := build/venv-system
KERNEL ?= debian
CMD ?= perf damon status
FILES ?= 20000
GUESTS := guest-commands guest-errors guest-schemes guest-truth
# What is tested on the kernel built from kernel/, whatever KERNEL is.
OURS := ours-commands ours-darc ours-kernel ours-perf ours-schemes ours-selftests ours-truth
# Tests of what becomes of memory want none of it in a cache of the host's files.
UNCACHED := darc kernel
# And with KASAN, lockdep and fault injection: those marked stress; with DEBUG_TESTS= all, for an hour.
DEBUG := debug-darc debug-kernel
DEBUG_TESTS ?= -m stress
# What make fuzz-kernel writes: the same again with the SEED that it printed.
WRITES ?= 100000
SEED ?=
# And with multi-generational LRU: by hand, as it takes half an hour.
GENERATIONS := lru-gen-darc lru-gen-kernel
PYTEST_IN_GUEST = $(VENV_SYSTEM)/bin/python -m pytest -p no:cacheprovider --durations=5 $(ARGS)

.PHONY: help setup demo test test-unit unit-newest unit-system test-guest $(GUESTS) $(OURS) $(DEBUG) lint guest bench man install uninstall
.PHONY: fuzz-report fuzz-kernel clean kernel kunit check-kernel patches test-patches test-perf
.PHONY: completions dist deb test-deb deb-kernel

help:
	@echo 'make demo      record and report a real program, in a guest; KERNEL=ours: on our kernel'
	@echo 'make test      all tests: style, units on two Pythons, and a real kernel in a guest'
	@echo 'make guest     KERNEL=$(KERNEL) CMD="$(CMD)": run a command in a guest'
	@echo 'make kernel    KERNEL=ours: build a kernel from source (ours, ours-debug, upstream)'
	@echo 'make kunit     the kernel code under KUnit, in user-mode Linux'
	@echo 'make check-kernel  all warnings of compiler, sparse, kernel-doc and checkpatch'
	@echo 'make debug-kernel  stress tests with KASAN, lockdep and fault injection; DEBUG_TESTS= all tests'
	@echo 'make debug-darc    the same for all tests of DARC'
	@echo 'make fuzz-report  reports of $(FILES) damaged recordings; SEED= ONLY= for one of them again'
	@echo 'make fuzz-kernel   WRITES=$(WRITES) writes of anything to all of its files, on the same kernel; SEED= replays'
	@echo 'make lru-gen-kernel  all tests of the kernel with multi-generational LRU; lru-gen-darc: of DARC'
	@echo 'make test-kernels  perf damon on the kernels and with the perfs that people run; NAMES= of lab/test-kernels -h'
	@echo 'make patches   the code for the kernel and for perf as a series for mail, in build/patches'
	@echo 'make test-perf build perf with perf damon in its tree, install and try it; make ours-perf: in a guest'
	@echo 'make bench     reports: speed and memory; kernel: accuracy, schemes and DARC; three hours, nothing else'
	@echo 'make install   perf damon for this machine: PREFIX=$(PREFIX) (as root)'
	@echo 'make uninstall take it away again'
	@echo 'make dist      an sdist and a wheel, in $(DIST)'
	@echo 'make deb       a Debian package of perf damon, in $(DEB)'
	@echo 'make deb-kernel  our kernel as Debian packages, which takes long; CONFIG=guest: a small one, in minutes'
	@echo 'make test-deb  lintian, and install it in a fresh Debian: use it there, and remove it (as root)'
	@echo 'make clean     remove build/'

setup:
	@lab/setup

demo: setup
	lab/demo

test: setup lint test-unit kunit check-kernel test-patches test-perf test-guest

# The same tests on the newest libraries and on the distribution's own, side by side.
test-unit: setup $(VENV_SYSTEM)/done $(MAN) $(COMPLETIONS)
	+$(MAKE) --no-print-directory -j2 -Otarget unit-newest unit-system

unit-newest:
	$(VENV)/bin/python -m pytest $(ARGS)

unit-system:
	$(VENV_SYSTEM)/bin/python -m pytest -p no:cacheprovider $(ARGS)

# A guest emulates on one core, whatever its number of CPUs: two of them side by side.
test-guest: setup $(VENV_SYSTEM)/done
	lab/workload --list >/dev/null
	lab/package redis-server redis-tools >/dev/null
	lab/kernel ours >/dev/null
	lab/kernel ours-debug >/dev/null
	lab/selftests >/dev/null
	lab/perf ours >/dev/null
	lab/perf ours-bare >/dev/null
	+$(MAKE) --no-print-directory -j2 -Otarget debug-kernel $(OURS) $(GUESTS)

# Each of them can be run by itself.
$(GUESTS) $(OURS) $(DEBUG) $(GENERATIONS): setup $(VENV_SYSTEM)/done

$(GUESTS): guest-%:
	lab/guest --kernel $(KERNEL) --cached --memory 3G --timeout 45m -- \
		env REDIS="$$(lab/package redis-server redis-tools)" $(PYTEST_IN_GUEST) tests/guest/$*

$(OURS): ours-%:
	lab/guest --kernel ours $(if $(filter-out $(UNCACHED),$*),--cached) --nodes 2 --memory 3G --timeout 45m -- \
		env REDIS="$$(lab/package redis-server redis-tools)" $(PERFS) $(PYTEST_IN_GUEST) tests/guest/$*

# perf as the kernel's tree builds it with perf damon in it.
PERFS = PERF_PREFIX="$$(lab/perf ours)" PERF_BARE_PREFIX="$$(lab/perf ours-bare)"
test-perf: setup $(VENV_SYSTEM)/done
	env $(PERFS) $(VENV_SYSTEM)/bin/python -m pytest -p no:cacheprovider $(ARGS) tests/perf

# An hour or two: a guest for each column of the table.
.PHONY: test-kernels
test-kernels: setup $(VENV_SYSTEM)/done
	lab/test-kernels $(NAMES)

fuzz-kernel: setup $(VENV_SYSTEM)/done
	lab/guest --kernel ours-debug --nodes 2 --memory 3G --timeout 6h -- \
		env FUZZ_SEED=$(SEED) FUZZ_WRITES=$(WRITES) $(PYTEST_IN_GUEST) -s tests/guest/kernel/test_fuzz.py

debug-darc: DEBUG_TESTS =
$(DEBUG): debug-%:
	lab/guest --kernel ours-debug --nodes 2 --memory 3G --timeout 90m -- \
		$(PYTEST_IN_GUEST) $(DEBUG_TESTS) tests/guest/$*

.PHONY: $(GENERATIONS)
$(GENERATIONS): lru-gen-%:
	lab/guest --kernel ours-lru-gen --nodes 2 --memory 3G --timeout 60m -- \
		$(PYTEST_IN_GUEST) tests/guest/$*

lint: setup $(MAN)
	$(VENV)/bin/ruff check --quiet
	$(VENV)/bin/ruff format --check --quiet
	shellcheck --severity=warning lab/setup lab/guest-init lab/demo .ci/run tools/install tools/package \
		packaging/debian/prerm \
		tools/perf/perf-damon-completion.sh \
		tools/perf/scripts/python/bin/damon-heatmap-* tools/perf/tests/shell/damon.sh
	man --warnings -E UTF-8 -l -Tutf8 -Z $(MAN) 2>&1 >/dev/null | (! grep .)

# Damaged recordings, 20,000 of them; SEED= and ONLY= show one again.
fuzz-report: setup
	PYTHONPATH=python:tests/unit $(VENV)/bin/python -X faulthandler tests/unit/fuzz_report.py \
		--files $(FILES) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

$(VENV_SYSTEM)/done: lab/requirements.txt lab/packages.txt
	/usr/bin/python3 -m venv --system-site-packages $(VENV_SYSTEM)
	$(VENV_SYSTEM)/bin/python -m pip --quiet --disable-pip-version-check install pytest hypothesis
	touch $@

guest: setup
	lab/guest --kernel $(KERNEL) -- sh -c '$(CMD)'

# Guests run on a stock kernel unless told otherwise; what is built is ours.
kernel: setup
	lab/kernel $(if $(filter file,$(origin KERNEL)),ours,$(KERNEL))

# CONFIG=debian: Debian's own configuration with our options; guest: a small one, in minutes.
CONFIG ?= debian
deb-kernel: setup
	lab/kernel ours --deb $(CONFIG)

kunit: setup
	lab/kernel ours --kunit

check-kernel: setup
	lab/kernel ours --check

patches: setup
	lab/patches --verify

# Whose the patches are does not matter for that.
test-patches: setup
	GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=test \
		GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=test@localhost lab/patches --verify >/dev/null

bench: setup
	lab/bench report
	lab/bench accuracy --scale
	lab/bench schemes
	lab/bench darc

man: $(MAN)

# linkperf: is a macro of perf's own documentation build.
$(MAN): tools/perf/Documentation/perf-damon.txt
	@mkdir -p $(@D)
	@command -v asciidoctor >/dev/null || \
		{ echo 'make: the manual needs asciidoctor: apt install asciidoctor' >&2; exit 1; }
	sed 's/linkperf:\([a-z-]*\)\[\([0-9]\)\]/*\1*(\2)/g' $< | \
		asciidoctor -b manpage -a mansource=perf -a manmanual='perf Manual' -o $@ -

# perf has one of its own by the name perf.
completions: $(COMPLETIONS)

$(COMPLETIONS): tools/perf/perf-damon-completion.sh
	@mkdir -p $(@D)
	cp $< $@

# Debian's own tools build it, which need nothing from the network.
dist: $(MAN) $(COMPLETIONS)
	@PYTHON=$(PYTHON) tools/package dist '$(DIST)'

# DEBFULLNAME and DEBEMAIL: whose package it is.
deb:
	@tools/package deb '$(DEB)'

# By hand: to make the two roots takes four minutes, once; the tests less than one.
test-deb: $(VENV_SYSTEM)/done
	lab/setup deb
	tools/package deb build/deb >/dev/null
	$(VENV_SYSTEM)/bin/python -m pytest -p no:cacheprovider $(ARGS) tests/deb

install uninstall: export PREFIX := $(PREFIX)
install uninstall: export DESTDIR := $(DESTDIR)
install uninstall: export PERF_EXEC := $(PERF_EXEC)
install uninstall: export PYTHON := $(PYTHON)
install uninstall: export MAN := $(MAN)

install: $(MAN)
	@tools/install install

uninstall:
	@tools/install uninstall

clean:
	rm -rf build
