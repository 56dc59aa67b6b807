/* SPDX-License-Identifier: Apache-2.0 */
/* SMBIOS strings and numbers: DSP0134. */
#include <ctype.h>
#include <string.h>
#include "lib/env/env_priv.h"

#define TEXT_MAX 64
#define TEXT(name, m) { name, ENV_T_TEXT, ENV_FIELD(struct env_smbios, m), .max = TEXT_MAX }
#define PREFIX(name, m, d) { name, ENV_T_TEXT, ENV_FIELD(struct env_smbios, m), .min = 1, .max = 48, .text = d }
#define CELL(name, m, lo, hi, d) { name, ENV_T_CELL, ENV_FIELD(struct env_smbios, m), .min = lo, .max = hi, .def = d }

static int add_oem_string(const struct env_node *n, const struct env_prop *p, void *target, unsigned i, const char *s)
{
	struct env_smbios *smbios = target;

	if (i >= ENV_MAX_OEM_STRINGS)
		return env_node_fail(n, p->name, "at most %d strings are allowed", ENV_MAX_OEM_STRINGS);
	smbios->oem_strings[i] = s;
	smbios->oem_string_count = i + 1;
	return 0;
}

static const struct env_word entry_points[] = { { "2.8", false }, { "3.0", true }, { NULL, 0 } };

static const struct env_prop props[] = {
	{ "entry-point", ENV_T_WORD, ENV_FIELD(struct env_smbios, v3), .words = entry_points, .def = false },
	{ "oem-strings", ENV_T_LIST, .min = 1, .max = TEXT_MAX, .item = add_oem_string },
	{ NULL },
};

static const struct env_prop bios_props[] = {
	TEXT("vendor", bios.vendor), TEXT("version", bios.version), TEXT("release-date", bios.release_date),
	{ "release", ENV_T_PAIR, ENV_FIELD(struct env_smbios, bios.major), .max = 255 },
	{ "uefi", ENV_T_FLAG, ENV_FIELD(struct env_smbios, bios.uefi) },
	CELL("rom-kib", bios.rom_kib, 64, 16384, 64),
	{ NULL },
};
_Static_assert(offsetof(struct env_smbios, bios.minor) == offsetof(struct env_smbios, bios.major) + 1, "a pair");

static const struct env_prop system_props[] = {
	TEXT("manufacturer", system.manufacturer), TEXT("product", system.product), TEXT("version", system.version),
	TEXT("serial", system.serial), TEXT("sku", system.sku), TEXT("family", system.family), { NULL },
};

static const struct env_prop board_props[] = {
	TEXT("manufacturer", board.manufacturer), TEXT("product", board.product), TEXT("version", board.version),
	TEXT("serial", board.serial), TEXT("asset-tag", board.asset_tag), TEXT("location", board.location), { NULL },
};

static const struct env_prop chassis_props[] = {
	TEXT("manufacturer", chassis.manufacturer), TEXT("version", chassis.version), TEXT("serial", chassis.serial),
	TEXT("asset-tag", chassis.asset_tag), TEXT("sku", chassis.sku), CELL("type", chassis.type, 1, 36, 1), { NULL },
};

static const struct env_prop processor_props[] = {
	PREFIX("socket-prefix", processor.socket_prefix, "CPU"),
	TEXT("manufacturer", processor.manufacturer), TEXT("version", processor.version), TEXT("serial", processor.serial),
	TEXT("asset-tag", processor.asset_tag), TEXT("part", processor.part),
	CELL("max-mhz", processor.max_mhz, 0, 65535, 2000), CELL("current-mhz", processor.current_mhz, 0, 65535, 2000),
	CELL("family", processor.family, 1, 253, 1), CELL("upgrade", processor.upgrade, 1, 255, 1),
	{ NULL },
};

static const struct env_prop memory_props[] = {
	PREFIX("locator-prefix", memory.locator_prefix, "DIMM"),
	TEXT("bank", memory.bank), TEXT("manufacturer", memory.manufacturer), TEXT("serial", memory.serial),
	TEXT("asset-tag", memory.asset_tag), TEXT("part", memory.part),
	CELL("speed-mts", memory.speed_mts, 0, 65535, 0), CELL("type", memory.type, 1, 255, 7),
	CELL("form-factor", memory.form_factor, 1, 255, 9),
	{ "dimm-size", ENV_T_LONG, ENV_FIELD(struct env_smbios, memory.dimm_bytes), .min = 32 * ENV_MIB, .max = ENV_MIB << 20,
		.def = ENV_MIB << 14 },
	{ NULL },
};

static const struct env_prop *const all[] = {
	props, bios_props, system_props, board_props, chassis_props, processor_props, memory_props,
};

void env_default_smbios(struct env *env)
{
	for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
		env_default_table(&env->smbios, all[i]);
}

static bool is_date(const char *s)
{
	static const char pattern[] = "dd/dd/dddd";

	if (strlen(s) != sizeof pattern - 1)
		return false;
	for (unsigned i = 0; pattern[i]; i++)
		if (pattern[i] == 'd' ? !isdigit((unsigned char)s[i]) : s[i] != '/')
			return false;
	return strncmp(s, "01", 2) >= 0 && strncmp(s, "12", 2) <= 0 &&
		strncmp(s + 3, "01", 2) >= 0 && strncmp(s + 3, "31", 2) <= 0;
}

static int read_bios(const struct env_node *n, struct env *env)
{
	int rc = env_node_read_leaf(n, &env->smbios, bios_props);
	const char *date = env->smbios.bios.release_date;

	if (rc)
		return rc;
	if (*date && !is_date(date))
		return env_node_fail(n, "release-date", "\"%s\" is not a date of the form \"mm/dd/yyyy\"", date);
	if (env->smbios.bios.rom_kib % 64)
		return env_node_fail(n, "rom-kib", "%u is not a multiple of 64", env->smbios.bios.rom_kib);
	return 0;
}

static int read_system(const struct env_node *n, struct env *env)
{
	return env_node_read_leaf(n, &env->smbios, system_props);
}

static int read_board(const struct env_node *n, struct env *env)
{
	env->smbios.board.present = true;
	return env_node_read_leaf(n, &env->smbios, board_props);
}

static int read_chassis(const struct env_node *n, struct env *env)
{
	return env_node_read_leaf(n, &env->smbios, chassis_props);
}

static int read_processor(const struct env_node *n, struct env *env)
{
	return env_node_read_leaf(n, &env->smbios, processor_props);
}

static int read_memory(const struct env_node *n, struct env *env)
{
	int rc = env_node_read_leaf(n, &env->smbios, memory_props);

	if (!rc && env->smbios.memory.dimm_bytes % ENV_MIB)
		return env_node_fail(n, "dimm-size", "is not a multiple of 1 MiB");
	return rc;
}

static const struct env_child nodes[] = {
	{ "bios", false, read_bios }, { "system", false, read_system }, { "board", false, read_board },
	{ "chassis", false, read_chassis }, { "processor", false, read_processor }, { "memory", false, read_memory }, { NULL },
};

int env_read_smbios(const struct env_node *n, struct env *env)
{
	const struct env_prop *const tables[] = { props, NULL };
	int rc = env_node_read(n, &env->smbios, tables);

	return rc ? rc : env_node_children(n, env, nodes);
}
