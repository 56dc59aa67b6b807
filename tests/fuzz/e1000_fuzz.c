/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 82540EM as driver and wire abuse it. Each operation is a byte and its arguments; missing bytes are zero.
 * Aborts when the NIC sends a frame whose offload header does not fit it, or when work is not bounded.
 */
#include "lib/buf.h"
#include "lib/log.h"
#include "tests/unit/hv/dev/e1000_rig.h"

enum { OPS = 400 };
enum op { WRITE, READ, WRITE_ANY, READ_ANY, POKE, DESCRIPTOR, FRAME, WIRE_FRAME, ADVANCE, CARRIER, PORT_WRITE, PORT_READ, COMMAND,
	RESUME, KICK, REFILL, OP_COUNT };

static const uint16_t registers[] = { CTRL, STATUS, EECD, EERD, MDIC, 0x38, ICR, ITR, ICS, IMS, IMC, RCTL, TCTL, RDBAL, RDBAL + 4,
	RDLEN, RDH, RDT, TDBAL, TDBAL + 4, TDLEN, TDH, TDT, MPC, GPRC, GORCL, GORCH, RXCSUM, MTA, RAL, RAH, VFTA };

static void poke(struct rig *r, uint32_t at, struct rbuf *b, unsigned len)
{
	rbuf_copy(b, r->ram + at % (RIG_RAM - 64), len);
}

/* A frame at a transmit buffer, its headers right but for a few bytes of the input. */
static size_t make_frame(uint8_t *to, struct rbuf *b)
{
	unsigned kind = rbuf_u8(b);
	size_t len = frames_make(to, kind & 1, kind & 2, rbuf_le16(b) % 65000u);

	if (kind & 4)
		frames_make_partial(to, kind & 1, kind & 2, len);
	for (unsigned i = kind >> 4; i; i--)
		to[rbuf_u8(b) % 64] = rbuf_u8(b);
	return len;
}

static void descriptor(struct rig *r, struct rbuf *b)
{
	uint8_t *d = r->ram + RIG_TX_RING + r->tx * 16;

	rbuf_copy(b, d, 16);
	/* most addresses near the frame that FRAME made */
	if (!(d[7] & 1))
		put_le64(d, RIG_TX_BUF + (get_le64(d) & 0xff));
	r->tx = (r->tx + 1) % 16;
}

static void wire_frame(struct rig *r, struct rbuf *b)
{
	static uint8_t frame[NET_FRAME_MAX];
	struct virtio_net_hdr_v1 hdr = { 0 };
	size_t len;

	rbuf_copy(b, &hdr, 10);
	len = make_frame(frame, b);
	if (rbuf_u8(b) & 1)
		len = rbuf_le16(b);
	(void)fake_port_give(&r->port, &hdr, frame, len);
}

static unsigned register_of(struct rbuf *b)
{
	return registers[rbuf_u8(b) % (sizeof registers / sizeof registers[0])];
}

/* The driver's accesses to registers, ports and the ring. */
static void touch(struct rig *r, struct rbuf *b, enum op op, unsigned size)
{
	unsigned at;

	switch (op) {
	case WRITE:
		at = register_of(b);
		rig_set(r, at, rbuf_le32(b));
		break;
	case READ:
		rig_get(r, register_of(b));
		break;
	case WRITE_ANY:
		at = rbuf_le32(b) % (0x20000 - 8);
		bus_write(&r->mmio, RIG_REGS + at, size, rbuf_le64(b));
		break;
	case READ_ANY:
		bus_read(&r->mmio, RIG_REGS + rbuf_le32(b) % (0x20000 - 8), size);
		break;
	case PORT_WRITE:
		at = rbuf_u8(b) % 60;
		bus_write(&r->ports, RIG_IO + at, size > 4 ? 4 : size, rbuf_le32(b));
		break;
	case PORT_READ:
		bus_read(&r->ports, RIG_IO + rbuf_u8(b) % 60, size > 4 ? 4 : size);
		break;
	case COMMAND:
		pci_dev_config_write(e1000_pci(r->nic), PCI_COMMAND, 2, rbuf_u8(b) | (size & 1 ? 6 : 0));
		break;
	case KICK:
		rig_kick(r);
		break;
	case REFILL:
		rig_set(r, RDT, (rig_get(r, RDH) + 7) % 8);
		break;
	default:
		break;
	}
}

static void step(struct rig *r, struct rbuf *b)
{
	unsigned size = 1u << (rbuf_u8(b) & 3);
	enum op op = (enum op)(rbuf_u8(b) % OP_COUNT);
	uint32_t at;

	switch (op) {
	case POKE:
		at = rbuf_le32(b);
		poke(r, at & 0x8000 ? at : RIG_TX_RING + at % 0x2000, b, 16);
		break;
	case DESCRIPTOR:
		descriptor(r, b);
		break;
	case FRAME:
		make_frame(r->ram + RIG_TX_BUF, b);
		break;
	case WIRE_FRAME:
		wire_frame(r, b);
		break;
	case ADVANCE:
		fake_clock_advance(&r->clock, rbuf_le32(b));
		break;
	case CARRIER:
		net_wire_set_carrier(&r->port.port, rbuf_u8(b) & 1);
		break;
	case RESUME:
		net_port_resume(&r->port.port);
		break;
	default:
		touch(r, b, op, size);
	}
}

static void check_sent(const struct rig *r, unsigned before)
{
	struct net_layers l;
	unsigned segments;

	for (unsigned i = r->port.sent - before < FAKE_PORT_KEEP ? before : r->port.sent - FAKE_PORT_KEEP; i != r->port.sent; i++) {
		unsigned k = i % FAKE_PORT_KEEP;

		if (net_offload_check(&r->port.hdr[k], r->port.frame[k], r->port.len[k], &l, &segments) < 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rbuf b = rbuf_of(data, len);
	struct rig *r;

	log_init("fuzz", LOG_ERROR);
	r = rig_start();
	for (unsigned i = 0; i < OPS && rbuf_left(&b) && !b.failed; i++) {
		unsigned before = r->port.sent;

		step(r, &b);
		check_sent(r, before);
	}
	fake_clock_advance(&r->clock, 100000000);
	rig_free(r);
	return 0;
}
