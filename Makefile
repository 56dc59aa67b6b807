# SPDX-License-Identifier: Apache-2.0
# Hull. `make` builds build/bin/, `make check` tests, `make demo` shows the main job, `make bench` measures.
# Variants: make SAN=address,undefined | SAN=thread | CI=true (-Werror). O=dir moves all output.

SAN ?=
comma := ,
O ?= build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-5s %s\n' $(1) $(2);)

CC ?= gcc
CPPFLAGS += -I. -I$(O)/gen -D_GNU_SOURCE
CFLAGS ?= -O2 -g
CFLAGS += -std=gnu17 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-unused-parameter -Wno-format-truncation \
	-fno-strict-aliasing -fstack-protector-strong -D_FORTIFY_SOURCE=2 -ffunction-sections -fdata-sections -fno-common -pthread
LDFLAGS += -pthread -Wl,--gc-sections -Wl,-z,relro,-z,now
ifdef CI
CFLAGS += -Werror
endif
ifneq ($(SAN),)
CFLAGS += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all -U_FORTIFY_SOURCE
LDFLAGS += -fsanitize=$(SAN)
endif
ifeq ($(SAN),thread)
# gcc can't follow fences under this sanitizer and says so; the rings' partners are guests, not our threads.
CFLAGS += -Wno-tsan
endif

# Parsers of hostile bytes are held to -Wconversion.
PARSERS := lib crypto hv/dev hv/pci hv/block hv/net hv/fw hv/mgmt lma lcg csc

rwild = $(sort $(foreach d,$(wildcard $(1)/*),$(call rwild,$(d),$(2)) $(filter $(2),$(d))))
objs = $(patsubst %.c,$(O)/obj/%.o,$(1))

LIB_SRC := $(call rwild,lib,%.c)
CRYPTO_SRC := $(call rwild,crypto,%.c)
LMA_SRC := $(filter-out lma/main.c,$(call rwild,lma,%.c))
LCG_SRC := $(filter-out lcg/main.c,$(call rwild,lcg,%.c))
CSC_SRC := $(filter-out csc/main.c,$(call rwild,csc,%.c))
HV_SRC := $(filter-out hv/main.c,$(call rwild,hv,%.c))
HULL_SRC := $(wildcard tools/hull/*.c)
PRINT_SRC := $(wildcard tools/fingerprint/*.c)
TEST_SRC := $(call rwild,tests/unit,%.c)
SUITES := $(patsubst tests/unit/%_test.c,%,$(filter %_test.c,$(TEST_SRC)))

# nbdkit is never sanitized, so its plugin is not either.
PLUGIN := $(if $(SAN),,$(O)/lib/nbdkit-hull-plugin.so)
PLUGIN_SRC := $(wildcard tools/nbdkit/*.c hv/block/block.c hv/block/crypt*.c hv/block/file*.c crypto/secret*.c crypto/xts.c) \
	$(addprefix lib/,err.c log.c loop.c loop_task.c loop_timer.c filelock.c)

BIN := $(O)/bin/hull $(O)/bin/hull-hv $(O)/bin/hull-fingerprint $(O)/bin/hull-lma $(O)/bin/hull-csc \
	$(O)/bin/hull-lcg
ARCHIVES := $(O)/lib/libhv.a $(O)/lib/libhullcrypto.a $(O)/lib/libhull.a
# What hull-hv links: it starts often and stays small. Its library for NBD is loaded when a placement asks for it.
HV_LIBS := -lfdt -ljansson -luring -lssl -lcrypto
CRYPTO_LIBS := -lcryptsetup -lssl -lcrypto -largon2 -ltss2-esys -ltss2-mu -ltss2-tctildr -ltss2-rc
LIBS := -lfdt -ljansson -luring $(CRYPTO_LIBS)

.PHONY: all programs unit fuzz check demo bench lint setup appliance sample clean FORCE
all: setup-build
	$(Q)$(MAKE) --no-print-directory programs
programs: $(BIN) $(PLUGIN)

# ---- programs
$(O)/lib/libhull.a: $(call objs,$(LIB_SRC))
$(O)/lib/libhullcrypto.a: $(call objs,$(CRYPTO_SRC))
$(O)/lib/libhv.a: $(call objs,$(HV_SRC))
$(O)/lib/%.a:
	$(call say,AR,$@)mkdir -p $(@D); rm -f $@; ar rcs $@ $(filter %.o,$^)

$(O)/bin/hull: $(call objs,$(HULL_SRC)) $(ARCHIVES)
	$(call say,LD,$@)mkdir -p $(@D); $(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)
$(O)/bin/hull-hv: $(call objs,hv/main.c) $(ARCHIVES)
	$(call say,LD,$@)mkdir -p $(@D); $(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(HV_LIBS)
$(O)/bin/hull-lma: $(call objs,lma/main.c $(LMA_SRC)) $(O)/lib/libhullcrypto.a $(O)/lib/libhull.a
	$(call say,LD,$@)mkdir -p $(@D); $(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)
$(O)/bin/hull-lcg: $(call objs,lcg/main.c $(LCG_SRC)) $(O)/lib/libhullcrypto.a $(O)/lib/libhull.a
	$(call say,LD,$@)mkdir -p $(@D); $(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)
$(O)/bin/hull-csc: $(call objs,csc/main.c $(CSC_SRC)) $(O)/lib/libhullcrypto.a $(O)/lib/libhull.a
	$(call say,LD,$@)mkdir -p $(@D); $(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)
# It stays mapped to the end (nodelete): libcrypto, which nbdkit leaves loaded, frees through it.
$(O)/lib/nbdkit-hull-plugin.so: $(patsubst %.c,$(O)/obj/pic/%.o,$(PLUGIN_SRC))
	$(call say,LD,$@)mkdir -p $(@D); $(CC) -shared $(LDFLAGS) -Wl,-z,nodelete -o $@ $^ -luring -lcrypto
# Runs inside servers of any age: static, and never sanitized.
$(O)/bin/hull-fingerprint: $(PRINT_SRC) $(wildcard tools/fingerprint/*.h) lib/version.h
	$(call say,LD,$@)mkdir -p $(@D); $(CC) $(CPPFLAGS) -std=gnu17 -O2 -Wall -Wextra $(if $(CI),-Werror) -static -o $@ $(PRINT_SRC)

$(O)/obj/%.o: %.c
	$(call say,CC,$<)mkdir -p $(@D); $(CC) $(CPPFLAGS) $(CFLAGS) \
		$(if $(filter $(addsuffix /%,$(PARSERS)),$<),-Wconversion -Wno-sign-conversion) -MMD -MP -c -o $@ $<

$(O)/obj/pic/%.o: %.c
	$(call say,CC,$<)mkdir -p $(@D); $(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<

# ---- unit tests: tests/unit/PATH_test.c defines `const struct suite suite_PATH` (slashes become underscores)
$(O)/gen/suites.inc: FORCE
	@mkdir -p $(@D); for s in $(SUITES); do echo "SUITE($$(echo $$s | tr / _), \"$$s\")"; done > $@.new; \
	cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(call objs,tests/unit/runner.c): $(O)/gen/suites.inc
$(O)/bin/unit: $(call objs,$(TEST_SRC) $(LMA_SRC) $(CSC_SRC) $(LCG_SRC)) $(ARCHIVES)
	$(call say,LD,$@)mkdir -p $(@D); $(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS) -lcunit
# make unit [T=hv/dev] runs the suites whose name starts with T
unit: $(O)/bin/unit
	$(Q)$(O)/bin/unit $(T)

# ---- programs of tests, one source file each
$(O)/tools/%: tests/tools/%.c
	$(call say,LD,$@)mkdir -p $(@D); $(CC) -std=gnu17 -O2 -g -Wall -Wextra -Wshadow $(if $(CI),-Werror) -o $@ $< -lm

# ---- and those that speak Hull's protocols
TOOLS := relay_end relay_evil
$(TOOLS:%=$(O)/tools/%): $(O)/tools/%: $(O)/obj/tests/tools/%.o $(ARCHIVES)
	$(call say,LD,$@)mkdir -p $(@D); $(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)

# ---- the disk benchmark's program (tests/bench/disk-run)
$(O)/bench/disk: $(call objs,$(wildcard tests/bench/disk*.c)) $(ARCHIVES)
	$(call say,LD,$@)mkdir -p $(@D); $(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)

# ---- what parsing and filtering a frame cost
$(O)/bench/filter: $(call objs,tests/bench/filter.c) $(O)/lib/libhull.a
	$(call say,LD,$@)mkdir -p $(@D); $(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) -ljansson

# ---- the benchmark of links
$(O)/bench/link: $(call objs,tests/bench/link.c) $(ARCHIVES)
	$(call say,LD,$@)mkdir -p $(@D); $(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)
# ---- the relay's (tests/bench/relay-run)
$(O)/bench/relay: $(call objs,tests/bench/relay.c) $(ARCHIVES)
	$(call say,LD,$@)mkdir -p $(@D); $(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)
# ---- the network benchmark's yardstick (tests/bench/net)
$(O)/bench/net_bare: tests/bench/net_bare.c
	$(call say,LD,$@)mkdir -p $(@D); $(CC) -std=gnu17 -O2 -g -Wall -Wextra -Wshadow -Wno-unused-parameter -Wno-stringop-truncation \
		$(if $(CI),-Werror) -pthread -o $@ $< -lssl -lcrypto

# ---- fuzz targets: tests/fuzz/NAME_fuzz.c, seeds in tests/fuzz/corpus/NAME/
FUZZ := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))
FUZZ_CFLAGS := -std=gnu17 -O1 -g -D_GNU_SOURCE -I. -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -w -pthread
fuzz_obj = $(patsubst %.c,$(O)/fuzz/obj/%.o,$(1))
$(O)/fuzz/obj/%.o: %.c
	$(call say,FUZZ,$<)mkdir -p $(@D); clang $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<
$(O)/fuzz/libfuzz.a: $(call fuzz_obj,$(LIB_SRC) $(CRYPTO_SRC) $(HV_SRC) $(LMA_SRC) $(CSC_SRC) $(LCG_SRC))
	$(Q)rm -f $@; ar rcs $@ $^
$(O)/fuzz/bin/%: $(O)/fuzz/obj/tests/fuzz/%_fuzz.o $(O)/fuzz/libfuzz.a
	$(call say,LD,$@)mkdir -p $(@D); clang -fsanitize=fuzzer,address,undefined -pthread -o $@ $^ $(LIBS)
fuzz: $(FUZZ:%=$(O)/fuzz/bin/%)
.PRECIOUS: $(O)/fuzz/obj/%.o $(O)/obj/%.o

# ---- the rest lives in scripts
setup:
	$(Q)scripts/setup
setup-build:
	$(Q)scripts/setup build
lint:
	$(Q)scripts/lint
appliance: programs
	$(Q)tools/appliance/build $(O)
sample: programs
	$(Q)tools/sample/build $(O)
check: setup
	$(Q)scripts/check $(O)
demo: setup
	$(Q)$(MAKE) --no-print-directory programs
	$(Q)scripts/demo $(O)
bench: setup
	$(Q)$(MAKE) --no-print-directory programs $(O)/bench/disk $(O)/bench/relay $(O)/bench/net_bare
	$(Q)tests/bench/run $(O)
clean:
	rm -rf $(O)

-include $(shell find $(O)/obj $(O)/fuzz/obj -name '*.d' 2>/dev/null)
