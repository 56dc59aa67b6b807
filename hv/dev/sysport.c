/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/sysport.h"
#include "lib/bits.h"

enum { PORT92_RESET = 1, PORT92_A20 = 2 };
enum { RESET_HARD = 2, RESET_CPU = 4, RESET_KEEP = 0x0a };	/* ICH9 RST_CNT */
enum { DMA_COMMAND = 8, DMA_REQUEST, DMA_MASK, DMA_MODE, DMA_CLEAR_FLIP, DMA_CLEAR, DMA_CLEAR_MASK, DMA_WRITE_MASK };

static uint64_t port92_read(void *ctx, uint64_t off, unsigned size)
{
	return ((struct sysport *)ctx)->port92 | PORT92_A20;
}

static void port92_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct sysport *s = ctx;
	bool rise = (val & PORT92_RESET) && !(s->port92 & PORT92_RESET);

	s->port92 = (uint8_t)val;
	if (rise)
		s->config.reset(s->config.ctx, false);
}

static uint64_t reset_control_read(void *ctx, uint64_t off, unsigned size)
{
	return ((struct sysport *)ctx)->reset_control;
}

static void reset_control_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct sysport *s = ctx;
	bool rise = (val & RESET_CPU) && !(s->reset_control & RESET_CPU);

	/* the bit is remembered for the edge only: whoever resets the machine calls sysport_reset */
	s->reset_control = (uint8_t)(val & (RESET_KEEP | RESET_CPU));
	if (rise)
		s->config.reset(s->config.ctx, val & RESET_HARD);
}

static uint64_t apm_read(void *ctx, uint64_t off, unsigned size)
{
	struct sysport *s = ctx;

	return size == 1 ? s->apm[off & 1] : get_le16(s->apm);
}

static void apm_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct sysport *s = ctx;

	for (unsigned i = 0; i < size; i++)
		s->apm[(off + i) & 1] = (uint8_t)(val >> (8 * i));
}

static uint64_t page_read(void *ctx, uint64_t off, unsigned size)
{
	struct sysport *s = ctx;
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)s->page[(off + i) & 15] << (8 * i);
	return v;
}

static void page_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct sysport *s = ctx;

	for (unsigned i = 0; i < size; i++)
		s->page[(off + i) & 15] = (uint8_t)(val >> (8 * i));
}

static uint8_t dma_read8(struct sysport_dma *d, unsigned reg)
{
	if (reg < 8) {
		uint8_t v = (uint8_t)(d->high ? d->reg[reg] >> 8 : d->reg[reg]);

		d->high = !d->high;
		return v;
	}
	return reg == DMA_WRITE_MASK ? d->mask : 0;	/* status: nothing requested, nothing done */
}

static void dma_clear(struct sysport_dma *d)
{
	d->command = 0;
	d->high = false;
	d->mask = 15;
}

static void dma_write8(struct sysport_dma *d, unsigned reg, uint8_t v)
{
	switch (reg) {
	case DMA_COMMAND:
		d->command = v;
		break;
	case DMA_REQUEST:
		break;
	case DMA_MASK:
		d->mask = (uint8_t)((d->mask & ~BIT(v & 3)) | (v & 4 ? BIT(v & 3) : 0));
		break;
	case DMA_MODE:
		d->mode[v & 3] = v;
		break;
	case DMA_CLEAR_FLIP:
		d->high = false;
		break;
	case DMA_CLEAR:
		dma_clear(d);
		break;
	case DMA_CLEAR_MASK:
		d->mask = 0;
		break;
	case DMA_WRITE_MASK:
		d->mask = v & 15;
		break;
	default:
		d->reg[reg] = (uint16_t)(d->high ? (d->reg[reg] & 0xff) | v << 8 : (d->reg[reg] & 0xff00) | v);
		d->high = !d->high;
	}
}

static uint64_t dma1_read(void *ctx, uint64_t off, unsigned size)
{
	struct sysport *s = ctx;
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)dma_read8(&s->dma[0], (unsigned)(off + i) & 15) << (8 * i);
	return v;
}

static void dma1_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct sysport *s = ctx;

	for (unsigned i = 0; i < size; i++)
		dma_write8(&s->dma[0], (unsigned)(off + i) & 15, (uint8_t)(val >> (8 * i)));
}

/* The second controller sits on address lines 1…4: each register answers at two ports. */
static uint64_t dma2_read(void *ctx, uint64_t off, unsigned size)
{
	struct sysport *s = ctx;

	return dma_read8(&s->dma[1], (unsigned)(off >> 1) & 15);
}

static void dma2_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct sysport *s = ctx;

	dma_write8(&s->dma[1], (unsigned)(off >> 1) & 15, (uint8_t)val);
}

static const struct bus_ops port92_ops = { .read = port92_read, .write = port92_write };
static const struct bus_ops reset_control_ops = { .read = reset_control_read, .write = reset_control_write };
static const struct bus_ops apm_ops = { .read = apm_read, .write = apm_write };
static const struct bus_ops page_ops = { .read = page_read, .write = page_write };
static const struct bus_ops dma1_ops = { .read = dma1_read, .write = dma1_write };
static const struct bus_ops dma2_ops = { .read = dma2_read, .write = dma2_write };

const struct sysport_range sysport_ranges[SYSPORT_RANGES] = {
	{ 0x00, 16, "dma1", &dma1_ops },
	{ 0x81, 15, "dma-page", &page_ops },
	{ 0x92, 1, "port92", &port92_ops },
	{ 0xb2, 2, "apm", &apm_ops },
	{ 0xc0, 32, "dma2", &dma2_ops },
	{ 0xcf9, 1, "reset-control", &reset_control_ops },
};

void sysport_reset(struct sysport *s)
{
	struct sysport_config config = s->config;

	*s = (struct sysport){ .config = config };
	dma_clear(&s->dma[0]);
	dma_clear(&s->dma[1]);
}

void sysport_init(struct sysport *s, const struct sysport_config *config)
{
	s->config = *config;
	sysport_reset(s);
}
