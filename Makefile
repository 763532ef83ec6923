# SPDX-License-Identifier: GPL-2.0-or-later
# Builds, tests, measures and installs setmov. `make help` lists the targets.

BUILD    ?= build
PREFIX   ?= /usr/local
DESTDIR  ?=
# collectd looks for plugins in one directory only, whatever our PREFIX is.
COLLECTD_PLUGIN_DIR ?= /usr/lib/collectd
# So does libvirt for hooks (and AppArmor lets libvirtd run nothing outside /etc/libvirt/hooks).
LIBVIRT_HOOK_DIR    ?= /etc/libvirt/hooks/qemu.d
# The program that the hook starts lies where libvirt does not take it for a hook.
LIBVIRT_APPLY_DIR    = $(patsubst %/,%,$(dir $(LIBVIRT_HOOK_DIR:/=)))
SYSTEMD_UNIT_DIR    ?= $(PREFIX)/lib/systemd/system
ifeq ($(origin CC),default)
CC       := gcc
endif
CFLAGS   ?= -O2 -g
WERROR   ?=
JOBS     ?= $(shell nproc 2>/dev/null || echo 2)
VERSION  := 0.1.0

# The scripts that the tests start find what was built through this.
export SETMOV_BUILD := $(abspath $(BUILD))

WARNINGS := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
            -Wold-style-definition -Wwrite-strings -Wformat=2 -Wvla -Wundef -Wno-format-nonliteral
CPPFLAGS_ALL = -Iinclude -Isrc -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DSETMOV_VERSION='"$(VERSION)"' $(CPPFLAGS)
CFLAGS_ALL   = -std=gnu11 $(WARNINGS) $(if $(WERROR),-Werror) -fPIC -fvisibility=hidden \
               -ffunction-sections -fdata-sections $(CFLAGS)
LDFLAGS_ALL  = -Wl,--gc-sections -Wl,-z,relro -Wl,-z,now $(LDFLAGS)

# `make deps help` must work before pkg-config is there.
pkg = $(shell pkg-config $(1) $(2) 2>/dev/null)
LIBVIRT_CFLAGS  = $(call pkg,--cflags,libvirt)
XML_CFLAGS      = $(call pkg,--cflags,libxml-2.0)
JSON_CFLAGS     = $(call pkg,--cflags,json-c)
RRD_CFLAGS      = $(call pkg,--cflags,librrd)
NBD_CFLAGS      = $(call pkg,--cflags,libnbd)
ZSTD_CFLAGS     = $(call pkg,--cflags,libzstd)
# collectd's headers shadow names and have unprototyped functions; they are not ours to mend.
COLLECTD_CFLAGS = -DHAVE_CONFIG_H -isystem /usr/include/collectd/core/daemon -isystem /usr/include/collectd
VM_LIBS         = $(call pkg,--libs,libvirt libxml-2.0)
CLI_LIBS        = $(VM_LIBS) $(call pkg,--libs,json-c librrd libnbd libzstd) -lm -lpthread
PLUGIN_LIBS     = $(VM_LIBS) -lm -lpthread
# The hook may not call libvirt, and loads libxml2 itself (hooks/libxml2.h).
HOOK_LIBS       = -Wl,--as-needed -lm -lpthread -ldl
# What the hook starts reads images, and may not call libvirt either.
APPLY_LIBS      = $(call pkg,--libs,libxml-2.0 libnbd libzstd) -lm -lpthread

# ---- packages (Debian 12) ----------------------------------------------------

DEPS_BUILD := gcc make libc6-dev pkg-config libvirt-dev libxml2-dev libjson-c-dev librrd-dev libnbd-dev libzstd-dev collectd-dev
DEPS_RUN   := collectd-core rrdtool rrdcached fonts-dejavu-core libvirt-clients qemu-utils procps
DEPS_TEST  := python3 libcmocka-dev libssl-dev clang clang-tidy clang-format libclang-rt-14-dev cppcheck \
              libvirt-daemon-system qemu-system-x86 qemu-utils iproute2 kmod util-linux tini \
              sysstat iotop-c mandoc shellcheck git
# The others that `make bench` measures beside, and what makes Debian's images.
DEPS_BENCH := rsync zsync casync zstd mmdebstrap
DEPS       := $(DEPS_BUILD) $(DEPS_RUN) $(DEPS_TEST)

# ---- what is built -----------------------------------------------------------

# Stages in the order of docs/architecture.md; the library is all of them but cli.
LIB_STAGES := base config digest host vm usage history image fingerprint similarity catalog placement transfer peers migrate gate
LIB_SRC    := $(foreach s,$(LIB_STAGES),$(sort $(wildcard src/$(s)/*.c)))
CLI_SRC    := $(sort $(wildcard src/cli/*.c))
PLUGIN_SRC := $(sort $(wildcard plugins/*.c))
HOOK_SRC   := hooks/qemu.c hooks/libxml2.c
APPLY_SRC  := hooks/apply.c
UNIT_SRC   := $(sort $(wildcard tests/unit/test_*.c))
FUZZ_SRC   := $(sort $(wildcard tests/fuzz/fuzz_*.c))
BENCH_SRC  := $(sort $(wildcard tests/bench/bench_*.c))
# C helpers that scripts of the tests start (a stub of a daemon, a load generator).
HELPER_SRC := $(sort $(wildcard tests/helpers/*.c))
ALL_C      := $(sort $(wildcard include/setmov/*.h src/*/*.[ch] plugins/*.[ch] hooks/*.[ch] tests/*/*.[ch]))

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIB        := $(BUILD)/libsetmov.a
PLUGIN     := $(BUILD)/plugins/setmov.so
PROGRAM    := $(BUILD)/setmov
HOOK       := $(BUILD)/hooks/setmov
APPLY      := $(BUILD)/hooks/setmov-apply
UNIT_BIN   := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(UNIT_SRC))
FUZZ_BIN   := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))
BENCH_BIN  := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(BENCH_SRC))
HELPER_BIN := $(patsubst tests/helpers/%.c,$(BUILD)/tests/helpers/%,$(HELPER_SRC))

.PHONY: all test-programs
all: $(PROGRAM) $(PLUGIN) $(HOOK) $(APPLY) ## Build the program, the collectd plugin and the libvirt hook with what it starts into build/ (the default).
test-programs: $(UNIT_BIN) $(FUZZ_BIN) $(HELPER_BIN)

.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:

$(BUILD)/obj/src/vm/%.o:      CPPFLAGS_ALL += $(LIBVIRT_CFLAGS) $(XML_CFLAGS)
$(BUILD)/obj/src/history/%.o: CPPFLAGS_ALL += $(RRD_CFLAGS)
$(BUILD)/obj/src/cli/%.o:     CPPFLAGS_ALL += $(JSON_CFLAGS)
$(BUILD)/obj/src/image/nbd%.o: CPPFLAGS_ALL += $(NBD_CFLAGS)
$(BUILD)/obj/src/transfer/%.o: CPPFLAGS_ALL += $(ZSTD_CFLAGS)
$(BUILD)/obj/plugins/%.o:     CPPFLAGS_ALL += $(COLLECTD_CFLAGS)
$(BUILD)/obj/hooks/%.o:       CPPFLAGS_ALL += $(XML_CFLAGS)

# One file an instruction set; the code asks the CPU before it calls them. (-g1: to follow the
# variables of thousands of unrolled steps for a debugger takes gcc longer than to compile them.)
DIGEST_KERNEL = $(BUILD)/obj/src/digest/$(1)_$(2).o
$(foreach set,portable sse2 avx2 shani avx512 neon,$(foreach digest,md5 sha256,$(call DIGEST_KERNEL,$(digest),$(set)))): \
    CFLAGS_ALL += -O3 -fno-tree-slp-vectorize -g1
ifneq ($(findstring x86_64,$(shell $(CC) -dumpmachine)),)
$(foreach digest,md5 sha256,$(call DIGEST_KERNEL,$(digest),avx2)):   CFLAGS_ALL += -mavx2
$(foreach digest,md5 sha256,$(call DIGEST_KERNEL,$(digest),avx512)): CFLAGS_ALL += -mavx512f -mavx512bw
$(foreach digest,sha256 content,$(call DIGEST_KERNEL,$(digest),shani)): CFLAGS_ALL += -mssse3 -msse4.1 -msha
endif

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(LIB): $(call obj,$(LIB_SRC))
	@mkdir -p $(@D)
	@rm -f $@
	$(AR) rcs $@ $^

$(PROGRAM): $(call obj,$(CLI_SRC)) $(LIB)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(CLI_LIBS)

$(PLUGIN): $(call obj,$(PLUGIN_SRC)) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -shared -Wl,--exclude-libs,ALL -o $@ $^ $(PLUGIN_LIBS)

$(HOOK): $(call obj,$(HOOK_SRC)) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(HOOK_LIBS)

$(APPLY): $(call obj,$(APPLY_SRC)) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(APPLY_LIBS)

# Tests that include a header of src/cli or plugins get those parts too; the linker takes what they use.
PARTS := $(BUILD)/libcli.a $(BUILD)/libplugin.a
$(BUILD)/libcli.a: $(call obj,$(filter-out src/cli/main.c,$(CLI_SRC)))
$(BUILD)/libplugin.a: $(call obj,$(filter-out plugins/setmov.c,$(PLUGIN_SRC)))
$(PARTS):
	@mkdir -p $(@D)
	@rm -f $@
	$(AR) rcs $@ $^
with_header_of = $(if $(UNIT_SRC)$(BENCH_SRC),$(shell grep -lE '^\#include "(\.\./)*$(1)/' $(UNIT_SRC) $(BENCH_SRC)))
test_program = $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(1)))
$(call test_program,$(call with_header_of,(src/)?cli)): $(BUILD)/libcli.a
$(call test_program,$(call with_header_of,plugins)): $(BUILD)/libplugin.a
$(call obj,$(call with_header_of,plugins)): CPPFLAGS_ALL += $(COLLECTD_CFLAGS)
$(call obj,$(call with_header_of,(src/)?cli)): CPPFLAGS_ALL += $(JSON_CFLAGS)
LINK_TEST = $(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter $(PARTS),$^) $(LIB) $(CLI_LIBS) $(TEST_LIBS)

# Digests are held against OpenSSL's.
$(call test_program,$(filter %_digest.c,$(UNIT_SRC) $(BENCH_SRC))): TEST_LIBS = -lcrypto
# What happens between opening and comparing happens in front of the comparison.
$(BUILD)/tests/unit/test_cli_choose: TEST_LIBS = -Wl,--wrap=similarity_compare
# A VM goes while it is asked for.
$(BUILD)/tests/unit/test_vm_where: TEST_LIBS = -Wl,--wrap=virDomainGetJobStats
# A record is torn, and the next time it is not.
$(BUILD)/tests/unit/test_migrate_progress: TEST_LIBS = -Wl,--wrap=vm_peer_read,--wrap=vm_peer_write
# A disk becomes full there.
$(BUILD)/tests/unit/test_base_new_file: TEST_LIBS = -Wl,--wrap=fallocate64,--wrap=fsync,--wrap=fdatasync
# And what is there after a power failure is told by the order of what was done.
$(BUILD)/tests/unit/test_transfer_apply: \
	TEST_LIBS = -Wl,--wrap=fsync,--wrap=linkat,--wrap=unlink,--wrap=unlinkat
# Opening a fingerprint with all its digests reads all of it.
$(BUILD)/tests/unit/test_migrate_know: TEST_LIBS = -Wl,--wrap=fingerprint_file_open

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(LINK_TEST) -lcmocka

$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(LIB)
	@mkdir -p $(@D)
	$(LINK_TEST)

$(BUILD)/tests/helpers/naive_fingerprint: CLI_LIBS += -lcrypto
$(BUILD)/obj/tests/helpers/nbd_reader.o: CPPFLAGS_ALL += $(NBD_CFLAGS)
$(BUILD)/tests/helpers/%: $(BUILD)/obj/tests/helpers/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(CLI_LIBS)

# One program a fuzz target that replays the files it is given; `make fuzz` links libFuzzer instead.
FUZZ_DRIVER ?= $(BUILD)/obj/tests/fuzz/replay.o
$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(FUZZ_DRIVER) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(FUZZ_LDFLAGS) $(CLI_LIBS)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# ---- the two commands --------------------------------------------------------

.PHONY: demo check check-bed deps
demo: deps ## Packages, build, then the main job on this host: metrics into RRD files, graphs, a summary.
	@$(MAKE) --no-print-directory -s -j$(JOBS) all
	@tests/demo.sh

check: deps ## Packages, build, then every test.
	@$(MAKE) --no-print-directory -s -j$(JOBS) all test-programs
	@tests/run -j $(JOBS)

check-bed: deps ## All tests on hosts of libvirt, with the long ones that `make check` leaves out.
	@$(MAKE) --no-print-directory -s -j$(JOBS) all test-programs
	@tests/run bed

deps: ## Install the Debian packages that are missing (needs root only when some are).
	@tests/lib/packages.sh $(DEPS)

# ---- tests by themselves -----------------------------------------------------

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
.PHONY: asan tidy format format-check fuzz bench
asan: ## Unit tests, fuzz replay, command line and hook tests under the address and undefined behaviour sanitizers.
	@$(MAKE) --no-print-directory -s -j$(JOBS) BUILD=$(BUILD)/asan CFLAGS="-O1 -g $(SANITIZE)" all test-programs
	@SETMOV_BUILD=$(abspath $(BUILD))/asan SETMOV_SANITIZED=1 tests/run -j $(JOBS) unit fuzz cli hook

# clang-tidy reads each file alone, so a stamp for each file makes the second run short.
TIDY_SRC   := $(filter %.c,$(ALL_C))
TIDY_STAMP := $(patsubst %.c,$(BUILD)/tidy/%.ok,$(TIDY_SRC))
TIDY_FLAGS  = $(CPPFLAGS_ALL) -std=gnu11 $(LIBVIRT_CFLAGS) $(XML_CFLAGS) $(JSON_CFLAGS) $(RRD_CFLAGS) $(NBD_CFLAGS) $(ZSTD_CFLAGS)
$(BUILD)/tidy/plugins/%.ok $(BUILD)/tidy/tests/%.ok: TIDY_FLAGS += $(COLLECTD_CFLAGS)
$(BUILD)/tidy/%.ok: %.c .clang-tidy tests/.clang-tidy $(filter %.h,$(ALL_C))
	@mkdir -p $(@D)
	clang-tidy --quiet $< -- $(TIDY_FLAGS) 2>$(BUILD)/tidy/$*.err || { cat $(BUILD)/tidy/$*.err >&2; exit 1; }
	@touch $@

# unknownMacro: macros of headers it does not read; memleakOnRealloc: the block is still the caller's;
# invalidPointerCast: tables hold the offsets of fields.
CPPCHECK_FLAGS := --quiet --error-exitcode=1 --inline-suppr --std=c11 --language=c \
                  --enable=warning,performance,portability \
                  --suppress=missingIncludeSystem --suppress=unknownMacro \
                  --suppress=memleakOnRealloc:src/base/array.c --suppress=invalidPointerCast
.PHONY: clang-tidy cppcheck
clang-tidy: $(TIDY_STAMP)
cppcheck:
	cppcheck $(CPPCHECK_FLAGS) -j $(JOBS) -Iinclude -Isrc -D_GNU_SOURCE -DSETMOV_VERSION='""' $(filter %.c,$(wildcard src/*/*.c plugins/*.c hooks/*.c))
tidy: ## Run clang-tidy and cppcheck over all C files.
	@$(MAKE) --no-print-directory -s -k -j$(JOBS) clang-tidy
	@$(MAKE) --no-print-directory -s cppcheck

format-check: ## Say which C files are not formatted as .clang-format wants.
	clang-format --dry-run -Werror $(ALL_C)

format: ## Format all C files.
	clang-format -i $(ALL_C)

FUZZ_SECONDS ?= 60
fuzz: ## Fuzz every parser for FUZZ_SECONDS (60) each, from its corpus in tests/fuzz/corpus.
	@$(MAKE) --no-print-directory -s -j$(JOBS) BUILD=$(BUILD)/libfuzzer CC=clang FUZZ_DRIVER= \
	    CFLAGS="-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined" \
	    FUZZ_LDFLAGS=-fsanitize=fuzzer fuzz-programs
	@tests/fuzz/run.sh $(abspath $(BUILD))/libfuzzer $(FUZZ_SECONDS)
.PHONY: fuzz-programs
fuzz-programs: $(FUZZ_BIN)

bench: deps ## Measure: the cost beside collectd's own virt plugin, and without libvirt.
	@tests/lib/packages.sh $(DEPS_BENCH)
	@$(MAKE) --no-print-directory -s -j$(JOBS) all test-programs bench-programs
	@tests/bench/run.sh
.PHONY: bench-programs
bench-programs: $(BENCH_BIN)

# ---- three hosts to play with (docs/testbed.md) --------------------------------

.PHONY: bed-up bed-down bed-shell
bed-up: deps ## Bring up the test bed: libvirt hosts alpha, beta and gamma on this machine, below build/bed (root).
	@$(MAKE) --no-print-directory -s -j$(JOBS) all
	@tests/bed/bed.sh up

bed-down: ## End the test bed, with all that it keeps.
	@tests/bed/bed.sh down

bed-shell: ## A shell on a host of the test bed: make bed-shell HOST=alpha, or make bed-shell alpha.
	@tests/bed/bed.sh shell $(HOST)

# The second word names the host, not something to make.
ifeq ($(firstword $(MAKECMDGOALS)),bed-shell)
ifneq ($(word 2,$(MAKECMDGOALS)),)
HOST := $(word 2,$(MAKECMDGOALS))
.PHONY: $(HOST)
$(HOST): ; @:
endif
endif

# ---- a clean Debian 12 -------------------------------------------------------

.PHONY: chroot-demo chroot-check
chroot-demo: ## `make demo` in a fresh Debian 12 in a temporary directory (root, mmdebstrap).
	@tests/chroot.sh demo
chroot-check: ## `make check` in a fresh Debian 12 in a temporary directory (root, mmdebstrap).
	@tests/chroot.sh check

# ---- installing --------------------------------------------------------------

BINDIR := $(DESTDIR)$(PREFIX)/bin
LIBDIR := $(DESTDIR)$(COLLECTD_PLUGIN_DIR)
HOOKDIR := $(DESTDIR)$(LIBVIRT_HOOK_DIR)
APPLYDIR := $(DESTDIR)$(LIBVIRT_APPLY_DIR)
SHARE  := $(DESTDIR)$(PREFIX)/share
MAN1   := $(sort $(wildcard docs/*.1))
MAN5   := $(sort $(wildcard docs/*.5))
MAN8   := $(sort $(wildcard docs/*.8))
DOCS   := README.md LICENSE $(sort $(wildcard docs/*.md))
ETC    := $(sort $(wildcard etc/*.conf)) etc/setmov.cron
UNITDIR := $(DESTDIR)$(SYSTEMD_UNIT_DIR)
UNITS  := $(sort $(wildcard etc/systemd/*))

.PHONY: install uninstall
install: all ## Install under PREFIX (/usr/local); the plugin goes where collectd looks, the hook where libvirt does. Respects DESTDIR.
	install -d $(BINDIR) $(LIBDIR) $(HOOKDIR) $(APPLYDIR) $(UNITDIR) $(SHARE)/setmov $(SHARE)/doc/setmov/examples \
	    $(addprefix $(SHARE)/man/man,1 5 8)
	install -m 755 $(PROGRAM) $(BINDIR)/setmov
	install -m 644 $(PLUGIN) $(LIBDIR)/setmov.so
	install -m 755 $(HOOK) $(HOOKDIR)/setmov
	install -m 755 $(APPLY) $(APPLYDIR)/setmov-apply
	install -m 644 etc/setmov.types.db $(SHARE)/setmov/setmov.types.db
	install -m 644 $(DOCS) $(SHARE)/doc/setmov/
	install -m 644 $(ETC) $(SHARE)/doc/setmov/examples/
	for unit in $(UNITS); do \
	    sed 's|@PREFIX@|$(PREFIX)|g' $$unit | install -m 644 /dev/stdin $(UNITDIR)/$${unit##*/} || exit 1; \
	done
	$(if $(MAN1),install -m 644 $(MAN1) $(SHARE)/man/man1/)
	$(if $(MAN5),install -m 644 $(MAN5) $(SHARE)/man/man5/)
	$(if $(MAN8),install -m 644 $(MAN8) $(SHARE)/man/man8/)

uninstall: ## Remove what install put there.
	rm -f $(BINDIR)/setmov $(LIBDIR)/setmov.so $(HOOKDIR)/setmov $(APPLYDIR)/setmov-apply $(addprefix $(UNITDIR)/,$(notdir $(UNITS)))
	rm -f $(addprefix $(SHARE)/man/man1/,$(notdir $(MAN1))) $(addprefix $(SHARE)/man/man5/,$(notdir $(MAN5)))
	rm -f $(addprefix $(SHARE)/man/man8/,$(notdir $(MAN8)))
	rm -rf $(SHARE)/setmov $(SHARE)/doc/setmov

# ---- the rest ----------------------------------------------------------------

.PHONY: clean help
clean: ## Remove all that was built; ends the test bed.
	@[ ! -d $(BUILD)/bed ] || tests/bed/bed.sh down
	rm -rf $(BUILD)

help: ## List the targets.
	@echo "make TARGET, where TARGET is one of"
	@sed -nE 's/^([a-z][a-z-]*):[^#]*## (.*)/\1|\2/p' Makefile | \
	    while IFS='|' read -r name text; do printf '  %-13s %s\n' "$$name" "$$text"; done
	@echo "Variables: BUILD=$(BUILD) PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) COLLECTD_PLUGIN_DIR=$(COLLECTD_PLUGIN_DIR) LIBVIRT_HOOK_DIR=$(LIBVIRT_HOOK_DIR) CC=$(CC)"

# For scripts: the value of a variable.
print-%:
	@echo "$($*)"
