/* SPDX-License-Identifier: Apache-2.0 */
/* The 82540EM's register file (§13), interrupts with throttling (§3.2, §13.4.17-22), reset and PCI face. */
#include "hv/dev/e1000_priv.h"
#include <errno.h>
#include <stdlib.h>

enum { BAR_REGS = 0, BAR_IO = 1, REGS_SIZE = 0x20000, IO_SIZE = 64 };
enum { PBA_DEFAULT = 0x00100030, CTRL_DEFAULT = 0x00140241, LEDCTL_DEFAULT = 0x07061302, TIPG_DEFAULT = 0x00602008,
	RXDCTL_DEFAULT = 0x01010000, WUC_APME = 1 };

/* How a register reads and what a write does; everything that is not here reads 0. */
enum kind {
	NONE,
	PLAIN,		/* keeps what is written */
	HALF,		/* keeps 16 bits */
	BASE,		/* ring base: 16-byte aligned */
	LENGTH,		/* ring length: multiples of 128 below 1 MiB */
	FIXED,		/* writes are dropped */
	COUNTER,	/* statistics: reading clears */
	COUNTER_LOW,	/* low half of 64 bits */
	COUNTER_HIGH,	/* reading clears both halves */
	CONTROL, EEPROM_PINS, EEPROM_READ, PHY, CAUSE, CAUSE_SET, MASK, MASK_CLEAR, THROTTLE, RX_CONTROL, TX_CONTROL, RX_TAIL, TX_TAIL,
};

static const uint8_t kinds[E1000_REGS] = {
	[R_CTRL] = CONTROL, [R_CTRL_DUP] = CONTROL, [R_STATUS] = FIXED, [R_EECD] = EEPROM_PINS, [R_EERD] = EEPROM_READ,
	[R_CTRL_EXT] = PLAIN, [R_FLA] = PLAIN, [R_MDIC] = PHY, [R_FCAL] = PLAIN, [R_FCAH] = HALF, [R_FCT] = HALF, [R_VET] = HALF,
	[R_ICR] = CAUSE, [R_ITR] = THROTTLE, [R_ICS] = CAUSE_SET, [R_IMS] = MASK, [R_IMC] = MASK_CLEAR, [R_RCTL] = RX_CONTROL,
	[R_FCTTV] = HALF, [R_TXCW] = PLAIN, [R_RXCW] = FIXED, [R_TCTL] = TX_CONTROL, [R_TIPG] = PLAIN, [R_AIT] = HALF,
	[R_LEDCTL] = PLAIN, [R_PBA] = PLAIN, [R_FCRTL] = PLAIN, [R_FCRTH] = PLAIN,
	[R_RDFH] = HALF, [R_RDFT] = HALF, [R_RDFHS] = HALF, [R_RDFTS] = HALF, [R_RDFPC] = HALF,
	[R_RDBAL] = BASE, [R_RDBAH] = PLAIN, [R_RDLEN] = LENGTH, [R_RDH] = HALF, [R_RDT] = RX_TAIL, [R_RDTR] = HALF,
	[R_RXDCTL] = PLAIN, [R_RADV] = HALF, [R_RSRPD] = HALF, [R_TXDMAC] = PLAIN,
	[R_TDFH] = HALF, [R_TDFT] = HALF, [R_TDFHS] = HALF, [R_TDFTS] = HALF, [R_TDFPC] = HALF,
	[R_TDBAL] = BASE, [R_TDBAH] = PLAIN, [R_TDLEN] = LENGTH, [R_TDH] = HALF, [R_TDT] = TX_TAIL, [R_TIDV] = HALF,
	[R_TXDCTL] = PLAIN, [R_TADV] = HALF, [R_TSPMT] = PLAIN,
	[R_CRCERRS ... R_GPTC] = COUNTER, [R_GORCL] = COUNTER_LOW, [R_GORCH] = COUNTER_HIGH, [R_GOTCL] = COUNTER_LOW,
	[R_GOTCH] = COUNTER_HIGH, [R_RNBC ... R_TORL - 1] = COUNTER, [R_TORL] = COUNTER_LOW, [R_TORH] = COUNTER_HIGH,
	[R_TOTL] = COUNTER_LOW, [R_TOTH] = COUNTER_HIGH, [R_TPR ... R_TSCTFC] = COUNTER,
	[R_RXCSUM] = PLAIN, [R_MTA ... R_MTA_END] = PLAIN, [R_RA ... R_RA_END] = PLAIN, [R_VFTA ... R_VFTA_END] = PLAIN,
	[R_WUC] = PLAIN, [R_WUFC] = PLAIN, [R_WUS] = PLAIN, [R_MANC] = PLAIN, [R_IPAV] = PLAIN, [R_IP4AT ... R_IP4AT_END] = PLAIN,
	[R_IP6AT ... R_IP6AT_END] = PLAIN, [R_WUPL] = HALF, [R_WUPM ... R_WUPM_END] = PLAIN, [R_FFLT ... R_FFLT_END] = PLAIN,
};

/* §13.4.18: at most one rising edge of INTA in ITR times 256 ns. A held back cause is delivered by the timer. */
static void update_line(struct e1000 *n)
{
	bool want = n->reg[R_ICR] & n->reg[R_IMS];
	uint64_t now, open;

	if (want == n->line)
		return;
	if (want) {
		now = clock_now(n->clock);
		open = n->asserted_ns + (uint64_t)(n->reg[R_ITR] & 0xffff) * 256;
		if (n->throttled && now < open) {
			clock_arm(n->clock, &n->itr_timer, open);
			return;
		}
		n->asserted_ns = now;
		n->throttled = true;
	}
	n->line = want;
	pci_dev_set_intx(&n->pci, want);
}

static void itr_fire(void *ctx)
{
	update_line(ctx);
}

void e1000_raise(struct e1000 *n, uint32_t causes)
{
	n->reg[R_ICR] |= causes & ICR_ALL;
	update_line(n);
}

void e1000_count(struct e1000 *n, unsigned reg, uint32_t by)
{
	if (__builtin_add_overflow(n->reg[reg], by, &n->reg[reg]))
		n->reg[reg] = UINT32_MAX;
}

void e1000_count64(struct e1000 *n, unsigned low, uint32_t by)
{
	uint64_t v = (uint64_t)n->reg[low + 1] << 32 | n->reg[low];

	if (__builtin_add_overflow(v, by, &v))
		v = UINT64_MAX;
	n->reg[low] = (uint32_t)v;
	n->reg[low + 1] = (uint32_t)(v >> 32);
}

void e1000_count_size(struct e1000 *n, unsigned first, size_t len)
{
	static const uint16_t most[] = { 64, 127, 255, 511, 1023 };
	unsigned i = 0;

	while (i < sizeof most / sizeof most[0] && len > most[i])
		i++;
	e1000_count(n, first + i, 1);
}

bool e1000_ring_get(const struct e1000 *n, unsigned bal, struct e1000_ring *ring)
{
	const uint32_t *r = &n->reg[bal];

	*ring = (struct e1000_ring){ .base = (uint64_t)r[1] << 32 | r[0], .count = r[2] / E1000_DESC, .head = r[4], .tail = r[6] };
	return ring->head < ring->count && ring->tail < ring->count;
}

/* §14.7: everything in the MAC; addresses come back from the EEPROM. The PHY and its link stay. */
static void reset_mac(struct e1000 *n)
{
	const uint16_t *mac = n->eeprom.word;

	clock_disarm(n->clock, &n->itr_timer);
	memset(n->reg, 0, sizeof n->reg);
	n->reg[R_CTRL] = CTRL_DEFAULT;
	n->reg[R_VET] = NET_ETH_VLAN;
	n->reg[R_LEDCTL] = LEDCTL_DEFAULT;
	n->reg[R_PBA] = PBA_DEFAULT;
	n->reg[R_TIPG] = TIPG_DEFAULT;
	n->reg[R_RXDCTL] = RXDCTL_DEFAULT;
	n->reg[R_WUC] = WUC_APME;
	n->reg[R_RA] = mac[0] | (uint32_t)mac[1] << 16;
	n->reg[R_RA + 1] = mac[2] | RAH_AV;
	n->io_addr = 0;
	n->throttled = false;
	e1000_tx_reset(n);
	update_line(n);
	e1000_link_update(n);
	e1000_link_start(n);
	e1000_rx_run(n);
}

static void write_ctrl(struct e1000 *n, uint32_t val)
{
	uint32_t old = n->reg[R_CTRL], link = n->reg[R_STATUS] & STATUS_LU;

	n->reg[R_CTRL] = val & ~CTRL_RST;
	if (val & CTRL_RST) {
		reset_mac(n);
		return;
	}
	if (val & CTRL_PHY_RST && !(old & CTRL_PHY_RST))
		e1000_phy_reset(n);
	e1000_link_update(n);
	if ((n->reg[R_STATUS] & STATUS_LU) != link)
		e1000_raise(n, ICR_LSC);
}

static uint32_t take(uint32_t *reg)
{
	uint32_t v = *reg;

	*reg = 0;
	return v;
}

static uint32_t read_reg(struct e1000 *n, unsigned i)
{
	uint32_t v;

	if (i >= E1000_REGS || kinds[i] == NONE) {
		n->faults.unknown_reads++;
		return 0;
	}
	switch ((enum kind)kinds[i]) {
	case CONTROL:
		return n->reg[R_CTRL];
	case EEPROM_PINS:
		return e1000_eeprom_read_eecd(&n->eeprom, n->reg[i]);
	case EEPROM_READ:
		return e1000_eeprom_read_eerd(&n->eeprom, n->reg[i]);
	case COUNTER:
		return take(&n->reg[i]);
	case COUNTER_HIGH:
		n->reg[i - 1] = 0;
		return take(&n->reg[i]);
	case CAUSE:
		v = take(&n->reg[i]);
		update_line(n);
		return v;
	case CAUSE_SET:
	case MASK_CLEAR:
		return 0;
	default:
		return n->reg[i];
	}
}

/* Registers with an effect; val is whole. */
static void write_special(struct e1000 *n, unsigned i, uint32_t val)
{
	switch ((enum kind)kinds[i]) {
	case CONTROL:
		write_ctrl(n, val);
		break;
	case EEPROM_PINS:
		n->reg[i] = val;
		e1000_eeprom_write_eecd(&n->eeprom, val);
		break;
	case PHY:
		n->reg[i] = e1000_phy_access(n, val);
		break;
	case CAUSE:
		n->reg[R_ICR] &= ~val;
		update_line(n);
		break;
	case CAUSE_SET:
		e1000_raise(n, val);
		break;
	case MASK:
		n->reg[R_IMS] |= val & ICR_ALL;
		update_line(n);
		break;
	case MASK_CLEAR:
		n->reg[R_IMS] &= ~val;
		update_line(n);
		break;
	case THROTTLE:
		n->reg[i] = val & 0xffff;
		clock_disarm(n->clock, &n->itr_timer);
		update_line(n);
		break;
	case RX_CONTROL:
		n->reg[i] = val;
		e1000_rx_run(n);
		break;
	case RX_TAIL:
		n->reg[i] = val & 0xffff;
		e1000_rx_run(n);
		break;
	case TX_CONTROL:
		n->reg[i] = val;
		e1000_tx_run(n);
		break;
	case TX_TAIL:
		n->reg[i] = val & 0xffff;
		e1000_tx_run(n);
		break;
	default:
		break;
	}
}

/* mask: the bytes written */
static void write_reg(struct e1000 *n, unsigned i, uint32_t val, uint32_t mask)
{
	enum kind kind = i < E1000_REGS ? (enum kind)kinds[i] : NONE;

	val &= mask;
	if (kind != CAUSE && kind != NONE)
		val |= (kind == CONTROL ? n->reg[R_CTRL] : n->reg[i]) & ~mask;
	switch (kind) {
	case NONE:
		n->faults.unknown_writes++;
		break;
	case PLAIN:
	case EEPROM_READ:
		n->reg[i] = val;
		break;
	case HALF:
		n->reg[i] = val & 0xffff;
		break;
	case BASE:
		n->reg[i] = val & ~15u;
		break;
	case LENGTH:
		n->reg[i] = val & 0xfff80;
		break;
	default:
		write_special(n, i, val);
	}
}

/* Any size at any offset, as bytes of the 32-bit registers it touches. */
static uint64_t read_regs(struct e1000 *n, uint64_t off, unsigned size)
{
	uint64_t val = 0;

	for (unsigned done = 0; done < size;) {
		unsigned at = (off + done) & 3, take_bytes = 4 - at < size - done ? 4 - at : size - done;

		val |= ((uint64_t)read_reg(n, (unsigned)((off + done) / 4)) >> at * 8 & bits_mask(take_bytes)) << done * 8;
		done += take_bytes;
	}
	return val;
}

static void write_regs(struct e1000 *n, uint64_t off, unsigned size, uint64_t val)
{
	for (unsigned done = 0; done < size;) {
		unsigned at = (off + done) & 3, put_bytes = 4 - at < size - done ? 4 - at : size - done;
		uint32_t mask = (uint32_t)(bits_mask(put_bytes) << at * 8);

		write_reg(n, (unsigned)((off + done) / 4), (uint32_t)(val >> done * 8 << at * 8), mask);
		done += put_bytes;
	}
}

/* §13.2.2: BAR 1 holds IOADDR at 0 and IODATA at 4, which together reach the registers. */
static uint64_t read(void *ctx, unsigned bar, uint64_t off, unsigned size)
{
	struct e1000 *n = ctx;

	if (bar == BAR_REGS)
		return read_regs(n, off, size);
	if (off < 4)
		return n->io_addr >> off * 8;
	if (off < 8 && n->io_addr < REGS_SIZE)
		return read_regs(n, (n->io_addr & ~3u) + (off & 3), size);
	return 0;
}

static void write(void *ctx, unsigned bar, uint64_t off, unsigned size, uint64_t val)
{
	struct e1000 *n = ctx;

	if (bar == BAR_REGS) {
		write_regs(n, off, size, val);
	} else if (off < 4) {
		uint32_t mask = (uint32_t)(bits_mask(size) << off * 8);

		n->io_addr = (n->io_addr & ~mask) | ((uint32_t)(val << off * 8) & mask);
	} else if (off < 8 && n->io_addr < REGS_SIZE) {
		write_regs(n, (n->io_addr & ~3u) + (off & 3), size, val);
	}
}

static void reset(void *ctx)
{
	struct e1000 *n = ctx;

	memset(n->reg, 0, sizeof n->reg);
	e1000_phy_reset(n);
	reset_mac(n);
}

static const struct pci_dev_ops pci_ops = { .bar_read = read, .bar_write = write, .reset = reset };

static bool receive(void *nic, const struct virtio_net_hdr_v1 *hdr, const void *frame, size_t len)
{
	struct e1000 *n = nic;

	if (!(n->reg[R_STATUS] & STATUS_LU)) {
		n->faults.rx_off++;
		return true;
	}
	return e1000_rx_frame(n, hdr, frame, len);
}

static void carrier(void *nic, bool up)
{
	struct e1000 *n = nic;
	bool was = n->reg[R_STATUS] & STATUS_LU;

	n->carrier = up;
	n->negotiated = false;
	clock_disarm(n->clock, &n->link_timer);
	e1000_link_update(n);
	e1000_link_start(n);
	if (was)
		e1000_raise(n, ICR_LSC);
}

static const struct net_nic_ops nic_ops = { .receive = receive, .carrier = carrier };

int e1000_create(struct e1000 **nic, const struct env_pci *env, struct clock *clock, struct net_port *port, struct err *err)
{
	const struct pci_id id = {
		.vendor = env->vendor_id, .device = env->device_id, .subsystem_vendor = env->subsystem_vendor,
		.subsystem_device = env->subsystem_device, .class_code = 0x020000, .revision = env->revision,
	};
	struct e1000 *n = calloc(1, sizeof *n);

	if (!n)
		return err_set(err, -ENOMEM, "%s: not enough memory for a network controller", env->name);
	n->env = env;
	n->clock = clock;
	n->port = port;
	n->itr_timer = (struct clock_timer){ .fire = itr_fire, .ctx = n };
	e1000_tx_init(n);
	e1000_link_init(n);
	e1000_eeprom_init(&n->eeprom, env);
	pci_dev_init(&n->pci, env->name, &id, &pci_ops, n);
	n->pci.config[PCI_CACHE_LINE] = 64 / 4;	/* in dwords; firmware leaves it alone and drivers show it */
	pci_dev_set_pin(&n->pci, 1);
	pci_dev_add_bar(&n->pci, BAR_REGS, PCI_BAR_MEM32, REGS_SIZE);
	pci_dev_add_bar(&n->pci, BAR_IO, PCI_BAR_IO, IO_SIZE);
	reset(n);
	net_port_connect(port, &nic_ops, n);
	net_port_set_offload(port, 0);
	*nic = n;
	return 0;
}

void e1000_free(struct e1000 *n)
{
	if (!n)
		return;
	net_port_connect(n->port, NULL, NULL);
	clock_disarm(n->clock, &n->itr_timer);
	clock_disarm(n->clock, &n->link_timer);
	clock_disarm(n->clock, &n->tx_timer);
	free(n);
}

struct pci_dev *e1000_pci(struct e1000 *n)
{
	return &n->pci;
}

const struct e1000_faults *e1000_faults(const struct e1000 *n)
{
	return &n->faults;
}
