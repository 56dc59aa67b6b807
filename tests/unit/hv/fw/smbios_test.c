/* SPDX-License-Identifier: Apache-2.0 */
/* tests/golden/smbios: fw_cfg contents of QEMU 7.2 with -smbios options for the sample server (see docs/firmware.md). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "hv/fw/smbios.h"
#include "lib/bits.h"
#include "lib/scope.h"
#include "tests/unit/hv/fw/sample.h"
#include "tests/unit/suite.h"

static size_t golden(const char *name, uint8_t *out, size_t room)
{
	char path[128];
	auto_fclose FILE *f = NULL;

	snprintf(path, sizeof path, "tests/golden/smbios/%s", name);
	f = fopen(path, "rb");
	if (!f)
		suite_note("%s: run from the top of the source tree", path);
	return f ? fread(out, 1, room, f) : 0;
}

static void check_same(const char *what, const char *suffix, const uint8_t *got, size_t len)
{
	uint8_t want[4096];
	char name[64];
	size_t n;

	snprintf(name, sizeof name, "%s.%s", what, suffix);
	n = golden(name, want, sizeof want);
	check_eq(len, n);
	for (size_t i = 0; i < len && i < n; i++)
		if (got[i] != want[i]) {
			suite_note("%s: byte 0x%zx is %02x, expected %02x", name, i, got[i], want[i]);
			check(false);
			return;
		}
	check(n > 0);
}

static void check_golden(const char *what, const struct env *env)
{
	struct smbios_tables t;
	struct layout l;
	struct err err;
	int code;

	layout_init(&l, env);
	code = smbios_build(&t, env, &l, &err);
	check_or_return(code == 0);
	check_same(what, "tables", t.tables, t.tables_len);
	check_same(what, "anchor", t.anchor, t.anchor_len);
	smbios_free(&t);
}

static void sample_server_matches_its_original(void)
{
	struct env env;

	sample_env(&env);
	check_golden("sample", &env);
	env.chipset = ENV_I440FX;
	check_golden("sample", &env);
}

static void two_sockets_three_dimms_and_version_3_match_too(void)
{
	struct env env;

	sample_env(&env);
	env.smbios.v3 = true;
	env.memory = 40ull << 30;
	env.cpu.sockets = 2;
	env.cpu.cores = 3;
	env.cpu.threads = 2;
	check_golden("large", &env);
}

static const uint8_t *find(const struct smbios_tables *t, uint8_t type)
{
	for (size_t at = 0; at + 4 <= t->tables_len;) {
		if (t->tables[at] == type)
			return t->tables + at;
		at += t->tables[at + 1];
		while (t->tables[at] || t->tables[at + 1])
			at++;
		at += 2;
	}
	return NULL;
}

static void onboard_devices_behind_bridges_get_their_future_bus(void)
{
	struct smbios_tables t;
	struct layout l;
	struct env env;
	struct err err;
	const uint8_t *p;
	int code;

	sample_env(&env);
	env.pci[2].onboard_index = 0;
	env.pci[1].onboard_index = 7;
	env.pci[1].onboard_label = "";
	layout_init(&l, &env);
	code = smbios_build(&t, &env, &l, &err);
	check_or_return(code == 0);
	p = find(&t, 41);
	check_or_return(p != NULL);
	check_eq(p[4], 0);
	check_eq(p[6], 7);
	check_eq(p[9], 1);
	check_eq(p[10], 0);
	smbios_free(&t);
}

static void absent_records_are_left_out(void)
{
	struct smbios_tables t;
	struct layout l;
	struct env env;
	struct err err;
	int code;

	sample_env(&env);
	env.smbios.board.present = false;
	env.smbios.oem_string_count = 0;
	env.pci[2].onboard_index = 0;
	layout_init(&l, &env);
	code = smbios_build(&t, &env, &l, &err);
	check_or_return(code == 0);
	check(!find(&t, 2) && !find(&t, 11) && !find(&t, 41));
	check(find(&t, 127) != NULL);
	smbios_free(&t);
}

static void too_many_dimms_and_too_long_strings_are_refused(void)
{
	static char longer[SMBIOS_TABLES_MAX];
	struct smbios_tables t;
	struct layout l;
	struct env env;
	struct err err;

	sample_env(&env);
	env.smbios.memory.dimm_bytes = 32 << 20;
	layout_init(&l, &env);
	check_eq(smbios_build(&t, &env, &l, &err), -EINVAL);
	check(strstr(err.text, "raise the DIMM size") != NULL);
	env.smbios.memory.dimm_bytes = 0;
	memset(longer, 'x', sizeof longer - 1);
	env.smbios.system.serial = longer;
	check_eq(smbios_build(&t, &env, &l, &err), -ENOSPC);
}

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *p++);
	return s;
}

static void installs_below_1_mib_with_checksums(void)
{
	static uint8_t ram[0x10000];
	struct mem mem = { 0 };
	struct smbios_tables t;
	struct layout l;
	struct env env;
	struct err err;
	int code;

	sample_env(&env);
	check_eq(mem_add(&mem, 0xf0000, sizeof ram, ram, false), 0);
	for (int v3 = 0; v3 < 2; v3++) {
		env.smbios.v3 = v3;
		layout_init(&l, &env);
		code = smbios_build(&t, &env, &l, &err);
		check_or_return(code == 0);
		check_eq(smbios_install(&t, &mem, 0xf0000, 0x100000, &err), 0);
		check_eq(sum(ram, t.anchor_len), 0);
		check_eq(v3 ? get_le64(ram + 16) : get_le32(ram + 24), 0xf0020);
		if (!v3)
			check_eq(sum(ram + 16, 15), 0);
		check(!memcmp(ram + 32, t.tables, t.tables_len));
		check_eq(smbios_install(&t, &mem, 0xf0000, 0xf0100, &err), -ENOSPC);
		check_eq(smbios_install(&t, &mem, 0x10000, 0x20000, &err), -EFAULT);
		smbios_free(&t);
	}
}

static const struct test tests[] = {
	{ "sample server matches its original", sample_server_matches_its_original },
	{ "two sockets, three DIMMs and version 3 match too", two_sockets_three_dimms_and_version_3_match_too },
	{ "onboard devices behind bridges get their future bus", onboard_devices_behind_bridges_get_their_future_bus },
	{ "absent records are left out", absent_records_are_left_out },
	{ "too many DIMMs and too long strings are refused", too_many_dimms_and_too_long_strings_are_refused },
	{ "installs below 1 MiB with checksums", installs_below_1_mib_with_checksums },
	{ NULL, NULL },
};
const struct suite suite_hv_fw_smbios = { tests };
