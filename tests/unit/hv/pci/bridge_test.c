/* SPDX-License-Identifier: Apache-2.0 */
/* Expected registers: what QEMU 7.2 shows of its pcie-root-port on q35 (slot 3, 16 GT/s ×32), read through its ECAM. */
#include "hv/pci/bridge.h"
#include "lib/bits.h"
#include "tests/unit/suite.h"

enum { EXP = 0x54, AER = 0x100, ACS = 0x148 };

struct rig {
	struct bus ports, mmio;
	struct mem mem;
	struct pci_host host;
	struct pci_bridge port;
	int level;
	unsigned msis;
	uint32_t msi_data;
};

static void intx(void *ctx, uint8_t devfn, unsigned pin, int level) { ((struct rig *)ctx)->level = level; }

static void msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct rig *r = ctx;

	r->msis++;
	r->msi_data = data;
}

static const struct pci_host_ops host_ops = { .intx = intx, .msi = msi };
static const struct env_pci like_qemu = {
	.kind = ENV_PCI_ROOT_PORT, .name = "port", .vendor_id = 0x1b36, .device_id = 0xc, .subsystem_vendor = 0x1b36, .slot = 3,
	.chassis = 1, .hotplug = true, .link_speed = 4, .link_width = 32,
};
static struct rig rig;

static void begin(const struct env_pci *env, bool occupied)
{
	memset(&rig, 0, sizeof rig);
	pci_host_init(&rig.host, &host_ops, &rig, &rig.ports, &rig.mmio, &rig.mem);
	pci_bridge_init(&rig.port, env, &rig.host, occupied);
	check_eq(pci_bus_attach(&rig.host.root, &rig.port.dev, 0x1c, 0), 0);
}

static uint32_t rd(unsigned off) { return (uint32_t)pci_dev_config_read(&rig.port.dev, off, 4); }
static uint16_t rd16(unsigned off) { return (uint16_t)pci_dev_config_read(&rig.port.dev, off, 2); }
static void wr(unsigned off, uint32_t v) { pci_dev_config_write(&rig.port.dev, off, 4, v); }
static void wr16(unsigned off, uint16_t v) { pci_dev_config_write(&rig.port.dev, off, 2, v); }

struct reg { uint16_t off; uint32_t val; };

static void check_regs(const struct reg *regs, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (rd(regs[i].off) != regs[i].val)
			suite_note("register %03x", regs[i].off);
		check_eq(rd(regs[i].off), regs[i].val);
	}
}
#define CHECK_REGS(regs) check_regs(regs, sizeof regs / sizeof *regs)

static void an_empty_root_port_reads_as_qemus(void)
{
	static const struct reg regs[] = {
		{ 0x00, 0x000c1b36 }, { 0x04, 0x00100000 }, { 0x08, 0x06040000 }, { 0x0c, 0x00010000 }, { 0x10, 0 }, { 0x18, 0 },
		{ 0x1c, 0x000000f0 }, { 0x20, 0x0000fff0 }, { 0x24, 0x0001fff1 }, { 0x28, 0 }, { 0x2c, 0 }, { 0x34, 0x54 },
		{ 0x3c, 0x00000100 }, { 0x40, 0x0000000d }, { 0x44, 0x00001b36 }, { 0x48, 0x00004011 }, { 0x4c, 0 }, { 0x50, 0x800 },
		{ 0x54, 0x01424810 }, { 0x58, 0x00008000 }, { 0x5c, 0 }, { 0x60, 0x00300604 }, { 0x64, 0x02040000 },
		{ 0x68, 0x001a007b }, { 0x6c, 0x000007c0 }, { 0x70, 0 }, { 0x74, 0 }, { 0x78, 0x00300020 }, { 0x7c, 0 },
		{ 0x80, 0x0000001e }, { 0x84, 0x00000004 }, { 0x88, 0 }, { 0x8c, 0 },
		{ 0x100, 0x14820001 }, { 0x104, 0 }, { 0x108, 0 }, { 0x10c, 0x00462030 }, { 0x110, 0 }, { 0x114, 0x0000e000 },
		{ 0x118, 0x000002a0 }, { 0x11c, 0 }, { 0x12c, 0 }, { 0x130, 0 }, { 0x134, 0 }, { 0x148, 0x0001000d }, { 0x14c, 0x0000005f },
		{ 0x150, 0 }, { 0xffc, 0 },
	};

	begin(&like_qemu, false);
	CHECK_REGS(regs);
}

static void its_registers_take_the_writes_that_qemus_take(void)
{
	static const struct reg regs[] = {
		{ 0x04, 0x00100507 /* parity too */ }, { 0x0c, 0x000100ff }, { 0x10, 0xfffff000 }, { 0x14, 0 }, { 0x18, 0xffffffff },
		{ 0x1c, 0x0000f0f0 }, { 0x20, 0xfff0fff0 }, { 0x24, 0xfff1fff1 }, { 0x28, 0xffffffff }, { 0x2c, 0xffffffff }, { 0x34, 0x54 },
		{ 0x3c, 0x005f01ff }, { 0x40, 0x0000000d }, { 0x44, 0x00001b36 }, { 0x48, 0xc0004011 }, { 0x54, 0x01424810 },
		{ 0x58, 0x00008000 }, { 0x5c, 0x0000000f }, { 0x60, 0x00300604 }, { 0x64, 0x02040000 }, { 0x68, 0x001a007b },
		{ 0x6c, 0x009007f9 }, { 0x70, 0x00000007 }, { 0x74, 0 }, { 0x78, 0x00300020 }, { 0x7c, 0x00008020 },
		{ 0x80, 0x0000001e }, { 0x84, 0x00000004 },
		{ 0x100, 0x14820001 }, { 0x104, 0 }, { 0x108, 0 }, { 0x10c, 0x03fff030 }, { 0x110, 0 }, { 0x114, 0x0000f1c1 },
		{ 0x118, 0x000007e0 }, { 0x11c, 0 }, { 0x12c, 0x00000007 }, { 0x130, 0 }, { 0x148, 0x0001000d }, { 0x14c, 0x005f005f },
	};

	begin(&like_qemu, false);
	for (unsigned i = 0; i < sizeof regs / sizeof *regs; i++) {
		wr(regs[i].off, 0xffffffff);
		check_regs(&regs[i], 1);
	}
	for (unsigned i = 0; i < sizeof regs / sizeof *regs; i++)
		wr(regs[i].off, 0);
	check_eq(rd(AER + 0x0c), 0);
	check_eq(rd(AER + 0x14), 0);
	check_eq(rd(AER + 0x18), 0x2a0);
	check_eq(rd(ACS + 4), 0x5f);
	check_eq(rd(EXP + 0x18) & 0xffff, 0);
	pci_host_reset(&rig.host);
	check_eq(rd(AER + 0x0c), 0x00462030);
	check_eq(rd(EXP + 0x18), 0x07c0);
	check_eq(rd(0x20), 0xfff0);
}

static void an_occupied_slot_has_power_presence_and_an_active_link(void)
{
	begin(&like_qemu, true);
	check_eq(rd(EXP + 0x18), 0x004001c0);
	check_eq(rd(EXP + 0x10), 0x22040000);
}

static void the_link_is_the_environments(void)
{
	static const struct { uint8_t speed, width; uint32_t cap, status, cap2, control2; } links[] = {
		{ 1, 1, 0x00100411, 0x00110000, 0, 0 },
		{ 1, 4, 0x00300441, 0x00410000, 0, 0 },
		{ 2, 1, 0x00300412, 0x00120000, 0x06, 2 },
		{ 3, 16, 0x00300503, 0x01030000, 0x0e, 3 },
		{ 5, 8, 0x00300485, 0x00850000, 0x3e, 5 },
	};
	struct env_pci env = like_qemu;

	for (unsigned i = 0; i < sizeof links / sizeof *links; i++) {
		env.link_speed = links[i].speed;
		env.link_width = links[i].width;
		begin(&env, false);
		check_eq(rd(EXP + 0x0c), links[i].cap);
		check_eq(rd(EXP + 0x10), links[i].status);
		check_eq(rd(EXP + 0x2c), links[i].cap2);
		check_eq(rd(EXP + 0x30), links[i].control2);
	}
}

static void a_slot_without_hot_plug_says_so(void)
{
	struct env_pci env = like_qemu;

	env.hotplug = false;
	env.slot = 8191;
	begin(&env, true);
	check_eq(rd(EXP + 0x14), 0xfffa001b);
}

static void the_interlock_toggles_and_reads_as_zero(void)
{
	begin(&like_qemu, true);
	wr16(EXP + 0x18, 0x09c0);
	check_eq(rd16(EXP + 0x18), 0x01c0);
	check_eq(rd16(EXP + 0x1a), 0x00d0);
	wr16(EXP + 0x1a, 0x10);
	wr16(EXP + 0x18, 0x09c0);
	check_eq(rd16(EXP + 0x1a), 0x0050);
}

static void a_finished_command_interrupts_by_msi_x(void)
{
	begin(&like_qemu, true);
	wr(0x10, 0xfe000000);
	wr16(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	bus_write(&rig.mmio, 0xfe000000, 8, 0xfee00000);
	bus_write(&rig.mmio, 0xfe000008, 4, 0x31);
	bus_write(&rig.mmio, 0xfe00000c, 4, 0);
	wr16(0x4a, 0x8000);
	wr16(EXP + 0x18, 0x01f0);
	check_eq(rig.msis, 1);
	check_eq(rig.msi_data, 0x31);
	check_eq(rig.level, 0);
}

static void a_conventional_bridge_has_its_subsystem_only(void)
{
	struct env_pci env = { .kind = ENV_PCI_BRIDGE, .vendor_id = 0x1b36, .device_id = 1, .subsystem_vendor = 0x1b36, .chassis = 1 };

	begin(&env, true);
	check_eq(rd(0x34), 0x40);
	check_eq(rd(0x40), 0x0d);
	check_eq(rd(0x44), 0x1b36);
	check_eq(rd(0x100), 0xffffffff);
	check_eq(rig.port.exp, 0);
}

static const struct test tests[] = {
	{ "an empty root port reads as QEMU's", an_empty_root_port_reads_as_qemus },
	{ "its registers take the writes that QEMU's take", its_registers_take_the_writes_that_qemus_take },
	{ "an occupied slot has power, presence and an active link", an_occupied_slot_has_power_presence_and_an_active_link },
	{ "the link is the environment's", the_link_is_the_environments },
	{ "a slot without hot-plug says so", a_slot_without_hot_plug_says_so },
	{ "the interlock toggles and reads as zero", the_interlock_toggles_and_reads_as_zero },
	{ "a finished command interrupts by MSI-X", a_finished_command_interrupts_by_msi_x },
	{ "a conventional bridge has its subsystem only", a_conventional_bridge_has_its_subsystem_only },
	{ NULL, NULL },
};
const struct suite suite_hv_pci_bridge = { tests };
