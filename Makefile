# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# make            the module, the recorder, pmdump and the core library, into build/
# make demo       an outage from first error to postmortem, on a private httpd
# make check      every test, with a summary; SHORT=1 leaves the long ones out
# make releases   demo and check on fresh minimal systems of the supported Debian releases; needs root
# make bench      what it costs, with a table
# make torture    a real httpd under load while everything goes wrong, TORTURE_SECONDS long
# make sanitize   the tests under AddressSanitizer, UndefinedBehaviorSanitizer, ThreadSanitizer, valgrind
# make fuzz       what reads foreign bytes, fuzzed for FUZZ_SECONDS each
# make compilers  everything by clang, -O3, LTO, -Og, hardening flags and 32 bit; COMPILERS='clang lto' some
# make help       all targets and variables
#
# EXTRA_CFLAGS='-fsanitize=address' BUILD=build/asan makes a variant beside the usual one.

BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
SHARE_DIR = $(PREFIX)/share/pmcapture
RECORDER_DIR ?= $(PREFIX)/libexec/pmcapture
MAN_DIR ?= $(PREFIX)/share/man
SYSTEMD_DIR ?= /etc/systemd/system
SYSUSERS_DIR ?= $(PREFIX)/lib/sysusers.d
PYTHON  ?= /usr/bin/python3
APXS    ?= $(shell command -v apxs || command -v apxs2)
EXTRA_CFLAGS ?=
WERROR  ?=
JOBS    ?= 4

# What httpd was built with. Only asked once, and only when apxs is there: `make deps` runs without it.
ifneq ($(APXS),)
ifeq ($(origin CC),default)
CC := $(shell $(APXS) -q CC)
endif
HTTPD_CFLAGS := $(shell $(APXS) -q CFLAGS)
HTTPD_CPPFLAGS := $(shell $(APXS) -q CPPFLAGS) $(shell $(APXS) -q EXTRA_CPPFLAGS)
HTTPD_INCLUDE := $(shell $(APXS) -q INCLUDEDIR)
LIBEXECDIR ?= $(shell $(APXS) -q LIBEXECDIR)
SYSCONFDIR ?= $(shell $(APXS) -q SYSCONFDIR)
endif
APR_CFLAGS := $(shell pkg-config --cflags apr-1 apr-util-1 2>/dev/null)
# apr-util's own libraries (LDAP) are its business: pmdump and the module link what httpd loads.
APR_LIBS := $(filter-out -lldap -llber,$(shell pkg-config --libs apr-1 apr-util-1 2>/dev/null))
# OpenSSL is the recorder's alone: the module is loaded into httpd.
RECORDER_LIBS = $(shell pkg-config --libs libmicrohttpd openssl) -lpthread
TEST_LIBS = $(shell pkg-config --libs cmocka jansson) -lpthread -lm

# A warning that only a newer compiler knows must not end its user's build: it is an error in `make check` alone.
WARNINGS := -std=gnu11 -Wall -Wextra $(if $(WERROR),-Werror)
# CPPFLAGS and CFLAGS are the packager's: they come last, and so win. Where off_t has 32 bits httpd's files have 64.
PM_CFLAGS = $(HTTPD_CFLAGS) -O2 -g -fPIC -fno-plt $(WARNINGS) -D_FILE_OFFSET_BITS=64 $(HTTPD_CPPFLAGS) $(APR_CFLAGS) \
            -Iinclude -Imod_pmcapture $(XXH_CFLAGS) $(EXTRA_CFLAGS) $(CPPFLAGS) $(CFLAGS)
# xxhash insists on inlining what it calls by pointer, which GCC's -Og does not know in time; no macro tells of -Og.
XXH_CFLAGS = $(if $(filter -Og,$(lastword $(filter -O%,$(EXTRA_CFLAGS) $(CFLAGS)))),-DXXH_NO_INLINE_HINTS=1)
# What the module is linked with: libtool passes on what it knows.
SO_FLAGS = $(EXTRA_CFLAGS) $(CFLAGS) $(LDFLAGS)

# Which folder may use which: tests/lint-links.
objects_of = $(patsubst mod_pmcapture/%.c,$(BUILD)/%.o,$(foreach folder,$(1),$(wildcard mod_pmcapture/$(folder)/*.c)))
CORE   := $(call objects_of,base region config capture watch story encode recorder)
MODULE := $(call objects_of,module)
TOOLS  := $(call objects_of,tools)
RECORDER := $(call objects_of,pmrecorder)
TESTS  := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
LIB    := $(BUILD)/libpmcore.a
SO     := $(if $(MODULE),$(BUILD)/mod_pmcapture.so)
PMDUMP := $(if $(TOOLS),$(BUILD)/pmdump)
PMRECORDER := $(BUILD)/libexec/pmrecorder

.PHONY: all objects deps unit check bench demo install uninstall lint clean help
.PHONY: sanitize fuzz fuzz-programs torture releases
.DELETE_ON_ERROR:

all: $(LIB) $(SO) $(PMDUMP) $(PMRECORDER)

objects: $(CORE) $(MODULE) $(TOOLS) $(RECORDER)

help:
	@sed -n '3,12s/^# \{0,1\}//p' Makefile
	@echo 'make deps | unit | lint | facts | install | uninstall | clean'
	@echo 'Variables: BUILD PREFIX DESTDIR MAN_DIR SYSTEMD_DIR SYSUSERS_DIR CC APXS PYTHON EXTRA_CFLAGS V=1 JOBS (at a time)'
	@echo '  CFLAGS CPPFLAGS LDFLAGS (after our own)  WERROR=1 (warnings are errors: in make check)'
	@echo '  QUICK=1 BENCH (bench)  TORTURE_SECONDS TORTURE_SEED TORTURE_SERVICE=1 (torture)  FUZZ_SECONDS (fuzz)'
	@echo '  SHORT=1 (check)  RELEASES=SUITE=check|short... MIRROR=URI (releases)'

# ---- compile and link ----

# V=1 shows the commands.
say = $(if $(V),,@echo '  $(1)	$@';)

# All but the module is hidden, so that it cannot meet another module's symbols; of that, its structure alone is
# exported (httpd finds it by name).
$(CORE) $(TOOLS) $(RECORDER): PM_CFLAGS += -fvisibility=hidden
$(MODULE): PM_CFLAGS += -I$(HTTPD_INCLUDE) -DPM_RECORDER_PROGRAM='"$(RECORDER_DIR)/pmrecorder"'

$(CORE) $(MODULE) $(TOOLS) $(RECORDER): $(BUILD)/%.o: mod_pmcapture/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(PM_CFLAGS) -MMD -MP -c -o $@ $<

# The page's style, as a string of C.
$(BUILD)/encode/encode_html.o: $(BUILD)/page_css.h
$(BUILD)/encode/encode_html.o: PM_CFLAGS += -I$(BUILD)
$(BUILD)/page_css.h: mod_pmcapture/encode/page.css
	@mkdir -p $(@D)
	@sed -e 's/[\\"]/\\&/g' -e 's/.*/"&"/' $< >$@

# Where the module looks for the recorder: it is compiled anew when `make install` names another place.
$(BUILD)/module/recorder.o: $(BUILD)/recorder-dir
$(BUILD)/recorder-dir: FORCE
	@mkdir -p $(@D)
	@echo '$(RECORDER_DIR)' | cmp -s - $@ || echo '$(RECORDER_DIR)' >$@

.PHONY: FORCE
FORCE:

$(LIB): $(CORE)
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR)$(AR) rcs $@ $^

$(SO): $(MODULE) $(LIB)
	@test -n '$(APXS)' || { echo 'apxs is missing: run "make deps"' >&2; exit 1; }
	$(call say,APXS)$(APXS) -c -o $(BUILD)/mod_pmcapture.la -Wl,-export-symbols-regex '-Wl,^pmcapture_module$$' \
	    $(patsubst %,'-Wl$(comma)%',$(SO_FLAGS)) $(MODULE) $(LIB) >$(BUILD)/link.log 2>&1 \
	    || { cat $(BUILD)/link.log >&2; exit 1; }
	@ln -sf .libs/mod_pmcapture.so $@

$(BUILD)/pmdump: $(TOOLS) $(LIB)
	$(call say,CC)$(CC) $(PM_CFLAGS) $(LDFLAGS) -o $@ $(TOOLS) $(LIB) -Wl,--as-needed $(APR_LIBS)

$(PMRECORDER): $(RECORDER) $(LIB)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(PM_CFLAGS) $(LDFLAGS) -o $@ $(RECORDER) $(LIB) -Wl,--as-needed $(APR_LIBS) $(RECORDER_LIBS)

comma := ,

# ---- tests ----

# cmocka 2 deprecates macros for ones that cmocka 1 has not.
TEST_CFLAGS = $(PM_CFLAGS) -Wno-deprecated-declarations

# An invariant that does not hold (pm_check.h) ends a test, and what `make sanitize` and `make fuzz` build.
CHECK_ENDS := -DPM_CHECK_ENDS

$(BUILD)/unit/check.o: mod_pmcapture/base/check.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(TEST_CFLAGS) $(CHECK_ENDS) -c -o $@ $<

$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/unit/check.o $(LIB) Makefile
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(TEST_CFLAGS) $(LDFLAGS) -MMD -MP -MT $@ -MF $@.d -o $@ $< $(TEST_OBJECTS) $(BUILD)/unit/check.o \
	    $(LIB) $(APR_LIBS) $(TEST_LIBS)

# A look from outside is of the recorder's program, not of the library.
PROBER := $(addprefix $(BUILD)/pmrecorder/,prober_look.o prober_mark.o prober_tls.o)
$(BUILD)/unit/test_look: TEST_OBJECTS = $(PROBER)
$(BUILD)/unit/test_look: TEST_LIBS += $(shell pkg-config --libs openssl)
$(BUILD)/unit/test_look: $(PROBER)

unit: $(TESTS)
	@tests/run-unit $(TESTS)

.PHONY: unit-programs compilers
unit-programs: $(TESTS)

compilers:
	@PM_BUILD=$(BUILD) MAKE='$(MAKE)' JOBS=$(JOBS) CC='$(CC)' tests/run-compilers

# What is missing is installed first; only then can make know httpd's flags, so it starts afresh.
check:
	@$(MAKE) --no-print-directory deps
	@PYTHON=$(PYTHON) PM_BUILD=$(BUILD) MAKE='$(MAKE)' JOBS=$(JOBS) SHORT=$(SHORT) tests/run-check

# The two commands on fresh machines: RELEASES names Debian's suites, and how much of `make check` runs there.
RELEASES ?= bookworm=short trixie=check

releases:
	@BUILD=$(BUILD) tests/releases/run $(RELEASES)

# ---- sanitizers, fuzzing, torture ----

# What a sanitizer finds ends the program. Leaks of httpd's own pools are not looked for.
ASAN_CFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer $(CHECK_ENDS)
THREADED    := test_threads test_ring test_sketch test_heavy

sanitize:
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory all unit BUILD=$(BUILD)/asan EXTRA_CFLAGS='$(ASAN_CFLAGS)'
	@$(MAKE) --no-print-directory threads CC=clang BUILD=$(BUILD)/tsan EXTRA_CFLAGS=-fsanitize=thread
	@BUILD=$(BUILD) $(PYTHON) -m pytest -p no:cacheprovider -q -ra -n $(JOBS) tests/torture

.PHONY: threads
threads: $(THREADED:%=$(BUILD)/unit/%)
	@tests/run-unit $^

# What the tables of facts say, for tests/make-facts: `make facts` writes it into the JSON Schema and the manual.
$(BUILD)/facts: tests/facts.c $(LIB) Makefile
	$(call say,CC)$(CC) $(PM_CFLAGS) -MMD -MP -MT $@ -MF $@.d -o $@ $< $(LIB) -Wl,--as-needed $(APR_LIBS)

.PHONY: facts
facts: $(BUILD)/facts
	tests/make-facts $<

# Each reader of what somebody else may have written, FUZZ_SECONDS long, from the seeds in tests/fuzz/seeds.
FUZZ_SECONDS ?= 60
FUZZ_BUILD   := $(BUILD)/fuzz
FUZZ_CFLAGS  := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined $(CHECK_ENDS)
FUZZ_NAMES   := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

fuzz:
	@$(MAKE) --no-print-directory fuzz-programs CC=clang BUILD=$(FUZZ_BUILD) EXTRA_CFLAGS='$(FUZZ_CFLAGS)'
	@JOBS=$(JOBS) tests/fuzz/run $(FUZZ_SECONDS) $(FUZZ_BUILD)/corpus $(FUZZ_NAMES:%=$(FUZZ_BUILD)/bin/%)

fuzz-programs: $(FUZZ_NAMES:%=$(BUILD)/bin/%)

$(BUILD)/bin/fuzz_%: tests/fuzz/fuzz_%.c $(LIB) Makefile
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(PM_CFLAGS) -fsanitize=fuzzer -MMD -MP -MT $@ -MF $@.d -o $@ $< $(LIB) \
	    $(APR_LIBS)

# Quarter of an hour; QUICK=1 takes some three minutes, BENCH='--only pages polling' a part.
bench: all $(BUILD)/bench/core
	@BUILD='$(BUILD)' $(PYTHON) tests/bench/bench.py $(if $(QUICK),--quick) $(BENCH)

$(BUILD)/bench/core: tests/bench/core.c $(LIB) Makefile
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(PM_CFLAGS) -MMD -MP -MT $@ -MF $@.d -o $@ $< $(LIB) -Wl,--as-needed $(APR_LIBS) -lpthread

# A real httpd under load while everything goes wrong; TORTURE_SEED repeats a run.
TORTURE_SECONDS ?= 300
TORTURE_SEED    ?=

torture:
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) $(PYTHON) tests/torture/torture.py --seconds $(TORTURE_SECONDS) \
	    $(if $(TORTURE_SEED),--seed $(TORTURE_SEED)) $(if $(TORTURE_SERVICE),--service)

demo:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory -s all
	@PM_BUILD=$(BUILD) $(PYTHON) tests/demo/demo.py

# ---- install ----

# Debian reads every mods-enabled/*.load in the order of their names: 00- sorts before the modules
# whose failure to load is to be on record. Elsewhere conf.modules.d is read in that order.
ifneq ($(wildcard /etc/debian_version),)
LOAD_FILE := $(SYSCONFDIR)/mods-available/00-pmcapture.load
CONF_FILE := $(SYSCONFDIR)/mods-available/00-pmcapture.conf
ENABLED   := $(SYSCONFDIR)/mods-enabled/00-pmcapture.load
LOG_DIR   := $${APACHE_LOG_DIR}
UNIT      := apache2
READERS   := SupplementaryGroups=adm
ENABLE    := a2enmod 00-pmcapture
DISABLE   := a2dismod 00-pmcapture
else
CONF_ROOT := $(patsubst %/conf,%,$(SYSCONFDIR))
LOAD_FILE := $(CONF_ROOT)/conf.modules.d/00-pmcapture.conf
CONF_FILE := $(CONF_ROOT)/conf.d/pmcapture.conf
LOG_DIR   := logs
UNIT      := httpd
READERS   := \#SupplementaryGroups=
ENABLE    := nothing: conf.modules.d/ and conf.d/ are read (else Include both files)
endif
DROP_IN := $(SYSTEMD_DIR)/$(UNIT).service.d/pmcapture.conf
# The recorder's own units: of the server, and of further ones (Debian's apache2@NAME).
make_unit = sed -e 's|@RECORDER_DIR@|$(RECORDER_DIR)|' -e 's|@UNIT@|$(UNIT)$(if $(1),@%i)|' \
    -e 's|@LOG_DIR@|/var/log/$(UNIT)$(1)|' -e 's|@READERS@|$(READERS)|' -e 's|@SUFFIX@|$(1)|' \
    conf/pmrecorder.service.in

# A running httpd has the old module mapped: install(1) makes a new file and leaves that one whole.
# Configuration that is there already is its administrator's, and stays.
install: all
	install -d '$(DESTDIR)$(LIBEXECDIR)' '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(MAN_DIR)/man1' \
	    '$(DESTDIR)$(MAN_DIR)/man5' '$(DESTDIR)$(MAN_DIR)/man8' \
	    '$(DESTDIR)$(SHARE_DIR)/pmcapture_lib' '$(DESTDIR)$(SHARE_DIR)/templates' \
	    '$(DESTDIR)$(RECORDER_DIR)' \
	    '$(DESTDIR)$(dir $(LOAD_FILE))' '$(DESTDIR)$(dir $(CONF_FILE))' '$(DESTDIR)$(dir $(DROP_IN))'
	install -m 644 $(BUILD)/.libs/mod_pmcapture.so '$(DESTDIR)$(LIBEXECDIR)'
	install -m 755 $(PMRECORDER) '$(DESTDIR)$(RECORDER_DIR)'
	install -m 755 $(BUILD)/pmdump scripts/pmcapture '$(DESTDIR)$(PREFIX)/bin'
	install -m 644 scripts/pmcapture_lib/*.py '$(DESTDIR)$(SHARE_DIR)/pmcapture_lib'
	install -m 644 scripts/templates/* '$(DESTDIR)$(SHARE_DIR)/templates'
	install -m 644 scripts/pmcapture.v1.schema.json '$(DESTDIR)$(SHARE_DIR)'
	install -m 644 scripts/pmcapture-document.5 '$(DESTDIR)$(MAN_DIR)/man5'
	install -m 644 scripts/pmcapture.1 scripts/pmdump.1 '$(DESTDIR)$(MAN_DIR)/man1'
	install -m 644 scripts/mod_pmcapture.8 scripts/pmrecorder.8 '$(DESTDIR)$(MAN_DIR)/man8'
	test -e '$(DESTDIR)$(LOAD_FILE)' || sed -e 's|@LIBEXECDIR@|$(LIBEXECDIR)|' \
	    -e 's|@LOG_DIR@|$(LOG_DIR)|' conf/pmcapture.load.in >'$(DESTDIR)$(LOAD_FILE)'
	test -e '$(DESTDIR)$(CONF_FILE)' || install -m 644 conf/pmcapture.conf '$(DESTDIR)$(CONF_FILE)'
	test -e '$(DESTDIR)$(DROP_IN)' || sed -e 's|@BINDIR@|$(PREFIX)/bin|' \
	    -e 's|@LOG_DIR@|/var/log/$(UNIT)|' conf/pmcapture-service.conf.in >'$(DESTDIR)$(DROP_IN)'
	$(call make_unit) >'$(DESTDIR)$(SYSTEMD_DIR)/pmrecorder.service'
	$(call make_unit,-%i) >'$(DESTDIR)$(SYSTEMD_DIR)/pmrecorder@.service'
	install -D -m 644 conf/pmcapture.sysusers '$(DESTDIR)$(SYSUSERS_DIR)/pmcapture.conf'
	@echo 'To enable it: $(ENABLE); then systemctl daemon-reload, and restart httpd.'

# With its LoadModule line still in force, httpd could not even reload.
uninstall:
ifdef ENABLED
	@if test -h '$(DESTDIR)$(ENABLED)'; then \
	    echo 'uninstall: first "$(DISABLE)" and reload httpd' >&2; exit 1; fi
endif
	rm -f '$(DESTDIR)$(LOAD_FILE)' '$(DESTDIR)$(CONF_FILE)' '$(DESTDIR)$(DROP_IN)' \
	    '$(DESTDIR)$(SYSTEMD_DIR)/pmrecorder.service' '$(DESTDIR)$(SYSTEMD_DIR)/pmrecorder@.service' \
	    '$(DESTDIR)$(SYSUSERS_DIR)/pmcapture.conf'
	rm -f '$(DESTDIR)$(LIBEXECDIR)/mod_pmcapture.so' '$(DESTDIR)$(PREFIX)/bin/pmdump' \
	    '$(DESTDIR)$(PREFIX)/bin/pmcapture' '$(DESTDIR)$(MAN_DIR)/man1/pmcapture.1' \
	    '$(DESTDIR)$(MAN_DIR)/man1/pmdump.1' '$(DESTDIR)$(MAN_DIR)/man8/mod_pmcapture.8' \
	    '$(DESTDIR)$(MAN_DIR)/man8/pmrecorder.8' '$(DESTDIR)$(MAN_DIR)/man5/pmcapture-document.5'
	rm -rf '$(DESTDIR)$(SHARE_DIR)' '$(DESTDIR)$(RECORDER_DIR)'

# The headers' structures and their comments are laid out by hand; of the rest clang-format decides.
lint:
	@if grep -rnE 'include *[<"]xxhash' --include='*.[ch]' --exclude=pm_hash.h include mod_pmcapture tests; then \
	    echo 'lint: include pm_hash.h instead' >&2; exit 1; fi
	clang-format --dry-run -Werror $(wildcard mod_pmcapture/*/*.[ch] tests/unit/*.[ch] tests/fuzz/*.[ch])
	@$(MAKE) --no-print-directory -s objects
	cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr --enable=warning,portability \
	    --suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches --library=tests/cppcheck-apr.cfg \
	    -Iinclude -Imod_pmcapture -I$(BUILD) mod_pmcapture
	flake8 --max-line-length=120 scripts/pmcapture scripts tests tests/lint-names tests/lint-links tests/make-facts
	tests/lint-names
	tests/lint-links $(BUILD)
	@$(MAKE) --no-print-directory -s $(BUILD)/facts
	tests/make-facts --check $(BUILD)/facts
	@$(MAKE) --no-print-directory -s lint-units
	for page in $(wildcard scripts/*.[1-8]); do mandoc -T lint -W warning $$page || exit 1; done

# Units as they are installed, but for where the program is: it has to be there. The sandbox is to stay a tight one
# (systemd's exposure, of 100).
.PHONY: lint-units
lint-units: RECORDER_DIR = $(abspath $(BUILD)/libexec)
lint-units: $(PMRECORDER)
	@mkdir -p $(BUILD)/units
	$(call make_unit) >$(BUILD)/units/pmrecorder.service
	$(call make_unit,-%i) >$(BUILD)/units/pmrecorder@.service
	systemd-analyze verify --man=no $(BUILD)/units/pmrecorder.service
	systemd-analyze verify --man=no $(BUILD)/units/pmrecorder@one.service
	systemd-analyze security --no-pager --offline=yes --threshold=15 $(BUILD)/units/pmrecorder.service >/dev/null
	systemd-sysusers --dry-run $(abspath conf/pmcapture.sysusers) >/dev/null 2>&1

# ---- what is needed to build and test, as Debian calls it ----

PACKAGES := make gcc libc6-dev pkg-config apache2-bin apache2-dev libapr1-dev libaprutil1-dev \
            libxxhash-dev libmicrohttpd-dev libssl-dev libcmocka-dev libjansson-dev clang python3 python3-jinja2 python3-pytest \
            python3-pytest-xdist python3-hypothesis python3-jsonschema python3-prometheus-client \
            python3-h2 tzdata openssl strace prometheus clang-format cppcheck flake8 mandoc valgrind wrk \
            libfaketime libclang-rt-dev e2fsprogs dpkg-dev apache2 systemd libapache2-mod-security2 \
            libapache2-mod-perl2 libapache2-mod-php libapache2-mod-wsgi-py3 libapache2-mpm-itk \
            libapache2-mod-jk

deps:
	@tests/need-packages $(PACKAGES)

clean:
	rm -rf build

-include $(CORE:.o=.d) $(MODULE:.o=.d) $(TOOLS:.o=.d) $(RECORDER:.o=.d) $(TESTS:=.d) $(FUZZ_NAMES:%=$(BUILD)/bin/%.d) $(BUILD)/bench/core.d $(BUILD)/facts.d
