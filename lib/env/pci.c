/* SPDX-License-Identifier: Apache-2.0 */
/* The PCI tree: one node a function, parents before their children. */
#include <libfdt.h>
#include <string.h>
#include "lib/env/env_priv.h"
#include "lib/scope.h"

#define PAIR(name, m, lo, hi) { name, ENV_T_PAIR, ENV_FIELD(struct env_pci, m), .min = lo, .max = hi, .keep = true, .hex = true }
#define CELL(name, m, lo, hi) { name, ENV_T_CELL, ENV_FIELD(struct env_pci, m), .min = lo, .max = hi }

static const struct env_word link_speed_words[] = {
	{ "2.5", 1 }, { "5", 2 }, { "8", 3 }, { "16", 4 }, { "32", 5 }, { NULL, 0 },
};

static const struct env_prop port_props[] = {
	{ "slot", ENV_T_CELL, ENV_FIELD(struct env_pci, slot), .required = true, .min = 1, .max = 8191 },
	CELL("chassis", chassis, 0, 255),
	{ "hotplug", ENV_T_FLAG, ENV_FIELD(struct env_pci, hotplug) },
	{ "link-speed", ENV_T_WORD, ENV_FIELD(struct env_pci, link_speed), .def = 1, .words = link_speed_words },
	{ "link-width", ENV_T_CELL, ENV_FIELD(struct env_pci, link_width), .min = 1, .max = 32, .def = 1 },
	{ NULL },
};
static const struct env_prop bridge_props[] = { CELL("chassis", chassis, 0, 255), { NULL } };
#define NIC_PROPS \
	{ "mac", ENV_T_MAC, ENV_FIELD(struct env_pci, mac), .required = true }, \
	{ "segment", ENV_T_TEXT, ENV_FIELD(struct env_pci, segment), .max = 31, .plain = true }, \
	CELL("onboard-index", onboard_index, 1, 255), \
	{ "onboard-label", ENV_T_TEXT, ENV_FIELD(struct env_pci, onboard_label), .max = 64 }
static const struct env_prop nic_props[] = { NIC_PROPS, { NULL } };
static const struct env_prop virtio_nic_props[] = {
	NIC_PROPS,
	{ "queues", ENV_T_CELL, ENV_FIELD(struct env_pci, queues), .min = 1, .max = ENV_MAX_QUEUES, .def = 1 },
	{ NULL },
};
static const struct env_prop ahci_props[] = {
	{ "ports", ENV_T_CELL, ENV_FIELD(struct env_pci, ports), .min = 1, .max = ENV_MAX_DISKS_PER_CONTROLLER,
		.def = ENV_MAX_DISKS_PER_CONTROLLER },
	{ NULL },
};
static const struct env_prop no_props[] = { { NULL } };

/* What a kind is when its node says nothing: the ids of the hardware that drivers know. */
static const struct kind {
	uint16_t vendor, device;
	uint8_t revision;
	const struct env_prop *props;
	uint16_t subsystem[2];		/* all 0: the board's */
	bool bus, disks, nic;
} kinds[ENV_PCI_KINDS] = {
	[ENV_PCI_ROOT_PORT] = { 0x1b36, 0x000c, 0, port_props, { 0x1b36, 0x0000 }, .bus = true },
	[ENV_PCI_BRIDGE] = { 0x1b36, 0x0001, 0, bridge_props, { 0x1b36, 0x0000 }, .bus = true },
	[ENV_PCI_AHCI] = { 0x8086, 0x2922, 2, ahci_props, .disks = true },
	[ENV_PCI_SMBUS] = { 0x8086, 0x2930, 2, no_props },
	[ENV_PCI_E1000] = { 0x8086, 0x100e, 3, nic_props, .nic = true },
	[ENV_PCI_VIRTIO_NET] = { 0x1af4, 0x1041, 1, virtio_nic_props, .nic = true },
	[ENV_PCI_VIRTIO_BLK] = { 0x1af4, 0x1042, 1, no_props, .disks = true },
	[ENV_PCI_VIRTIO_RNG] = { 0x1af4, 0x1044, 1, no_props },
};

static const struct env_word kind_words[] = {
	{ "pcie-root-port", ENV_PCI_ROOT_PORT }, { "pci-bridge", ENV_PCI_BRIDGE }, { "ahci", ENV_PCI_AHCI },
	{ "smbus", ENV_PCI_SMBUS }, { "e1000", ENV_PCI_E1000 }, { "virtio-net", ENV_PCI_VIRTIO_NET },
	{ "virtio-blk", ENV_PCI_VIRTIO_BLK }, { "virtio-rng", ENV_PCI_VIRTIO_RNG }, { NULL, 0 },
};

static const struct env_prop common_props[] = {
	{ "compatible", ENV_T_WORD, ENV_FIELD(struct env_pci, kind), .required = true, .words = kind_words },
	{ "label", ENV_T_CHARS, ENV_FIELD(struct env_pci, name), .min = 1, .max = 31, .plain = true },
	PAIR("id", vendor_id, 1, 0xfffe),
	{ "revision", ENV_T_CELL, ENV_FIELD(struct env_pci, revision), .max = 255, .keep = true },
	PAIR("subsystem", subsystem_vendor, 0, 0xffff),
	{ "sun", ENV_T_CELL, ENV_FIELD(struct env_pci, sun), .min = 1, .max = 8191, .def = UINT64_MAX },
	{ NULL },
};
_Static_assert(offsetof(struct env_pci, device_id) == offsetof(struct env_pci, vendor_id) + 2, "a pair");
_Static_assert(offsetof(struct env_pci, subsystem_device) == offsetof(struct env_pci, subsystem_vendor) + 2, "a pair");

static const char *word_name(const struct env_word *w, unsigned value)
{
	for (; w->name; w++)
		if (w->value == value)
			return w->name;
	return "?";
}

const char *env_pci_kind_name(enum env_pci_kind kind)
{
	return word_name(kind_words, (unsigned)kind);
}

const char *env_link_speed_name(unsigned generation)
{
	return word_name(link_speed_words, generation);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "name@device,function", small hexadecimal without leading zeros. */
static int read_address(const struct env_node *n, struct env_pci *pci)
{
	const char *s = env_node_name(n);
	size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");
	int device = -1, function = -1;

	if (s[len] == '@' && len && len <= ENV_MAX_NAME) {
		const char *u = s + len + 1;

		device = hex_digit(*u++);
		if (device > 0 && *u != ',')
			device = hex_digit(*u) < 0 ? -1 : device << 4 | hex_digit(*u++);
		if (device >= 0 && u[0] == ',' && u[1] && !u[2])
			function = hex_digit(u[1]);
	}
	if (device < 0 || device > 0x1f || function < 0 || function > 7)
		return env_node_fail(n, NULL,
			"\"%s\" must be NAME@DEVICE,FUNCTION: a name of 1 to %d small letters, digits and '-', "
			"a device of 0 to 1f, a function of 0 to 7, both hexadecimal", env_shown(s).s, ENV_MAX_NAME);
	pci->device = (uint8_t)device;
	pci->function = (uint8_t)function;
	return 0;
}

static int check_function(const struct env_node *n, const struct env *env, const struct env_pci *pci)
{
	const struct kind *kind = &kinds[pci->kind];

	if (pci->parent >= 0 && env->pci[pci->parent].kind == ENV_PCI_ROOT_PORT && pci->device)
		return env_node_fail(n, NULL, "a root port holds one device, its address must be 0,0 to 0,7");
	if (pci->link_width & (pci->link_width - 1))
		return env_node_fail(n, "link-width", "%u is not known; allowed: 1, 2, 4, 8, 16, 32", pci->link_width);
	if (kind->nic && !pci->name[0])
		return env_node_fail(n, "label", "is missing, the placement names a network card by it");
	if (kind->nic && pci->onboard_label[0] && !pci->onboard_index)
		return env_node_fail(n, "onboard-label", "needs an onboard-index beside it");
	return 0;
}

static int read_functions(const struct env_node *bus, struct env *env, int parent, unsigned depth);

static int read_function(const struct env_node *n, struct env *env, int parent, unsigned depth)
{
	static const struct env_child no_children[] = { { NULL } };
	const struct env_prop *tables[] = { common_props, NULL, NULL };
	unsigned at = env->pci_count;
	const struct kind *kind;
	struct env_pci *pci;
	int rc;

	if (at == ENV_MAX_PCI)
		return env_node_fail(n, NULL, "is one too many, at most %d PCI functions are allowed", ENV_MAX_PCI);
	if (depth > ENV_MAX_DEPTH)
		return env_node_fail(n, NULL, "is nested too deeply, at most %d levels are allowed", ENV_MAX_DEPTH);
	pci = &env->pci[at];
	rc = read_address(n, pci);
	if (!rc)
		rc = env_node_read_one(n, pci, &common_props[0]);
	if (rc)
		return rc;
	pci->parent = parent;
	pci->path = env_path_room(env, at);
	if (fdt_get_path(n->fdt, n->off, env_path_room(env, at), ENV_MAX_PATH))
		return env_node_fail(n, NULL, "its path is too long");
	kind = &kinds[pci->kind];
	pci->vendor_id = kind->vendor;
	pci->device_id = kind->device;
	pci->revision = kind->revision;
	pci->subsystem_vendor = kind->subsystem[0] ?: 0x1af4;
	pci->subsystem_device = kind->subsystem[0] ? kind->subsystem[1] : 0x1100;
	pci->segment = pci->onboard_label = "";
	tables[1] = kind->props;
	rc = env_node_read(n, pci, tables);
	if (!rc)
		rc = check_function(n, env, pci);
	if (rc)
		return rc;
	env->pci_count++;
	if (kind->bus)
		return read_functions(n, env, (int)at, depth + 1);
	return kind->disks ? env_read_disks(n, pci) : env_node_children(n, env, no_children);
}

static int read_functions(const struct env_node *bus, struct env *env, int parent, unsigned depth)
{
	int at, rc;

	fdt_for_each_subnode(at, bus->fdt, bus->off) {
		const struct env_node n = env_node_at(bus, at);

		rc = read_function(&n, env, parent, depth);
		if (rc)
			return rc;
	}
	return 0;
}

int env_read_pci(const struct env_node *n, struct env *env)
{
	const struct env_prop *const tables[] = { no_props, NULL };
	int rc = env_node_read(n, env, tables);

	return rc ? rc : read_functions(n, env, -1, 1);
}
