/* SPDX-License-Identifier: Apache-2.0 */
/* What an ATA device tells about itself: IDENTIFY (ATA8-ACS 7.16, 7.17), SMART data, logs. */
#include "hv/dev/ahci_priv.h"
#include "lib/bits.h"
#include "lib/scope.h"

static void word(uint8_t *page, unsigned n, uint64_t v)
{
	put_le16(page + 2 * n, (uint16_t)v);
}

/* ATA strings: two characters a word, the first one in the high byte. */
static void string(uint8_t *page, unsigned first, unsigned words, const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < words * 2; i++)
		page[(first * 2 + i) ^ 1] = (uint8_t)(i < n ? s[i] : ' ');
}

static void checksum(uint8_t page[512])
{
	uint8_t sum = 0;

	for (unsigned i = 0; i < 511; i++)
		sum = (uint8_t)(sum + page[i]);
	page[511] = (uint8_t)-sum;
}

static void strings(const struct ata_dev *dev, uint8_t *page)
{
	string(page, 10, 10, dev->disk->serial);
	word(page, 20, 3);	/* words 20-22: retired, what such drives always said */
	word(page, 21, 512);
	word(page, 22, 4);
	string(page, 23, 4, dev->disk->firmware);
	string(page, 27, 20, dev->disk->model);
}

static void geometry(const struct ata_dev *dev, uint8_t *page)
{
	uint64_t cylinders = dev->sectors / (16 * 63), lba28 = dev->sectors, chs;

	if (cylinders > 16383)
		cylinders = 16383;
	if (cylinders < 2)
		cylinders = 2;
	if (lba28 > 0x0fffffff)
		lba28 = 0x0fffffff;
	chs = cylinders * 16 * 63;
	word(page, 1, cylinders);
	word(page, 3, 16);
	word(page, 4, 512 * 63);
	word(page, 5, 512);
	word(page, 6, 63);
	word(page, 54, cylinders);
	word(page, 55, 16);
	word(page, 56, 63);
	put_le32(page + 57 * 2, (uint32_t)chs);
	put_le32(page + 60 * 2, (uint32_t)lba28);
	put_le64(page + 100 * 2, dev->sectors);
}

static void sector_sizes(const struct env_disk *d, uint8_t *page)
{
	unsigned v = 0x4000, ratio = d->physical / d->logical;

	if (ratio > 1)
		v |= 0x2000 | (unsigned)__builtin_ctz(ratio);
	else
		v |= 0x2000;
	if (d->logical > 512) {
		v |= 0x1000;
		put_le32(page + 117 * 2, d->logical / 2);
	}
	word(page, 106, v);
}

static void modes(const struct ata_dev *dev, uint8_t *page)
{
	word(page, 62, dev->sw_dma);
	word(page, 63, dev->mw_dma);
	word(page, 64, 0x0003);	/* PIO modes 3, 4 */
	word(page, 88, dev->udma);
}

/* Features: supported (82-84) and enabled (85-87). */
static void features(const struct ata_dev *dev, uint8_t *page)
{
	unsigned wwn = dev->disk->wwn ? 0x0100 : 0;

	word(page, 82, 0x4021);		/* NOP, write cache, SMART */
	word(page, 83, 0x7400);		/* FLUSH CACHE EXT, FLUSH CACHE, 48-bit */
	word(page, 84, 0x4000 | wwn);
	word(page, 85, 0x4000 | (dev->write_cache ? 0x20 : 0) | (dev->smart ? 1 : 0));
	word(page, 86, 0x3400);
	word(page, 87, 0x4000 | wwn);
	for (unsigned i = 0; i < 4; i++)
		word(page, 108 + i, dev->disk->wwn >> (48 - 16 * i));
}

void ata_identify(const struct ata_dev *dev, uint8_t page[512])
{
	bool trim = dev->disk->trim;

	memset(page, 0, 512);
	word(page, 0, 0x0040);		/* fixed device */
	strings(dev, page);
	geometry(dev, page);
	word(page, 47, 0x8010);		/* MULTIPLE: up to 16 sectors */
	word(page, 48, 1);
	word(page, 49, 0x0b00);		/* IORDY, LBA, DMA */
	word(page, 51, 0x0200);
	word(page, 52, 0x0200);
	word(page, 53, 7);		/* words 54-58, 64-70, 88 are valid */
	word(page, 59, dev->multiple ? 0x0100u | dev->multiple : 0);
	modes(dev, page);
	for (unsigned i = 65; i <= 68; i++)
		word(page, i, 120);	/* cycle times, ns */
	word(page, 69, trim ? 0x4000 : 0);	/* deterministic read after TRIM */
	word(page, 75, AHCI_SLOTS - 1);
	word(page, 76, 0x0100);		/* NCQ */
	word(page, 80, 0x00f0);		/* ATA-4 … ATA/ATAPI-7 */
	word(page, 81, 0x0016);
	features(dev, page);
	word(page, 93, 0x6001);
	sector_sizes(dev->disk, page);
	word(page, 169, trim);
	word(page, 217, dev->disk->rpm);
}

void ata_identify_packet(const struct ata_dev *dev, uint8_t page[512])
{
	memset(page, 0, 512);
	word(page, 0, 0x85c0);		/* packet device, CD, removable, 12-byte commands */
	strings(dev, page);
	word(page, 48, 1);
	word(page, 49, 0x0300);
	word(page, 53, 7);
	modes(dev, page);
	word(page, 65, 180);
	word(page, 66, 180);
	word(page, 67, 300);
	word(page, 68, 180);
	word(page, 71, 30);
	word(page, 72, 30);
	word(page, 75, AHCI_SLOTS - 1);
	word(page, 76, 0x0100);
	word(page, 80, 0x001e);		/* ATA-1 … ATA/ATAPI-4 */
	if (dev->disk->wwn) {
		word(page, 84, 0x4100);
		word(page, 87, 0x4100);
		for (unsigned i = 0; i < 4; i++)
			word(page, 108 + i, dev->disk->wwn >> (48 - 16 * i));
	}
}

/* ---- SMART: a healthy drive without a history */

static const struct { uint8_t id; uint16_t flags; uint8_t value, worst; uint32_t raw; uint8_t threshold; } attributes[] = {
	{ 1, 0x0003, 100, 100, 0, 6 },		/* raw read errors */
	{ 3, 0x0003, 100, 100, 16, 0 },		/* spin-up time */
	{ 4, 0x0002, 100, 100, 100, 20 },	/* starts */
	{ 5, 0x0003, 100, 100, 0, 36 },		/* reallocated sectors */
	{ 9, 0x0003, 100, 100, 1, 0 },		/* hours on */
	{ 12, 0x0003, 100, 100, 0, 0 },		/* power cycles */
	{ 190, 0x0003, 69, 69, 31, 50 },	/* airflow temperature */
};

void ata_smart_data(const struct ata_dev *dev, uint8_t page[512])
{
	memset(page, 0, 512);
	put_le16(page, 1);
	for (unsigned i = 0; i < array_len(attributes); i++) {
		uint8_t *a = page + 2 + 12 * i;

		a[0] = attributes[i].id;
		put_le16(a + 1, attributes[i].flags);
		a[3] = attributes[i].value;
		a[4] = attributes[i].worst;
		put_le32(a + 5, attributes[i].raw);
	}
	page[362] = 0x02;			/* off-line collection completed */
	put_le16(page + 364, 288);		/* seconds it takes */
	page[367] = 0x19;			/* off-line and self-test commands */
	put_le16(page + 368, 0x0003);		/* attributes are saved */
	page[370] = 0x01;			/* error log */
	page[372] = 2;				/* minutes of the short self-test */
	page[373] = 54;				/* and of the extended one */
	checksum(page);
}

void ata_smart_thresholds(uint8_t page[512])
{
	memset(page, 0, 512);
	put_le16(page, 1);
	for (unsigned i = 0; i < array_len(attributes); i++) {
		page[2 + 12 * i] = attributes[i].id;
		page[3 + 12 * i] = attributes[i].threshold;
	}
	checksum(page);
}

bool ata_smart_log(uint8_t log, uint8_t page[512])
{
	memset(page, 0, 512);
	switch (log) {
	case 0x00:	/* directory: one sector each */
		put_le16(page, 1);
		page[2 * 0x01] = page[2 * 0x06] = 1;
		return true;
	case 0x01:	/* summary error log: version, no errors */
		page[0] = 1;
		break;
	case 0x06:	/* self-test log: revision, no tests */
		put_le16(page, 1);
		break;
	default:
		return false;
	}
	checksum(page);
	return true;
}

/* ---- general purpose logs */

void ata_ncq_log_set(struct ata_dev *dev, const struct ata_tf *tf, uint8_t tag)
{
	uint8_t *l = dev->ncq_log;

	memset(l, 0, sizeof dev->ncq_log);
	l[0] = tag;
	l[2] = tf->status;
	l[3] = tf->error;
	for (unsigned i = 0; i < 3; i++) {
		l[4 + i] = (uint8_t)(tf->lba >> 8 * i);
		l[8 + i] = (uint8_t)(tf->lba >> (24 + 8 * i));
	}
	l[7] = tf->device;
	put_le16(l + 12, tf->count);
}

bool ata_log(const struct ata_dev *dev, uint8_t log, unsigned index, uint8_t page[512])
{
	memset(page, 0, 512);
	if (index)
		return false;
	switch (log) {
	case 0x00:
		put_le16(page, 1);
		put_le16(page + 2 * 0x10, 1);
		return true;
	case 0x10:
		if (dev->ncq_log[2])
			memcpy(page, dev->ncq_log, sizeof dev->ncq_log);
		else
			page[0] = 0x80;	/* NQ: no queued command failed */
		checksum(page);
		return true;
	default:
		return false;
	}
}
