/* SPDX-License-Identifier: Apache-2.0 */
/* An empty CD drive: the packet commands hosts use to find out that there is nothing in it (SPC-3, MMC-5). */
#include "hv/dev/ahci_priv.h"
#include "lib/bits.h"
#include "lib/buf.h"

enum { NO_SENSE = 0, NOT_READY = 2, ILLEGAL_REQUEST = 5 };
enum { INVALID_COMMAND = 0x20, INVALID_FIELD = 0x24, NO_MEDIUM = 0x3a, REMOVAL_PREVENTED = 0x53 };
enum { PACKET_DMA = 1 };	/* features register */

void atapi_reset(struct ata_dev *dev)
{
	dev->sense_key = dev->sense_code = 0;
}

/* The sense key goes to the host in the error register's upper half. */
static void fail(struct ahci_slot *s, uint8_t key, uint8_t code)
{
	struct ata_dev *dev = &s->port->dev;

	dev->sense_key = key;
	dev->sense_code = code;
	s->tf.count = 3;	/* interrupt reason: status, to the host */
	ahci_fail(s, (uint8_t)(key << 4), 0);
}

static void good(struct ahci_slot *s)
{
	s->port->dev.sense_key = s->port->dev.sense_code = 0;
	s->tf.count = 3;
	ahci_finish(s);
}

/* alloc: what the command allows; a PIO transfer also ends at the byte count limit of the task file. */
static void data_in(struct ahci_slot *s, const struct wbuf *b, size_t alloc)
{
	size_t n = b->pos < alloc ? b->pos : alloc, limit = s->tf.lba >> 8 & 0xffff;
	bool dma = s->tf.features & PACKET_DMA;

	if (!n) {
		good(s);
		return;
	}
	if (!dma && limit && n > limit)
		n = limit;
	if (!ahci_map(s, n))
		return;
	ahci_copy_in(s, b->data, n);
	if (!dma) {
		s->tf.lba = (uint64_t)n << 8;
		s->tf.count = 2;	/* data, to the host */
		ahci_send_pio(s, (uint32_t)n, true, ATA_OK, true);
	}
	good(s);
}

/* ---- commands */

static void test_unit_ready(struct ahci_slot *s)
{
	fail(s, NOT_READY, NO_MEDIUM);
}

static void request_sense(struct ahci_slot *s)
{
	const struct ata_dev *dev = &s->port->dev;
	uint8_t d[18];
	struct wbuf b = wbuf_of(d, sizeof d);

	wbuf_u8(&b, 0xf0);	/* current, fixed format, valid */
	wbuf_u8(&b, 0);
	wbuf_u8(&b, dev->sense_key);
	wbuf_zero(&b, 4);
	wbuf_u8(&b, 10);
	wbuf_zero(&b, 4);
	wbuf_u8(&b, dev->sense_code);
	wbuf_zero(&b, 5);
	data_in(s, &b, s->cdb[4]);
}

static void vital_data(struct ahci_slot *s)
{
	const struct ata_dev *dev = &s->port->dev;
	uint8_t d[64];
	struct wbuf b = wbuf_of(d, sizeof d);

	wbuf_u8(&b, 5);
	wbuf_u8(&b, s->cdb[2]);
	if (s->cdb[2] == 0x00) {
		wbuf_be16(&b, 2);
		wbuf_u8(&b, 0x00);
		wbuf_u8(&b, 0x83);
	} else if (s->cdb[2] == 0x83) {
		wbuf_be16(&b, (uint16_t)(24 + (dev->disk->wwn ? 12 : 0)));
		wbuf_be32(&b, 0x02000014);	/* ASCII, vendor specific, 20 bytes */
		wbuf_pad_str(&b, dev->disk->serial, 20, ' ');
		if (dev->disk->wwn) {
			wbuf_be32(&b, 0x01030008);	/* binary, NAA, 8 bytes */
			wbuf_be64(&b, dev->disk->wwn);
		}
	} else {
		fail(s, ILLEGAL_REQUEST, INVALID_FIELD);
		return;
	}
	data_in(s, &b, get_be16(s->cdb + 3));
}

static void inquiry(struct ahci_slot *s)
{
	const struct env_disk *disk = s->port->dev.disk;
	uint8_t d[36];
	struct wbuf b = wbuf_of(d, sizeof d);

	if (s->cdb[1] & 1) {
		vital_data(s);
		return;
	}
	wbuf_u8(&b, 0x05);	/* CD */
	wbuf_u8(&b, 0x80);	/* removable */
	wbuf_u8(&b, 0x00);
	wbuf_u8(&b, 0x21);	/* ATAPI-2, format 1 */
	wbuf_u8(&b, sizeof d - 5);
	wbuf_zero(&b, 3);
	wbuf_pad_str(&b, disk->inquiry_vendor, 8, ' ');
	wbuf_pad_str(&b, disk->inquiry_product, 16, ' ');
	wbuf_pad_str(&b, disk->firmware, 4, ' ');
	data_in(s, &b, get_be16(s->cdb + 3));
}

static void mode_header(struct wbuf *b, uint8_t len)
{
	wbuf_be16(b, (uint16_t)(len + 6));
	wbuf_u8(b, 0x70);	/* door closed, no disc */
	wbuf_zero(b, 5);
}

static void mode_sense(struct ahci_slot *s)
{
	static const uint8_t recovery[] = { 0x01, 0x06, 0x00, 0x05, 0, 0, 0, 0 };
	static const uint8_t audio[] = { 0x0e, 0x0e, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0x02, 0, 0x02, 0 };
	static const uint8_t capabilities[] = {
		0x2a, 0x14,
		0x3b, 0x00,	/* reads CD-R, CD-RW, DVD; writes nothing */
		0x71, 0x60,	/* audio, mode 2 forms 1 and 2, multi-session; CD-DA */
		0x29, 0x00,	/* tray, eject, lock */
		0x02, 0xc0,	/* 706 kB/s, 4x */
		0x00, 0x02,	/* volume levels */
		0x02, 0x00,	/* buffer KiB */
		0x02, 0xc0, 0, 0, 0, 0, 0, 0,
	};
	static const struct { const uint8_t *page; uint8_t len; } pages[0x40] = {
		[0x01] = { recovery, sizeof recovery }, [0x0e] = { audio, 16 }, [0x2a] = { capabilities, sizeof capabilities },
	};
	unsigned page = s->cdb[2] & 0x3f;
	uint8_t d[64];
	struct wbuf b = wbuf_of(d, sizeof d);

	if (s->cdb[2] >> 6 || !pages[page].page) {	/* current values only */
		fail(s, ILLEGAL_REQUEST, INVALID_FIELD);
		return;
	}
	mode_header(&b, pages[page].len);
	wbuf_put(&b, pages[page].page, pages[page].len);
	data_in(s, &b, get_be16(s->cdb + 7));
}

/* Media events only; the others a polled drive has nothing to say about (header with the no-event bit). */
static void event_status(struct ahci_slot *s)
{
	uint8_t d[8];
	struct wbuf b = wbuf_of(d, sizeof d);

	if (!(s->cdb[1] & 1)) {	/* asynchronous */
		fail(s, ILLEGAL_REQUEST, INVALID_FIELD);
		return;
	}
	if (s->cdb[4] & 0x10) {
		wbuf_be16(&b, 4);
		wbuf_u8(&b, 0x04);
		wbuf_u8(&b, 0x10);
		wbuf_zero(&b, 4);	/* no change, door closed, no medium */
	} else {
		wbuf_be16(&b, 2);
		wbuf_u8(&b, 0x80);
		wbuf_u8(&b, 0x10);
	}
	data_in(s, &b, get_be16(s->cdb + 7));
}

/* Profile list: DVD-ROM and CD-ROM, none current. */
static void configuration(struct ahci_slot *s)
{
	uint8_t d[20];
	struct wbuf b = wbuf_of(d, sizeof d);

	wbuf_be32(&b, sizeof d - 4);
	wbuf_be32(&b, 0);	/* no current profile */
	wbuf_be16(&b, 0);	/* feature 0: profile list */
	wbuf_u8(&b, 0x03);	/* version 0, persistent, current */
	wbuf_u8(&b, 8);
	wbuf_be16(&b, 0x0010);
	wbuf_be16(&b, 0);
	wbuf_be16(&b, 0x0008);
	wbuf_be16(&b, 0);
	data_in(s, &b, get_be16(s->cdb + 7));
}

static void mechanism_status(struct ahci_slot *s)
{
	uint8_t d[8];
	struct wbuf b = wbuf_of(d, sizeof d);

	wbuf_zero(&b, 5);
	wbuf_u8(&b, 1);		/* slots */
	wbuf_zero(&b, 2);
	data_in(s, &b, get_be16(s->cdb + 8));
}

static void prevent(struct ahci_slot *s)
{
	s->port->dev.locked = s->cdb[4] & 1;
	good(s);
}

static void start_stop(struct ahci_slot *s)
{
	bool eject = (s->cdb[4] & 3) == 2;

	if (eject && s->port->dev.locked)
		fail(s, ILLEGAL_REQUEST, REMOVAL_PREVENTED);
	else
		good(s);	/* the tray goes out and in; there is nothing on it */
}

static void (*const commands[256])(struct ahci_slot *s) = {
	[0x00] = test_unit_ready,
	[0x03] = request_sense,
	[0x12] = inquiry,
	[0x1b] = start_stop,
	[0x1e] = prevent,
	[0x25] = test_unit_ready,	/* READ CAPACITY */
	[0x28] = test_unit_ready,	/* READ(10) */
	[0x2b] = test_unit_ready,	/* SEEK(10) */
	[0x43] = test_unit_ready,	/* READ TOC/PMA/ATIP */
	[0x46] = configuration,
	[0x4a] = event_status,
	[0x51] = test_unit_ready,	/* READ DISC INFORMATION */
	[0x5a] = mode_sense,
	[0xa8] = test_unit_ready,	/* READ(12) */
	[0xad] = test_unit_ready,	/* READ DVD STRUCTURE */
	[0xbd] = mechanism_status,
	[0xbe] = test_unit_ready,	/* READ CD */
};

void atapi_packet(struct ahci_slot *s)
{
	void (*run)(struct ahci_slot *s) = commands[s->cdb[0]];

	s->iov_count = 0;
	s->tf.count = 1;	/* interrupt reason: command, to the device */
	ahci_send_pio(s, 12, false, ATA_OK, false);
	if (run)
		run(s);
	else
		fail(s, ILLEGAL_REQUEST, INVALID_COMMAND);
}
