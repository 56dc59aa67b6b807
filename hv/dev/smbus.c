/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/smbus.h"
#include "lib/bits.h"

enum { BAR = 4, HOSTC = 0x40, HOSTC_ENABLE = 1, HOSTC_KEEP = 7 };
enum {
	STATUS = 0x00, CONTROL = 0x02, BLOCK_DATA = 0x07, RECEIVE_ADDRESS = 0x09, AUX_STATUS = 0x0c, SMLINK_PINS = 0x0e,
	SMBUS_PINS = 0x0f, SLAVE_STATUS = 0x10,
};
enum { STATUS_DEVICE_ERROR = 0x04, STATUS_FAILED = 0x10, STATUS_CLEAR = 0xbe };
enum { CONTROL_IRQ = 0x01, CONTROL_KILL = 0x02, CONTROL_START = 0x40 };
enum { PINS_HIGH = 0x07 };

const struct pci_id smbus_id = { .vendor = 0x8086, .device = 0x2930, .class_code = 0x0c0500, .revision = 2 };

static void raise(struct smbus *s)
{
	pci_dev_set_intx(&s->pci, (s->reg[CONTROL] & CONTROL_IRQ) && (s->reg[STATUS] & STATUS_CLEAR));
}

static void write_control(struct smbus *s, uint8_t v)
{
	s->reg[CONTROL] = v & (uint8_t)~CONTROL_START;
	if (v & CONTROL_KILL) {
		s->reg[STATUS] |= STATUS_FAILED;
	} else if (v & CONTROL_START) {
		s->transactions++;
		s->reg[STATUS] |= STATUS_DEVICE_ERROR;
	}
}

static uint8_t read8(struct smbus *s, unsigned off)
{
	switch (off) {
	case CONTROL:
		s->block_at = 0;	/* reading it rewinds the block buffer */
		return s->reg[CONTROL];
	case BLOCK_DATA:
		return s->block[s->block_at++ % SMBUS_BLOCK];
	case SMLINK_PINS:
	case SMBUS_PINS:
		return PINS_HIGH;
	default:
		return s->reg[off];
	}
}

static void write8(struct smbus *s, unsigned off, uint8_t v)
{
	switch (off) {
	case STATUS:
		s->reg[STATUS] &= (uint8_t)~(v & STATUS_CLEAR);
		break;
	case CONTROL:
		write_control(s, v);
		break;
	case BLOCK_DATA:
		s->block[s->block_at++ % SMBUS_BLOCK] = v;
		break;
	case STATUS + 1: case AUX_STATUS: case SMLINK_PINS: case SMBUS_PINS: case SLAVE_STATUS:
		break;
	default:
		if (off <= 0x17)
			s->reg[off] = v;
	}
}

static uint64_t read(void *ctx, unsigned bar, uint64_t off, unsigned size)
{
	struct smbus *s = ctx;
	uint64_t v = 0;

	if (!(s->pci.config[HOSTC] & HOSTC_ENABLE))
		return ~0ull;
	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)read8(s, (unsigned)(off + i) % SMBUS_PORTS) << (8 * i);
	return v;
}

static void write(void *ctx, unsigned bar, uint64_t off, unsigned size, uint64_t val)
{
	struct smbus *s = ctx;

	if (!(s->pci.config[HOSTC] & HOSTC_ENABLE))
		return;
	for (unsigned i = 0; i < size; i++)
		write8(s, (unsigned)(off + i) % SMBUS_PORTS, (uint8_t)(val >> (8 * i)));
	raise(s);
}

static void reset(void *ctx)
{
	struct smbus *s = ctx;

	memset(s->reg, 0, sizeof s->reg);
	memset(s->block, 0, sizeof s->block);
	s->block_at = 0;
	s->reg[RECEIVE_ADDRESS] = 0x44;
	raise(s);
}

static const struct pci_dev_ops ops = { .bar_read = read, .bar_write = write, .reset = reset };

void smbus_init(struct smbus *s, const struct pci_id *id)
{
	memset(s, 0, sizeof *s);
	pci_dev_init(&s->pci, "smbus", id, &ops, s);
	pci_dev_add_bar(&s->pci, BAR, PCI_BAR_IO, SMBUS_PORTS);
	pci_dev_set_pin(&s->pci, 1);
	pci_dev_set_writable(&s->pci, HOSTC, 1, HOSTC_KEEP);
	reset(s);
}
