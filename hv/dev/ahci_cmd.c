/* SPDX-License-Identifier: Apache-2.0 */
/* Command lists, command tables, PRD tables and received FISes (AHCI 4.2, 5; Serial ATA 10). */
#include <errno.h>
#include <stdlib.h>
#include "hv/dev/ahci_priv.h"
#include "lib/bits.h"
#include "lib/log.h"

enum { FIS_H2D = 0x27, FIS_D2H = 0x34, FIS_SDB = 0xa1, FIS_PIO = 0x5f };
enum { FIS_COMMAND = 0x80, FIS_IRQ = 0x40, FIS_TO_HOST = 0x20 };
enum { RFIS_PIO = 0x20, RFIS_D2H = 0x40, RFIS_SDB = 0x58 };	/* in the received FIS area */
enum { HEADER_SIZE = 32, HEADER_CFL = 0x1f, HEADER_CLEAR_BUSY = 1 << 10, TABLE_ACMD = 0x40, TABLE_PRDT = 0x80 };
enum { PRD_SIZE = 16, PRD_MAX = 0x3fffff, PRD_BATCH = 64, PAGE = 4096, NOWHERE = 65536 };
enum { CONTROL_SRST = 4 };
enum { KEEP_IOV = 1024 };

/* ---- towards the host */

/* What the controller cannot get over: it stops until the driver restarts the port (AHCI 6.1). */
static void halt(struct ahci_port *p, uint32_t is)
{
	p->is |= is;
	p->halted = true;
}

static void post(struct ahci_port *p, unsigned off, const uint8_t *fis, unsigned len)
{
	if (p->cmd & AHCI_CMD_FR && pci_dev_dma_write(&p->ahci->pci, p->fb + off, fis, len))
		halt(p, AHCI_IS_HBFS);
}

static void put_tf(uint8_t *fis, const struct ata_tf *tf)
{
	fis[2] = tf->status;
	fis[3] = tf->error;
	for (unsigned i = 0; i < 3; i++) {
		fis[4 + i] = (uint8_t)(tf->lba >> 8 * i);
		fis[8 + i] = (uint8_t)(tf->lba >> (24 + 8 * i));
	}
	fis[7] = tf->device;
	put_le16(fis + 12, tf->count);
}

void ahci_send_d2h(struct ahci_port *p, const struct ata_tf *tf, bool irq)
{
	uint8_t fis[20] = { FIS_D2H, irq ? FIS_IRQ : 0 };

	put_tf(fis, tf);
	post(p, RFIS_D2H, fis, sizeof fis);
	p->tfd = tf->status | (uint32_t)tf->error << 8;
	if (irq)
		p->is |= AHCI_IS_DHRS;
	if (tf->status & ATA_ERR)
		halt(p, AHCI_IS_TFES);
}

void ahci_send_pio(struct ahci_slot *s, uint32_t len, bool to_host, uint8_t end_status, bool irq)
{
	struct ata_tf tf = s->tf;
	uint8_t fis[20] = { FIS_PIO, (uint8_t)((irq ? FIS_IRQ : 0) | (to_host ? FIS_TO_HOST : 0)) };

	tf.status = ATA_OK | ATA_DRQ;
	put_tf(fis, &tf);
	fis[15] = end_status;
	put_le16(fis + 16, (uint16_t)len);
	post(s->port, RFIS_PIO, fis, sizeof fis);
	if (irq)
		s->port->is |= AHCI_IS_PSS;
}

/* One set device bits FIS for all queued commands that ended since the last one. */
static void send_sdb(struct ahci_port *p, uint8_t status, uint8_t error)
{
	uint8_t fis[8] = { FIS_SDB, FIS_IRQ, status & 0x77, error };

	put_le32(fis + 4, p->finished);
	post(p, RFIS_SDB, fis, sizeof fis);
	p->sact &= ~p->finished;
	p->finished = 0;
	p->tfd = (p->tfd & (ATA_BSY | ATA_DRQ)) | (status & 0x77) | (uint32_t)error << 8;
	p->is |= AHCI_IS_SDBS;
	if (status & ATA_ERR)
		halt(p, AHCI_IS_TFES);
}

/* ---- the life of a slot */

static void release(struct ahci_slot *s)
{
	free(s->buffer);
	s->buffer = NULL;
	s->active = false;
	if (s->iov_room > KEEP_IOV) {
		free(s->iov);
		s->iov = NULL;
		s->iov_room = 0;
	}
}

static void write_back(struct ahci_slot *s)
{
	uint8_t prdbc[4];

	put_le32(prdbc, s->bytes);
	if (pci_dev_dma_write(&s->port->ahci->pci, s->header + 4, prdbc, sizeof prdbc))
		halt(s->port, AHCI_IS_HBFS);
}

/* Off the list of running commands; what the host sees of it is the caller's. */
static void end(struct ahci_slot *s)
{
	struct ahci_port *p = s->port;

	if (s->queued)
		p->queued &= ~BIT(s->tag);
	else
		p->busy = -1;
	if (s->prd_irq && s->bytes)
		p->is |= AHCI_IS_DPS;
	release(s);
}

void ahci_finish(struct ahci_slot *s)
{
	struct ahci_port *p = s->port;

	s->tf.status = ATA_OK;
	if (s->queued) {
		p->finished |= BIT(s->tag);
		end(s);
		return;
	}
	write_back(s);
	p->ci &= ~BIT(s->tag);
	if (s->pio_in) {
		p->tfd = ATA_OK;
		ahci_send_pio(s, s->bytes, true, ATA_OK, true);
	} else {
		ahci_send_d2h(p, &s->tf, true);
	}
	end(s);
}

static void drop(struct ahci_slot *s)
{
	if (!s->active)
		return;
	if (s->in_flight) {
		s->aborted = true;
		s->active = false;
		s->port->aborting++;
	} else {
		release(s);
	}
}

void ahci_port_abort(struct ahci_port *p)
{
	for (unsigned i = 0; i < AHCI_SLOTS; i++)
		drop(&p->slot[i]);
	p->busy = -1;
	p->queued = p->finished = 0;
}

void ahci_port_hurry(struct ahci_port *p)
{
	if (p->aborting)
		block_hurry(p->dev.block);
}

void ahci_fail(struct ahci_slot *s, uint8_t error, uint8_t status)
{
	struct ahci_port *p = s->port;

	s->tf.status = (uint8_t)(ATA_DRDY | ATA_ERR | status | (status & ATA_DF ? 0 : ATA_DSC));
	s->tf.error = error;
	if (!s->queued) {
		s->bytes = 0;
		write_back(s);
		ahci_send_d2h(p, &s->tf, true);
		end(s);
		return;
	}
	ata_ncq_log_set(&p->dev, &s->tf, s->tag);
	if (p->finished)
		send_sdb(p, ATA_OK, 0);
	end(s);
	send_sdb(p, s->tf.status, error);
	ahci_port_abort(p);	/* an error ends the whole queue; SActive still tells which were in it */
}

static void block_done(struct block_req *req, int result)
{
	struct ahci_slot *s = req->ctx;
	struct ahci_port *p = s->port;

	s->in_flight = false;
	if (s->aborted) {
		s->aborted = false;
		release(s);
		if (!--p->aborting)
			ahci_port_drained(p);
		return;
	}
	s->next(s, result);
	ahci_port_run(p);
}

void ahci_submit(struct ahci_slot *s, enum block_op op, uint64_t off, uint64_t len, bool fua,
	void (*next)(struct ahci_slot *, int))
{
	bool data = op == BLOCK_READ || op == BLOCK_WRITE;

	s->req = (struct block_req){
		.op = op, .fua = fua, .off = off, .len = len, .done = block_done, .ctx = s,
		.iov = data ? s->iov : NULL, .iov_count = data ? s->iov_count : 0,
	};
	s->next = next;
	s->in_flight = true;
	block_submit(s->port->dev.block, &s->req);
}

/* ---- data */

static bool add_iov(struct ahci_slot *s, uint8_t *at, size_t len)
{
	struct iovec *last = s->iov_count ? &s->iov[s->iov_count - 1] : NULL;

	if (last && (uint8_t *)last->iov_base + last->iov_len == at) {
		last->iov_len += len;
		return true;
	}
	if (s->iov_count == s->iov_room) {
		unsigned room = s->iov_room ? s->iov_room * 2 : 32;
		struct iovec *iov;

		if (room > AHCI_MAX_IOV)
			room = AHCI_MAX_IOV;
		iov = room > s->iov_room ? realloc(s->iov, room * sizeof *iov) : NULL;
		if (!iov)
			return false;
		s->iov = iov;
		s->iov_room = room;
	}
	s->iov[s->iov_count++] = (struct iovec){ .iov_base = at, .iov_len = len };
	return true;
}

/* A region of a PRD is one piece of host memory nearly always; where it crosses from one to the next, go by pages. */
static bool add_region(struct ahci_slot *s, uint64_t gpa, uint64_t len)
{
	struct pci_dev *pci = &s->port->ahci->pci;
	uint8_t *at = pci_dev_dma_at(pci, gpa, len);

	if (at)
		return add_iov(s, at, len);
	while (len) {
		uint64_t n = PAGE - (gpa & (PAGE - 1));

		if (n > len)
			n = len;
		at = pci_dev_dma_at(pci, gpa, n);
		if (!at || !add_iov(s, at, n))
			return false;
		gpa += n;
		len -= n;
	}
	return true;
}

/* 0, -EFAULT (not memory, or too scattered), -ENOSPC (the table is shorter than the transfer) */
static int map_prdt(struct ahci_slot *s, uint64_t left)
{
	uint8_t batch[PRD_BATCH * PRD_SIZE];
	uint64_t table = s->table + TABLE_PRDT;

	for (uint32_t i = 0; left && i < s->prdtl; i++) {
		const uint8_t *prd = batch + i % PRD_BATCH * PRD_SIZE;
		uint32_t n = s->prdtl - i, dbc;
		uint64_t len;

		if (n > PRD_BATCH)
			n = PRD_BATCH;
		if (!(i % PRD_BATCH) && pci_dev_dma_read(&s->port->ahci->pci, table + (uint64_t)i * PRD_SIZE, batch, n * PRD_SIZE))
			return -EFAULT;
		dbc = get_le32(prd + 12);
		len = (dbc & PRD_MAX) + 1;
		if (len > left)
			len = left;
		if (!add_region(s, get_le64(prd), len))
			return -EFAULT;
		s->prd_irq |= dbc >> 31;
		left -= len;
	}
	return left ? -ENOSPC : 0;
}

bool ahci_map(struct ahci_slot *s, uint64_t len)
{
	int r;

	s->iov_count = 0;
	s->bytes = 0;
	r = map_prdt(s, len);
	if (r == -EFAULT) {
		log_limited(LOG_WARN, "%s: port %u: command %02x has bad data addresses", s->port->ahci->env->name,
			s->port->index, s->tf.command);
		end(s);
		halt(s->port, AHCI_IS_HBFS);
		return false;
	}
	if (r) {
		s->port->is |= AHCI_IS_OFS;
		ahci_fail(s, ATA_ABRT, 0);
		return false;
	}
	s->bytes = (uint32_t)len;
	return true;
}

bool ahci_map_nowhere(struct ahci_slot *s, uint64_t len)
{
	s->iov_count = 0;
	s->buffer = aligned_alloc(PAGE, NOWHERE);
	while (s->buffer && len) {
		size_t n = len < NOWHERE ? (size_t)len : NOWHERE;

		if (!add_iov(s, s->buffer, n))
			return false;
		len -= n;
	}
	return s->buffer;
}

void ahci_copy_in(struct ahci_slot *s, const void *src, size_t len)
{
	const uint8_t *from = src;

	for (unsigned i = 0; len && i < s->iov_count; i++) {
		size_t n = s->iov[i].iov_len < len ? s->iov[i].iov_len : len;

		memcpy(s->iov[i].iov_base, from, n);
		from += n;
		len -= n;
	}
}

void ahci_copy_out(struct ahci_slot *s, void *dst, size_t len)
{
	uint8_t *to = dst;

	for (unsigned i = 0; len && i < s->iov_count; i++) {
		size_t n = s->iov[i].iov_len < len ? s->iov[i].iov_len : len;

		memcpy(to, s->iov[i].iov_base, n);
		to += n;
		len -= n;
	}
}

void ahci_data_in(struct ahci_slot *s, const void *data, size_t len)
{
	if (!ahci_map(s, len))
		return;
	ahci_copy_in(s, data, len);
	s->pio_in = true;
	ahci_finish(s);
}

/* ---- taking commands */

/* A register FIS with the C bit clear writes the device control register: the SRST bit makes a software reset. */
static void control(struct ahci_slot *s, uint8_t val, bool clear_busy)
{
	struct ahci_port *p = s->port;
	uint8_t old = p->control;

	end(s);
	p->ci &= ~BIT(s->tag);
	p->control = val;
	if (val & CONTROL_SRST) {
		ahci_port_abort(p);
		if (p->aborting)
			p->tfd = ATA_BSY;
		else if (clear_busy)
			p->tfd &= ~(uint32_t)(ATA_BSY | ATA_DRQ);
		ahci_port_hurry(p);
	} else if (old & CONTROL_SRST) {
		ata_reset(&p->dev);
		ahci_port_signature(p);
	}
}

static void get_tf(struct ata_tf *tf, const uint8_t *fis)
{
	*tf = (struct ata_tf){
		.command = fis[2], .features = (uint16_t)(fis[3] | fis[11] << 8), .device = fis[7], .count = get_le16(fis + 12),
		.lba = (uint64_t)get_le32(fis + 8) << 24 & 0xffffff000000, .status = ATA_OK,
	};
	tf->lba |= get_le32(fis + 4) & 0xffffff;
}

static bool fetch(struct ahci_slot *s, uint16_t *flags, uint8_t table[TABLE_ACMD + 16])
{
	struct pci_dev *pci = &s->port->ahci->pci;
	uint8_t header[HEADER_SIZE];

	s->header = s->port->clb + s->tag * HEADER_SIZE;
	if (pci_dev_dma_read(pci, s->header, header, sizeof header))
		return false;
	*flags = get_le16(header);
	s->prdtl = get_le16(header + 2);
	s->table = get_le64(header + 8) & ~0x7full;
	return !pci_dev_dma_read(pci, s->table, table, TABLE_ACMD + 16);
}

static void accept_queued(struct ahci_slot *s)
{
	struct ahci_port *p = s->port;

	s->queued = true;
	p->busy = -1;
	p->queued |= BIT(s->tag);
	p->ci &= ~BIT(s->tag);
	ahci_send_d2h(p, &s->tf, false);
}

static void take(struct ahci_port *p, unsigned tag)
{
	struct ahci_slot *s = &p->slot[tag];
	uint8_t table[TABLE_ACMD + 16];
	uint16_t flags;

	p->last = (uint8_t)tag;
	p->cmd = (p->cmd & ~AHCI_CMD_CCS) | tag << 8;
	if (s->active) {	/* the tag of a queued command used again before it ended */
		halt(p, AHCI_IS_IFS);
		return;
	}
	s->queued = s->pio_in = s->prd_irq = s->stepping = false;
	s->bytes = 0;
	if (!fetch(s, &flags, table)) {
		halt(p, AHCI_IS_HBFS);
		return;
	}
	if ((flags & HEADER_CFL) < 5 || table[0] != FIS_H2D) {
		log_limited(LOG_WARN, "%s: port %u: command FIS %02x of %u words", p->ahci->env->name, p->index, table[0],
			flags & HEADER_CFL);
		halt(p, AHCI_IS_IFS);
		return;
	}
	s->active = true;
	p->busy = (int)tag;
	get_tf(&s->tf, table);
	memcpy(s->cdb, table + TABLE_ACMD, sizeof s->cdb);
	if (!(table[1] & FIS_COMMAND)) {
		control(s, table[15], flags & HEADER_CLEAR_BUSY);
		return;
	}
	if (!p->dev.atapi && ata_is_queued(s->tf.command)) {
		accept_queued(s);
	} else {
		p->tfd = ATA_DRDY | ATA_BSY;
		if (p->queued) {	/* Serial ATA 13.6.3: not beside queued commands, all end */
			ahci_fail(s, ATA_ABRT, 0);
			ahci_port_abort(p);
			return;
		}
	}
	ata_execute(s);
}

static int next(const struct ahci_port *p)
{
	bool up = (p->ssts & 0xf) == 3 && p->cmd & AHCI_CMD_ST && p->cmd & AHCI_CMD_CR;

	if (!up || p->halted || p->aborting || p->signature_due || p->busy >= 0)
		return -1;
	for (unsigned i = 1; i <= AHCI_SLOTS; i++) {
		unsigned tag = (p->last + i) % AHCI_SLOTS;

		if (p->ci & BIT(tag))
			return (int)tag;
	}
	return -1;
}

/* Each round takes a bit out of PxCI, makes the port busy, or halts it. */
void ahci_port_run(struct ahci_port *p)
{
	int tag;

	if (p->running)
		return;
	p->running = true;
	do {
		block_plug(p->dev.block);
		while ((tag = next(p)) >= 0)
			take(p, (unsigned)tag);
		block_unplug(p->dev.block);
	} while (next(p) >= 0);	/* what completed just now made room */
	p->running = false;
	if (p->finished)
		send_sdb(p, ATA_OK, 0);
	ahci_update_irq(p->ahci);
}
