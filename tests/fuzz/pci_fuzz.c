/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PCI tree and the chipset against a hostile guest: q35 or i440fx (bit 0 of the first byte), a device on the root bus,
 * one behind a root port (q35) or a bridge, each with BARs of every kind, MSI or MSI-X and an interrupt pin. Ops: what (1), then an
 * address (4), size (1) and value (8) as needed. Checked: an interrupt line only ever changes, and all are low after a reset with
 * every device quiet; a BAR is mapped and unmapped in turn; handlers see sizes of 1, 2, 4 and 8 inside their BAR only.
 */
#include <stdlib.h>
#include "hv/pci/bridge.h"
#include "hv/pci/chipset.h"
#include "lib/bits.h"
#include "lib/buf.h"

enum op { CONFIG_READ, CONFIG_WRITE, ECAM_READ, ECAM_WRITE, PORT_READ, PORT_WRITE, MMIO_READ, MMIO_WRITE, BAR_ACCESS, INTX,
	IRQ, MSIX, ISA, RESET, PROGRAM, OPS };
enum { DEVICES = 3 };

struct rig;
struct device { struct rig *rig; struct pci_dev pci; bool mapped[PCI_BARS]; };

struct rig {
	struct env env;
	struct bus ports, mmio;
	struct mem mem;
	struct pci_host host;
	struct chipset *chipset;
	struct pci_bridge port, bridge;
	struct device dev[DEVICES];
	int line[CHIPSET_GSIS];
	int pins[256][4];		/* sources by root device and pin */
	unsigned msis;
	uint8_t ram[4096];
};

static void need(bool ok)
{
	if (!ok)
		abort();
}

static void intx(void *ctx, uint8_t devfn, unsigned pin, int level)
{
	struct rig *r = ctx;

	need(pin < 4 && (level == 0 || level == 1));
	r->pins[devfn][pin] += level ? 1 : -1;
	need(r->pins[devfn][pin] >= 0 && r->pins[devfn][pin] <= DEVICES + 3);
	chipset_intx(r->chipset, devfn, pin, level);
}

static void msi(void *ctx, uint64_t addr, uint32_t data)
{
	((struct rig *)ctx)->msis++;
}

static void set_gsi(void *ctx, unsigned gsi, int level)
{
	struct rig *r = ctx;

	need(gsi > 0 && gsi < CHIPSET_GSIS && r->line[gsi] != level);
	r->line[gsi] = level;
}

static const struct pci_host_ops host_ops = { .intx = intx, .msi = msi };

static void check_access(struct device *d, unsigned bar, uint64_t off, unsigned size)
{
	need(bar < PCI_BARS && d->mapped[bar] && (size == 1 || size == 2 || size == 4 || size == 8));
	need(off + size <= d->pci.bar[bar].size);
}

static uint64_t bar_read(void *ctx, unsigned bar, uint64_t off, unsigned size)
{
	check_access(ctx, bar, off, size);
	return off;
}

static void bar_write(void *ctx, unsigned bar, uint64_t off, unsigned size, uint64_t val)
{
	check_access(ctx, bar, off, size);
}

static void bar_mapped(void *ctx, unsigned bar, uint64_t addr)
{
	struct device *d = ctx;

	need(d->mapped[bar] == (addr == ~0ull));
	d->mapped[bar] = addr != ~0ull;
	need(d->mapped[bar] == false || !(addr & (d->pci.bar[bar].size - 1)));
}

static const struct pci_dev_ops dev_ops = { .bar_read = bar_read, .bar_write = bar_write, .bar_mapped = bar_mapped };

static uint64_t pm_read(void *ctx, uint64_t off, unsigned size)
{
	need(off + size <= 128);
	return 0;
}

static void pm_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	need(off + size <= 128);
}

static const struct bus_ops pm_ops = { .read = pm_read, .write = pm_write };

static void add_device(struct rig *r, unsigned i, struct pci_bus *bus, unsigned device)
{
	static const struct pci_id id = { 0x1af4, 0x1000, 0x1af4, 1, 0x020000, 1 };
	struct pci_dev *d = &r->dev[i].pci;

	r->dev[i].rig = r;
	pci_dev_init(d, "device", &id, &dev_ops, &r->dev[i]);
	pci_dev_set_pin(d, 1 + i);
	pci_dev_add_bar(d, 0, PCI_BAR_IO, 64);
	pci_dev_add_bar(d, 1, PCI_BAR_MEM32, 4096);
	pci_dev_add_bar(d, 2, PCI_BAR_MEM64, 16384);
	pci_dev_add_bar(d, 4, PCI_BAR_MEM64_PREFETCH, 1 << 20);
	if (i == 1)
		pci_dev_add_msi(d, 0, true);
	else
		pci_dev_add_msix(d, 0, 33, 1, 0, 0x800);
	if (i == 2)
		pci_dev_add_express(d, 0, 0);
	need(!pci_bus_attach(bus, d, device, 0));
}

static void start(struct rig *r, bool q35)
{
	const struct env_pci port = { .kind = ENV_PCI_ROOT_PORT, .name = "port", .slot = 3, .hotplug = true };
	const struct env_pci bridge = { .kind = ENV_PCI_BRIDGE, .name = "bridge", .vendor_id = 0x1b36, .device_id = 1 };
	struct chipset_config config = { .env = &r->env, .host = &r->host, .ports = &r->ports, .mmio = &r->mmio,
					 .pm_ops = &pm_ops, .pm_len = q35 ? 128 : 64, .set_gsi = set_gsi, .ctx = r };

	r->env.chipset = q35 ? ENV_Q35 : ENV_I440FX;
	need(!mem_add(&r->mem, 0, sizeof r->ram, r->ram, false));
	pci_host_init(&r->host, &host_ops, r, &r->ports, &r->mmio, &r->mem);
	need(!chipset_create(&r->chipset, &config, NULL));
	pci_bridge_init(&r->bridge, &bridge, &r->host, true);
	need(!pci_bus_attach(&r->host.root, &r->bridge.dev, 6, 0));
	if (q35) {
		pci_bridge_init(&r->port, &port, &r->host, true);
		need(!pci_bus_attach(&r->host.root, &r->port.dev, 0x1c, 0));
	}
	add_device(r, 0, &r->host.root, 5);
	add_device(r, 1, &r->bridge.bus, 3);
	add_device(r, 2, q35 ? &r->port.bus : &r->bridge.bus, 0);
}

static void reset(struct rig *r)
{
	pci_host_reset(&r->host);
	chipset_reset(r->chipset);
	for (unsigned i = 0; i < CHIPSET_GSIS; i++)
		need(!r->line[i]);
	for (unsigned i = 0; i < 256; i++)
		for (unsigned p = 0; p < 4; p++)
			need(!r->pins[i][p]);
	for (unsigned i = 0; i < DEVICES; i++)
		for (unsigned b = 0; b < PCI_BARS; b++)
			need(!r->dev[i].mapped[b] && !r->dev[i].pci.bar[b].range.mapped);
}

/* Half of all config addresses hit a function that is there. */
static uint32_t config_address(const struct rig *r, uint32_t raw)
{
	static const uint8_t there[] = { 0x00, 0x08, 0x0b, 0x28, 0x30, 0xe0, 0xf8, 0x18 };

	if (raw & 1)
		return raw & 0x0ffffffe;
	return ((raw >> 24 & 3) << 20) | (uint32_t)there[raw >> 16 & 7] << 12 | (raw & 0xffe);
}

static void bus_access(struct bus *bus, bool write, uint64_t addr, unsigned size, struct rbuf *in)
{
	if (write)
		bus_write(bus, addr, size, rbuf_le64(in));
	else
		(void)bus_read(bus, addr, size);
}

static void config_access(struct rig *r, bool write, struct rbuf *in)
{
	uint32_t a = config_address(r, rbuf_le32(in));
	unsigned size = 1u << (rbuf_u8(in) & 3);

	bus_write(&r->ports, 0xcf8, 4, 0x80000000 | (a >> 4 & 0xffff00) | (a & 0xfc));
	bus_access(&r->ports, write, 0xcfc + (a & 3), size > 4 ? 4 : size, in);
}

static void bar_access(struct rig *r, struct rbuf *in)
{
	uint8_t what = rbuf_u8(in);
	const struct pci_bar *b = &r->dev[what % DEVICES].pci.bar[(what >> 2) % PCI_BARS];
	uint32_t off = rbuf_le32(in);
	unsigned size = 1 + (rbuf_u8(in) & 7);

	if (b->range.mapped)
		bus_access(b->kind == PCI_BAR_IO ? &r->ports : &r->mmio, what & 0x80, b->range.base + off % b->size, size, in);
}

static void step(struct rig *r, struct rbuf *in)
{
	enum op op = rbuf_u8(in) % OPS;
	uint64_t addr;
	uint8_t b;

	switch (op) {
	case CONFIG_READ:
	case CONFIG_WRITE:
		config_access(r, op == CONFIG_WRITE, in);
		break;
	case ECAM_READ:
	case ECAM_WRITE:
		addr = 0xb0000000 + config_address(r, rbuf_le32(in));
		bus_access(&r->mmio, op == ECAM_WRITE, addr, 1 + (rbuf_u8(in) & 7), in);
		break;
	case PORT_READ:
	case PORT_WRITE:
		addr = rbuf_le16(in);
		bus_access(&r->ports, op == PORT_WRITE, addr, 1u << (rbuf_u8(in) % 3), in);
		break;
	case MMIO_READ:
	case MMIO_WRITE:
		addr = rbuf_le64(in) & ((1ull << 52) - 1);
		bus_access(&r->mmio, op == MMIO_WRITE, addr, 1 + (rbuf_u8(in) & 7), in);
		break;
	case BAR_ACCESS:
		bar_access(r, in);
		break;
	case INTX:
	case IRQ:
		b = rbuf_u8(in);
		(op == INTX ? pci_dev_set_intx : pci_dev_set_irq)(&r->dev[(b >> 1) % DEVICES].pci, b & 1);
		break;
	case MSIX:
		b = rbuf_u8(in);
		pci_dev_send_msix(&r->dev[b & 2].pci, b >> 2);
		break;
	case ISA:
		b = rbuf_u8(in);
		chipset_isa_irq(r->chipset, b >> 1 & 31, b & 1);
		break;
	case RESET:
		reset(r);
		break;
	default:
		chipset_program(r->chipset, 0x600, 0xb0000000);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rig *r = calloc(1, sizeof *r);
	struct rbuf in;

	if (!r)
		return 0;
	in = rbuf_of(data, len);
	start(r, rbuf_u8(&in) & 1);
	for (unsigned n = 0; n < 500 && rbuf_left(&in) && !in.failed; n++)
		step(r, &in);
	reset(r);
	chipset_free(r->chipset);
	free(r);
	return 0;
}
