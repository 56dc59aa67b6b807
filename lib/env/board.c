/* SPDX-License-Identifier: Apache-2.0 */
/* The small nodes: memory, chipset, ACPI identity, and the old management controller. */
#include <string.h>
#include "lib/env/env_priv.h"

static const struct env_prop memory_props[] = {
	{ "size", ENV_T_LONG, ENV_FIELD(struct env, memory), .required = true, .min = 32 * ENV_MIB, .max = ENV_MIB << 22 },
	{ NULL },
};

int env_read_memory(const struct env_node *n, struct env *env)
{
	int rc = env_node_read_leaf(n, env, memory_props);

	if (!rc && env->memory % ENV_MIB)
		return env_node_fail(n, "size", "%llu is not a multiple of 1 MiB", (unsigned long long)env->memory);
	return rc;
}

static const struct env_word models[] = { { "q35", ENV_Q35 }, { "i440fx", ENV_I440FX }, { NULL, 0 } };

static const struct env_prop chipset_props[] = {
	{ "model", ENV_T_WORD, ENV_FIELD(struct env, chipset), .words = models, .def = ENV_Q35 },
	{ "subsystem", ENV_T_PAIR, ENV_FIELD(struct env, board_subvendor), .max = 0xffff, .keep = true, .hex = true },
	{ "serial0", ENV_T_FLAG, ENV_FIELD(struct env, com[0]) }, { "serial1", ENV_T_FLAG, ENV_FIELD(struct env, com[1]) },
	{ "keyboard", ENV_T_FLAG, ENV_FIELD(struct env, keyboard) }, { "mouse", ENV_T_FLAG, ENV_FIELD(struct env, mouse) },
	{ "hpet", ENV_T_FLAG, ENV_FIELD(struct env, hpet) },
	{ NULL },
};
_Static_assert(offsetof(struct env, board_subdevice) == offsetof(struct env, board_subvendor) + 2, "a pair");

int env_read_chipset(const struct env_node *n, struct env *env)
{
	env->board_subvendor = 0x1af4;
	env->board_subdevice = 0x1100;
	return env_node_read_leaf(n, env, chipset_props);
}

static const struct env_prop acpi_props[] = {
	{ "oem-id", ENV_T_PADDED, ENV_FIELD(struct env, acpi.oem_id), .min = 1, .max = 6, .text = "BOCHS" },
	{ "oem-table-id", ENV_T_PADDED, ENV_FIELD(struct env, acpi.oem_table_id), .min = 1, .max = 8, .text = "BXPC" },
	{ "creator-id", ENV_T_PADDED, ENV_FIELD(struct env, acpi.creator_id), .min = 1, .max = 4, .text = "BXPC" },
	{ "creator-revision", ENV_T_CELL, ENV_FIELD(struct env, acpi.creator_revision), .max = UINT32_MAX, .def = 1 },
	{ NULL },
};

int env_read_acpi(const struct env_node *n, struct env *env)
{
	return env_node_read_leaf(n, env, acpi_props);
}

void env_default_acpi(struct env *env)
{
	env_default_table(env, acpi_props);
}

static const struct env_word kinds[] = { { "ipmi-1.5", 0 }, { "ipmi-2.0", 1 }, { "redfish", 2 }, { NULL, 0 } };

struct bmc { uint8_t ip[4], mac[6]; unsigned kind; };

static const struct env_prop bmc_props[] = {
	{ "ip", ENV_T_IPV4, ENV_FIELD(struct bmc, ip), .required = true },
	{ "mac", ENV_T_MAC, ENV_FIELD(struct bmc, mac), .required = true },
	{ "kind", ENV_T_WORD, ENV_FIELD(struct bmc, kind), .words = kinds, .def = 1 },
	{ NULL },
};

int env_read_bmc(const struct env_node *n, struct env *env)
{
	struct bmc bmc = { .kind = 1 };
	int rc = env_node_read_leaf(n, &bmc, bmc_props);

	if (rc)
		return rc;
	env->bmc.present = true;
	memcpy(env->bmc.ip, bmc.ip, sizeof bmc.ip);
	memcpy(env->bmc.mac, bmc.mac, sizeof bmc.mac);
	env->bmc.kind = kinds[bmc.kind].name;
	return 0;
}
