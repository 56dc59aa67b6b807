/* SPDX-License-Identifier: Apache-2.0 */
/* ATA command set (ATA8-ACS) of a disk, and the few ATA commands of a packet device. */
#include <errno.h>
#include <stdlib.h>
#include "hv/dev/ahci_priv.h"
#include "lib/bits.h"

#define MAX_MULTIPLE 16
#define TRIM_MAX_PAGES 64	/* 512-byte pages of 64 ranges */
#define LOG_MAX_PAGES 16

enum { LBA_MODE = 0x40, FPDMA_FUA = 0x80 };	/* device register */

/* what a command is made of */
enum { EXT = 1, WRITE = 2, PIO = 4, MULTIPLE = 8, FUA = 16, NCQ = 32, DISK = 64, PACKET = 128, ANY = DISK | PACKET };

/* ---- identity and resets */

void ata_power_on(struct ata_dev *dev)
{
	dev->write_cache = dev->smart = true;
	dev->sw_dma = dev->mw_dma = 0x0007;
	dev->udma = 0x203f;
	memset(dev->ncq_log, 0, sizeof dev->ncq_log);
	dev->locked = false;
	ata_reset(dev);
}

void ata_init(struct ata_dev *dev, const struct env_disk *disk, struct block *block)
{
	dev->disk = disk;
	dev->block = block;
	dev->atapi = disk->medium == ENV_CD;
	dev->sectors = block ? disk->size / disk->logical : 0;
	ata_power_on(dev);
}

/* Transfer modes and the write cache survive (software settings preservation, Serial ATA 13.5). */
void ata_reset(struct ata_dev *dev)
{
	dev->multiple = MAX_MULTIPLE;
	if (dev->atapi)
		atapi_reset(dev);
}

struct ata_tf ata_signature(const struct ata_dev *dev)
{
	return (struct ata_tf){
		.status = dev->atapi ? 0 : ATA_OK, .error = 1, .count = 1, .lba = dev->atapi ? 0xeb1401 : 0x000001,
	};
}

bool ata_set_xfer_mode(struct ata_dev *dev, uint8_t mode)
{
	unsigned n = mode & 7, kind = mode >> 3;
	uint16_t selected = (uint16_t)(1u << (n + 8));

	if (kind > 1 && (kind != 2 && kind != 4 && kind != 8))
		return false;
	if ((kind == 2 && n > 2) || (kind == 4 && n > 2) || (kind == 8 && n > 5) || (kind <= 1 && n > 4))
		return false;
	dev->sw_dma = (uint16_t)(0x07 | (kind == 2 ? selected : 0));
	dev->mw_dma = (uint16_t)(0x07 | (kind == 4 ? selected : 0));
	dev->udma = (uint16_t)(0x3f | (kind == 8 ? selected : 0));
	return true;
}

/* ---- reading and writing */

/*
 * Only a read finds a sector uncorrectable; of a write the same bit says that the medium is write protected (ATA8-ACS, error
 * register). What cannot be written, also for want of room, is a device fault.
 */
static void fail_block(struct ahci_slot *s, int result)
{
	if (result == -EROFS || result == -EINVAL || result == -ENOMEM)
		ahci_fail(s, ATA_ABRT, 0);
	else if (s->req.op == BLOCK_READ)
		ahci_fail(s, ATA_UNC, 0);
	else
		ahci_fail(s, ATA_ABRT, ATA_DF);
}

/* Cylinder/head/sector addresses in the default translation, 16 heads of 63 sectors. */
static uint64_t chs_lba(const struct ata_tf *tf)
{
	uint64_t sector = tf->lba & 0xff, cylinder = tf->lba >> 8 & 0xffff, head = tf->device & 0xf;

	return sector ? (cylinder * 16 + head) * 63 + sector - 1 : UINT64_MAX;
}

/* Which sectors; the task file then holds the plain LBA, for errors. False: outside the disk. */
static bool range(struct ahci_slot *s, unsigned flags, uint64_t *lba, uint32_t *count)
{
	const struct ata_dev *dev = &s->port->dev;
	struct ata_tf *tf = &s->tf;

	if (flags & (EXT | NCQ)) {
		*lba = tf->lba;
		*count = flags & NCQ ? tf->features : tf->count;
		if (!*count)
			*count = 65536;
	} else {
		*lba = tf->device & LBA_MODE ? (uint64_t)(tf->device & 0xf) << 24 | (tf->lba & 0xffffff) : chs_lba(tf);
		*count = tf->count & 0xff ? tf->count & 0xff : 256;
	}
	return *lba < dev->sectors && *count <= dev->sectors - *lba;
}

static void rw_done(struct ahci_slot *s, int result)
{
	if (result)
		fail_block(s, result);
	else
		ahci_finish(s);
}

static void rw(struct ahci_slot *s, unsigned flags)
{
	struct ata_dev *dev = &s->port->dev;
	bool fua = flags & FUA || (flags & NCQ && s->tf.device & FPDMA_FUA);
	uint32_t count, sector = dev->disk->logical;
	uint64_t lba;

	if (flags & MULTIPLE && !dev->multiple) {
		ahci_fail(s, ATA_ABRT, 0);
		return;
	}
	if (!range(s, flags, &lba, &count)) {
		ahci_fail(s, ATA_IDNF, 0);
		return;
	}
	if (flags & WRITE && dev->block->readonly) {
		ahci_fail(s, ATA_ABRT, 0);
		return;
	}
	if (!ahci_map(s, (uint64_t)count * sector))
		return;
	s->pio_in = (flags & (PIO | WRITE)) == PIO;
	ahci_submit(s, flags & WRITE ? BLOCK_WRITE : BLOCK_READ, lba * sector, (uint64_t)count * sector,
		flags & WRITE && (fua || !dev->write_cache), rw_done);
}

static void verify(struct ahci_slot *s, unsigned flags)
{
	uint32_t count, sector = s->port->dev.disk->logical;
	uint64_t lba;

	if (!range(s, flags, &lba, &count))
		ahci_fail(s, ATA_IDNF, 0);
	else if (!ahci_map_nowhere(s, (uint64_t)count * sector))
		ahci_fail(s, ATA_ABRT, 0);
	else
		ahci_submit(s, BLOCK_READ, lba * sector, (uint64_t)count * sector, false, rw_done);
}

/* A volume that cannot make data safe is a device fault: no sector is to blame. */
static void flush_done(struct ahci_slot *s, int result)
{
	if (result)
		ahci_fail(s, ATA_ABRT, ATA_DF);
	else
		ahci_finish(s);
}

static void flush(struct ahci_slot *s, unsigned flags)
{
	ahci_submit(s, BLOCK_FLUSH, 0, 0, false, flush_done);
}

/* ---- DATA SET MANAGEMENT, TRIM: a list of (48-bit LBA, 16-bit count); neighbours become one discard */

static bool next_extent(struct ahci_slot *s, uint64_t *lba, uint64_t *count)
{
	*count = 0;
	while (s->pos < s->end) {
		uint64_t e = get_le64(s->buffer + s->pos), at = e & 0xffffffffffff, n = e >> 48;

		if (*count && n && at != *lba + *count)
			break;
		s->pos += 8;
		if (!*count)
			*lba = at;
		*count += n;
	}
	return *count;
}

static void trim_step(struct ahci_slot *s);

static void trim_done(struct ahci_slot *s, int result)
{
	if (result)
		fail_block(s, result);
	else
		trim_step(s);
}

/* A discard that completes at once comes back here from inside ahci_submit: it only asks for another round. */
static void trim_step(struct ahci_slot *s)
{
	const struct ata_dev *dev = &s->port->dev;
	uint64_t lba, count;

	s->step_again = true;
	if (s->stepping)
		return;
	s->stepping = true;
	while (s->active && s->step_again) {
		s->step_again = false;
		if (!next_extent(s, &lba, &count))
			ahci_finish(s);
		else if (lba >= dev->sectors || count > dev->sectors - lba)
			ahci_fail(s, ATA_IDNF, 0);
		else if (!dev->block->can_discard)
			s->step_again = true;	/* a hint: no harm in what is still there */
		else
			ahci_submit(s, BLOCK_DISCARD, lba * dev->disk->logical, count * dev->disk->logical, false, trim_done);
	}
	s->stepping = false;
}

static void trim(struct ahci_slot *s, unsigned flags)
{
	const struct ata_dev *dev = &s->port->dev;
	uint32_t pages = s->tf.count;

	if (s->tf.features != 1 || !pages || pages > TRIM_MAX_PAGES || !dev->disk->trim || dev->block->readonly) {
		ahci_fail(s, ATA_ABRT, 0);
		return;
	}
	if (!ahci_map(s, pages * 512))
		return;
	s->buffer = malloc(pages * 512);
	if (!s->buffer) {
		ahci_fail(s, ATA_ABRT, 0);
		return;
	}
	ahci_copy_out(s, s->buffer, pages * 512);
	s->pos = 0;
	s->end = pages * 512;
	trim_step(s);
}

/* ---- what the device is */

static void identify(struct ahci_slot *s, unsigned flags)
{
	const struct ata_dev *dev = &s->port->dev;
	uint8_t page[512];

	if (dev->atapi) {	/* the host learns from the signature what to ask instead */
		s->tf.lba = 0xeb1401;
		s->tf.count = 1;
		ahci_fail(s, ATA_ABRT, 0);
		return;
	}
	ata_identify(dev, page);
	ahci_data_in(s, page, sizeof page);
}

static void identify_packet(struct ahci_slot *s, unsigned flags)
{
	uint8_t page[512];

	ata_identify_packet(&s->port->dev, page);
	ahci_data_in(s, page, sizeof page);
}

static void read_log(struct ahci_slot *s, unsigned flags)
{
	uint8_t pages[LOG_MAX_PAGES * 512];
	uint8_t log = s->tf.lba & 0xff;
	unsigned first = (unsigned)(s->tf.lba >> 8 & 0xff) | (unsigned)(s->tf.lba >> 32 & 0xff) << 8, n = s->tf.count;

	if (!n || n > LOG_MAX_PAGES) {
		ahci_fail(s, ATA_ABRT, 0);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		if (!ata_log(&s->port->dev, log, first + i, pages + i * 512)) {
			ahci_fail(s, ATA_ABRT, 0);
			return;
		}
	}
	ahci_data_in(s, pages, n * 512);
	if (log == 0x10 && s->tf.status == ATA_OK)
		memset(s->port->dev.ncq_log, 0, sizeof s->port->dev.ncq_log);
}

static void smart(struct ahci_slot *s, unsigned flags)
{
	struct ata_dev *dev = &s->port->dev;
	uint8_t page[512], sub = (uint8_t)s->tf.features;
	bool known = true;

	if ((s->tf.lba >> 8 & 0xffff) != 0xc24f || (!dev->smart && sub != 0xd8)) {
		ahci_fail(s, ATA_ABRT, 0);
		return;
	}
	switch (sub) {
	case 0xd0: ata_smart_data(dev, page); break;
	case 0xd1: ata_smart_thresholds(page); break;
	case 0xd5: known = ata_smart_log(s->tf.lba & 0xff, page) && (s->tf.count & 0xff) == 1; break;
	case 0xd8: dev->smart = true; break;
	case 0xd9: dev->smart = false; break;
	case 0xd2:	/* attribute autosave */
	case 0xd4:	/* self-tests: done the moment they start, without finding anything */
	case 0xda:	/* return status: C2/4F stay for "no threshold exceeded" */
	case 0xdb: break;
	default: known = false;
	}
	if (!known)
		ahci_fail(s, ATA_ABRT, 0);
	else if (sub == 0xd0 || sub == 0xd1 || sub == 0xd5)
		ahci_data_in(s, page, sizeof page);
	else
		ahci_finish(s);
}

static void native_max(struct ahci_slot *s, unsigned flags)
{
	uint64_t last = s->port->dev.sectors - 1;

	if (!(flags & EXT) && last > 0x0fffffff)
		last = 0x0fffffff;
	s->tf.lba = last;
	if (!(flags & EXT)) {
		s->tf.lba = last & 0xffffff;
		s->tf.device = (uint8_t)((s->tf.device & 0xf0) | last >> 24);
	}
	ahci_finish(s);
}

/* ---- settings */

static void set_features(struct ahci_slot *s, unsigned flags)
{
	struct ata_dev *dev = &s->port->dev;
	bool ok = true;

	switch (s->tf.features & 0xff) {
	case 0x03:
		ok = ata_set_xfer_mode(dev, (uint8_t)s->tf.count);
		break;
	case 0x02:
		ok = !dev->atapi;
		dev->write_cache |= ok;
		break;
	case 0x82:
		if (!dev->atapi) {	/* what is in the cache must not depend on it any more */
			dev->write_cache = false;
			flush(s, flags);
			return;
		}
		ok = false;
		break;
	case 0x55: case 0xaa:	/* read look-ahead off, on */
	case 0x66: case 0xcc:	/* keep, revert settings at a reset */
		break;
	default:
		ok = false;
	}
	if (ok)
		ahci_finish(s);
	else
		ahci_fail(s, ATA_ABRT, 0);
}

static void set_multiple(struct ahci_slot *s, unsigned flags)
{
	uint8_t n = (uint8_t)s->tf.count;

	if (n > MAX_MULTIPLE || (n && !bits_is_pow2(n))) {
		ahci_fail(s, ATA_ABRT, 0);
		return;
	}
	s->port->dev.multiple = n;
	ahci_finish(s);
}

static void nothing(struct ahci_slot *s, unsigned flags)
{
	ahci_finish(s);
}

static void refuse(struct ahci_slot *s, unsigned flags)
{
	ahci_fail(s, ATA_ABRT, 0);
}

/* Into standby or sleep: the cache goes to the medium first. */
static void rest(struct ahci_slot *s, unsigned flags)
{
	if (s->port->dev.block)
		flush(s, flags);
	else
		ahci_finish(s);
}

static void check_power(struct ahci_slot *s, unsigned flags)
{
	s->tf.count = 0xff;	/* active or idle */
	ahci_finish(s);
}

/* The diagnostic's result is the signature with code 1, passed. */
static void diagnose(struct ahci_slot *s, unsigned flags)
{
	struct ata_tf sig = ata_signature(&s->port->dev);

	s->tf.lba = sig.lba;
	s->tf.count = sig.count;
	s->tf.device = 0;
	s->tf.error = sig.error;
	ahci_finish(s);
}

static void device_reset(struct ahci_slot *s, unsigned flags)
{
	ata_reset(&s->port->dev);
	diagnose(s, flags);
}

static void packet(struct ahci_slot *s, unsigned flags)
{
	atapi_packet(s);
}

/* ---- dispatch */

static const struct { void (*run)(struct ahci_slot *s, unsigned flags); uint8_t flags; } commands[256] = {
	[0x00] = { refuse, ANY },			/* NOP */
	[0x06] = { trim, DISK },			/* DATA SET MANAGEMENT */
	[0x08] = { device_reset, PACKET },		/* DEVICE RESET */
	[0x10] = { nothing, DISK },			/* RECALIBRATE */
	[0x20] = { rw, DISK | PIO },			/* READ SECTORS */
	[0x21] = { rw, DISK | PIO },
	[0x24] = { rw, DISK | PIO | EXT },
	[0x25] = { rw, DISK | EXT },			/* READ DMA EXT */
	[0x27] = { native_max, DISK | EXT },		/* READ NATIVE MAX ADDRESS EXT */
	[0x29] = { rw, DISK | PIO | EXT | MULTIPLE },	/* READ MULTIPLE EXT */
	[0x2f] = { read_log, DISK },			/* READ LOG EXT */
	[0x30] = { rw, DISK | PIO | WRITE },		/* WRITE SECTORS */
	[0x31] = { rw, DISK | PIO | WRITE },
	[0x34] = { rw, DISK | PIO | EXT | WRITE },
	[0x35] = { rw, DISK | EXT | WRITE },		/* WRITE DMA EXT */
	[0x39] = { rw, DISK | PIO | EXT | WRITE | MULTIPLE },
	[0x3d] = { rw, DISK | EXT | WRITE | FUA },	/* WRITE DMA FUA EXT */
	[0x40] = { verify, DISK },			/* READ VERIFY SECTORS */
	[0x41] = { verify, DISK },
	[0x42] = { verify, DISK | EXT },
	[0x60] = { rw, DISK | NCQ },			/* READ FPDMA QUEUED */
	[0x61] = { rw, DISK | NCQ | WRITE },		/* WRITE FPDMA QUEUED */
	[0x70] = { nothing, DISK },			/* SEEK */
	[0x90] = { diagnose, ANY },			/* EXECUTE DEVICE DIAGNOSTIC */
	[0x91] = { nothing, DISK },			/* INITIALIZE DEVICE PARAMETERS */
	[0x94] = { rest, ANY }, [0x95] = { nothing, ANY }, [0x96] = { rest, ANY }, [0x97] = { nothing, ANY },
	[0x98] = { check_power, ANY }, [0x99] = { rest, ANY },
	[0xa0] = { packet, PACKET },
	[0xa1] = { identify_packet, PACKET },
	[0xb0] = { smart, DISK },
	[0xc4] = { rw, DISK | PIO | MULTIPLE },		/* READ MULTIPLE */
	[0xc5] = { rw, DISK | PIO | WRITE | MULTIPLE },
	[0xc6] = { set_multiple, DISK },
	[0xc8] = { rw, DISK }, [0xc9] = { rw, DISK },	/* READ DMA */
	[0xca] = { rw, DISK | WRITE }, [0xcb] = { rw, DISK | WRITE },
	[0xe0] = { rest, ANY },				/* STANDBY IMMEDIATE */
	[0xe1] = { nothing, ANY },			/* IDLE IMMEDIATE */
	[0xe2] = { rest, ANY },				/* STANDBY */
	[0xe3] = { nothing, ANY },			/* IDLE */
	[0xe5] = { check_power, ANY },
	[0xe6] = { rest, ANY },				/* SLEEP */
	[0xe7] = { flush, DISK }, [0xea] = { flush, DISK },
	[0xec] = { identify, ANY },
	[0xef] = { set_features, ANY },
	[0xf8] = { native_max, DISK },			/* READ NATIVE MAX ADDRESS */
};

bool ata_is_queued(uint8_t command)
{
	return commands[command].flags & NCQ;
}

void ata_execute(struct ahci_slot *s)
{
	unsigned flags = commands[s->tf.command].flags;

	if (flags & (s->port->dev.atapi ? PACKET : DISK))
		commands[s->tf.command].run(s, flags);
	else
		ahci_fail(s, ATA_ABRT, 0);
}
