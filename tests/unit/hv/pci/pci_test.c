/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/pci/pci.h"
#include <errno.h>
#include "hv/pci/bridge.h"
#include "hv/pci/host.h"
#include "lib/bits.h"
#include "tests/unit/suite.h"

struct world {
	struct bus ports, mmio;
	struct mem mem;
	struct pci_host host;
	struct pci_dev dev;
	int line[4];
	uint8_t line_devfn;
	uint64_t msi_addr;
	uint32_t msi_data;
	unsigned msis, bar_writes;
	uint64_t mapped;
	uint8_t ram[4096];
};

static void intx(void *ctx, uint8_t devfn, unsigned pin, int level)
{
	struct world *w = ctx;

	w->line[pin] += level ? 1 : -1;
	w->line_devfn = devfn;
}

static void msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct world *w = ctx;

	w->msis++;
	w->msi_addr = addr;
	w->msi_data = data;
}

static const struct pci_host_ops host_ops = { .intx = intx, .msi = msi };

static uint64_t bar_read(void *ctx, unsigned bar, uint64_t off, unsigned size) { return 0xab00 + off; }
static void bar_write(void *ctx, unsigned bar, uint64_t off, unsigned size, uint64_t val) { ((struct world *)ctx)->bar_writes++; }
static void bar_mapped(void *ctx, unsigned bar, uint64_t addr) { ((struct world *)ctx)->mapped = addr; }

static const struct pci_dev_ops dev_ops = { .bar_read = bar_read, .bar_write = bar_write, .bar_mapped = bar_mapped };
static const struct pci_id id = { 0x8086, 0x100e, 0x1af4, 0x1100, 0x020000, 3 };

static struct world *setup(void)
{
	static struct world w;

	memset(&w, 0, sizeof w);
	w.mapped = ~0ull;
	check_eq(mem_add(&w.mem, 0, sizeof w.ram, w.ram, false), 0);
	pci_host_init(&w.host, &host_ops, &w, &w.ports, &w.mmio, &w.mem);
	pci_dev_init(&w.dev, "nic", &id, &dev_ops, &w);
	pci_dev_set_pin(&w.dev, 1);
	return &w;
}

static void attach(struct world *w)
{
	check_eq(pci_bus_attach(&w->host.root, &w->dev, 5, 0), 0);
}

static uint32_t rd32(struct world *w, unsigned off) { return (uint32_t)pci_dev_config_read(&w->dev, off, 4); }
static void wr32(struct world *w, unsigned off, uint32_t v) { pci_dev_config_write(&w->dev, off, 4, v); }
static void command(struct world *w, uint16_t v) { pci_dev_config_write(&w->dev, PCI_COMMAND, 2, v); }

static void identity_reads_and_cannot_be_written(void)
{
	struct world *w = setup();

	attach(w);
	wr32(w, PCI_VENDOR_ID, 0);
	check_eq(rd32(w, PCI_VENDOR_ID), 0x100e8086);
	check_eq(rd32(w, PCI_REVISION), 0x02000003);
	check_eq(rd32(w, PCI_SUBSYSTEM_VENDOR), 0x11001af4);
}

static void command_keeps_the_bits_of_qemu(void)
{
	struct world *w = setup();

	attach(w);
	command(w, 0xffff);
	check_eq(pci_dev_config_read(&w->dev, PCI_COMMAND, 2), 0x507);
	command(w, 0x40);	/* no parity error response */
	check_eq(pci_dev_config_read(&w->dev, PCI_COMMAND, 2), 0);
}

static void bars_size_and_decode(void)
{
	struct world *w = setup();

	pci_dev_add_bar(&w->dev, 0, PCI_BAR_MEM32, 0x20000);
	pci_dev_add_bar(&w->dev, 1, PCI_BAR_IO, 64);
	attach(w);
	wr32(w, PCI_BAR0, 0xffffffff);
	check_eq(rd32(w, PCI_BAR0), 0xfffe0000);
	wr32(w, PCI_BAR0 + 4, 0xffffffff);
	check_eq(rd32(w, PCI_BAR0 + 4) & 0xffff, 0xffc1);
	command(w, PCI_COMMAND_MEMORY);
	check_eq(w->mapped, ~0ull);
	wr32(w, PCI_BAR0, 0xfeb00000);
	check_eq(w->mapped, 0xfeb00000);
	check_eq(bus_read(&w->mmio, 0xfeb00010, 2), 0xab10);
	wr32(w, PCI_BAR0, 0xfea00000);
	check_eq(bus_read(&w->mmio, 0xfeb00010, 4), 0xffffffff);
	check_eq(bus_read(&w->mmio, 0xfea00010, 2), 0xab10);
	command(w, 0);
	check_eq(w->mapped, ~0ull);
	check_eq(bus_read(&w->mmio, 0xfea00010, 1), 0xff);
}

static void a_64_bit_bar_uses_both_halves(void)
{
	struct world *w = setup();

	pci_dev_add_bar(&w->dev, 4, PCI_BAR_MEM64_PREFETCH, 0x4000);
	attach(w);
	command(w, PCI_COMMAND_MEMORY);
	wr32(w, PCI_BAR0 + 16, 0x4000);
	wr32(w, PCI_BAR0 + 20, 8);
	check_eq(rd32(w, PCI_BAR0 + 16), 0x400c);
	check_eq(w->mapped, 0x800004000ull);
	wr32(w, PCI_BAR0 + 20, 0xffffffff);	/* beyond every physical address */
	check_eq(w->mapped, ~0ull);
}

static void intx_follows_the_device_and_the_disable_bit(void)
{
	struct world *w = setup();

	attach(w);
	pci_dev_set_intx(&w->dev, 1);
	pci_dev_set_intx(&w->dev, 1);
	check_eq(w->line[0], 1);
	check(rd32(w, PCI_COMMAND) & PCI_STATUS_INTX << 16);
	command(w, PCI_COMMAND_INTX_OFF);
	check_eq(w->line[0], 0);
	command(w, 0);
	check_eq(w->line[0], 1);
	pci_host_reset(&w->host);
	check_eq(w->line[0], 0);
}

static void a_bridge_swizzles_pins(void)
{
	struct world *w = setup();
	struct env_pci env = { .kind = ENV_PCI_BRIDGE, .vendor_id = 0x1b36, .device_id = 1, .path = "/pci/bridge@2,0" };
	static struct pci_bridge b;

	pci_bridge_init(&b, &env, &w->host, true);
	check_eq(pci_bus_attach(&w->host.root, &b.dev, 2, 0), 0);
	check_eq(pci_bus_attach(&b.bus, &w->dev, 3, 0), 0);
	pci_dev_set_intx(&w->dev, 1);
	check_eq(w->line[3], 1);		/* INTA of device 3 leaves as INTD */
	check_eq(w->line_devfn, PCI_DEVFN(2, 0));
}

static void config_reaches_behind_bridges_by_bus_number(void)
{
	struct world *w = setup();
	struct env_pci env = { .kind = ENV_PCI_ROOT_PORT, .vendor_id = 0x1b36, .device_id = 0xc,
			       .slot = 3, .chassis = 1, .hotplug = true };
	static struct pci_bridge b;

	pci_bridge_init(&b, &env, &w->host, true);
	check_eq(pci_bus_attach(&w->host.root, &b.dev, 0x1c, 0), 0);
	check_eq(pci_bus_attach(&b.bus, &w->dev, 0, 0), 0);
	check_eq(pci_host_config_read(&w->host, 1, 0, 0, 4), 0xffffffff);
	pci_host_config_write(&w->host, 0, PCI_DEVFN(0x1c, 0), PCI_PRIMARY_BUS, 4, 0x00020100);
	check_eq(pci_host_config_read(&w->host, 1, 0, 0, 4), 0x100e8086);
	check_eq(pci_host_config_read(&w->host, 2, 0, 0, 4), 0xffffffff);
	check_eq(pci_dev_config_read(&b.dev, b.exp + 0x14u, 4) >> 19, 3);	/* physical slot number */
	check_eq(pci_dev_config_read(&b.dev, b.exp + 0x1au, 2) & 0x40, 0x40);	/* present */
}

static void slot_commands_complete(void)
{
	struct world *w = setup();
	struct env_pci env = { .kind = ENV_PCI_ROOT_PORT, .slot = 3, .chassis = 1, .hotplug = true };
	static struct pci_bridge b;
	unsigned control;

	pci_bridge_init(&b, &env, &w->host, true);
	check_eq(pci_bus_attach(&w->host.root, &b.dev, 0x1c, 0), 0);
	control = b.exp + 0x18u;
	pci_dev_config_write(&b.dev, control, 2, 0x3f);
	check_eq(pci_dev_config_read(&b.dev, control + 2, 2) & 0x10, 0x10);
	check_eq(w->line[0], 1);
	pci_dev_config_write(&b.dev, control + 2, 2, 0x10);	/* write 1 to clear */
	check_eq(pci_dev_config_read(&b.dev, control + 2, 2) & 0x10, 0);
	check_eq(w->line[0], 0);
}

static void msi_replaces_the_line(void)
{
	struct world *w = setup();

	pci_dev_add_msi(&w->dev, 0x80, true);
	attach(w);
	command(w, PCI_COMMAND_MASTER);
	wr32(w, 0x84, 0xfee01000);
	pci_dev_config_write(&w->dev, 0x8c, 2, 0x4041);
	pci_dev_config_write(&w->dev, 0x82, 2, 1);
	pci_dev_set_irq(&w->dev, 1);
	pci_dev_set_irq(&w->dev, 1);
	check_eq(w->msis, 1);
	check_eq(w->msi_addr, 0xfee01000);
	check_eq(w->msi_data, 0x4041);
	check_eq(w->line[0], 0);
	pci_dev_config_write(&w->dev, 0x82, 2, 0);
	check_eq(w->line[0], 1);		/* still asserted: back on the line */
}

static void msix_pends_while_masked(void)
{
	struct world *w = setup();

	pci_dev_add_bar(&w->dev, 1, PCI_BAR_MEM32, 4096);
	pci_dev_add_msix(&w->dev, 0, 2, 1, 0, 0x800);
	attach(w);
	command(w, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	wr32(w, PCI_BAR0 + 4, 0xfe000000);
	bus_write(&w->mmio, 0xfe000010, 8, 0xfee00000);
	bus_write(&w->mmio, 0xfe000018, 4, 0x55);
	pci_dev_config_write(&w->dev, w->dev.msix.cap + 2u, 2, 0x8000);
	pci_dev_send_msix(&w->dev, 1);
	check_eq(w->msis, 0);
	check_eq(bus_read(&w->mmio, 0xfe000800, 8), 2);
	bus_write(&w->mmio, 0xfe00001c, 4, 0);	/* unmask */
	check_eq(w->msis, 1);
	check_eq(w->msi_data, 0x55);
	check_eq(bus_read(&w->mmio, 0xfe000800, 8), 0);
	pci_dev_send_msix(&w->dev, 7);		/* no such vector */
	check_eq(w->msis, 1);
	bus_write(&w->mmio, 0xfe000011, 2, 0xffff);	/* undefined size: dropped */
	check_eq(bus_read(&w->mmio, 0xfe000010, 4), 0xfee00000);
}

static void dma_needs_bus_mastering(void)
{
	struct world *w = setup();
	uint8_t b[4];

	attach(w);
	check(pci_dev_dma_at(&w->dev, 0, 4) == NULL);
	check_eq(pci_dev_dma_read(&w->dev, 0, b, 4), (uint64_t)-EFAULT);
	check_eq(pci_dev_dma_write(&w->dev, 0, b, 4), (uint64_t)-EFAULT);
	command(w, PCI_COMMAND_MASTER);
	check(pci_dev_dma_at(&w->dev, 0, 4) == w->ram);
	check_eq(pci_dev_dma_write(&w->dev, 4094, b, 4), (uint64_t)-EFAULT);
}

static void mechanism_1_and_ecam_agree(void)
{
	struct world *w = setup();

	attach(w);
	pci_host_address_ops.write(&w->host, 0, 4, 0x80002800);
	check_eq(pci_host_data_ops.read(&w->host, 0, 4), 0x100e8086);
	check_eq(pci_host_data_ops.read(&w->host, 2, 2), 0x100e);
	check_eq(pci_host_ecam_ops.read(&w->host, 0x28000, 4), 0x100e8086);
	check_eq(pci_host_ecam_ops.read(&w->host, 0x28100, 4), 0xffffffff);	/* no extended space */
	pci_host_address_ops.write(&w->host, 0, 4, 0x00002800);
	check_eq(pci_host_data_ops.read(&w->host, 0, 4), 0xffffffff);
	pci_host_address_ops.write(&w->host, 0, 4, 0x8000ff00);	/* nobody there */
	check_eq(pci_host_data_ops.read(&w->host, 0, 4), 0xffffffff);
}

static void an_address_taken_is_refused(void)
{
	struct world *w = setup();
	static struct pci_dev other;

	attach(w);
	pci_dev_init(&other, "other", &id, NULL, NULL);
	check_eq(pci_bus_attach(&w->host.root, &other, 5, 0), (uint64_t)-EEXIST);
	check_eq(pci_bus_attach(&w->host.root, &other, 5, 1), 0);
	check_eq(rd32(w, PCI_CACHE_LINE) >> 16 & 0x80, 0x80);	/* now multi-function */
}

static const struct test tests[] = {
	{ "identity reads and cannot be written", identity_reads_and_cannot_be_written },
	{ "the command register keeps the bits that QEMU's does", command_keeps_the_bits_of_qemu },
	{ "BARs size and decode", bars_size_and_decode },
	{ "a 64-bit BAR uses both halves", a_64_bit_bar_uses_both_halves },
	{ "INTx follows the device and the disable bit", intx_follows_the_device_and_the_disable_bit },
	{ "a bridge swizzles pins", a_bridge_swizzles_pins },
	{ "config reaches behind bridges by bus number", config_reaches_behind_bridges_by_bus_number },
	{ "slot commands complete", slot_commands_complete },
	{ "MSI replaces the line", msi_replaces_the_line },
	{ "MSI-X pends while masked", msix_pends_while_masked },
	{ "DMA needs bus mastering", dma_needs_bus_mastering },
	{ "mechanism 1 and ECAM agree", mechanism_1_and_ecam_agree },
	{ "an address taken is refused", an_address_taken_is_refused },
	{ NULL, NULL },
};
const struct suite suite_hv_pci_pci = { tests };
