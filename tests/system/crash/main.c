/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is written and what must be there. Records are numbered run << 20 | n; where a record lies and how long it is follows from
 * its number, and so does each byte of it: a sector says which record wrote it last, and can be held to it whole. The region is
 * numbered through, but its chunks lie far apart on the disk.
 *
 * A KVM that interprets (one made in software) takes its time for each instruction and little for a string instruction's
 * steps: bytes are made, compared and counted by those.
 *
 * Run 0 writes the region once from its beginning. From then on each sector holds a record that covers it, and none older
 * than the last flushed one that does: anything else is a flushed write that was lost, or one that was torn.
 */
#include "guest.h"

enum { REGION = 8192, CHUNK = 256, STRIDE = 4096, HOT = 1024, MOST_RUNS = 4095, RUN_SHIFT = 20 };
enum { PAYLOAD = SECTOR / 8 - 2, NOISE = 4096 };	/* words */
#define MAGIC 0x4853524c4c554821ull	/* "!HULLRSH", in each sector: what a search of the volume looks for */

struct place { uint32_t lba, sectors; };

static uint32_t have[REGION];	/* the record that each sector holds */
static uint32_t flushed[MOST_RUNS];
static uint8_t data[DEPTH][MOST_SECTORS * SECTOR] __attribute__((aligned(4096)));
static struct io ios[DEPTH];
static const uint64_t *payload;		/* NOISE words and as many as one sector takes */
static uint64_t seed, luck;
static uint32_t run;
static const struct disk *disk;

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static uint32_t dice(uint32_t sides)
{
	luck = mix(luck);
	return (uint32_t)(luck >> 32) % sides;
}

/* ---- records */

/* Half of the records crowd at the beginning, so that they overwrite each other. */
static struct place record_place(uint32_t seq)
{
	uint64_t h = mix(seq ^ seed << 32);
	struct place p = { .sectors = MOST_SECTORS };

	if (seq >> RUN_SHIFT == 0) {
		p.lba = ((seq & ((1u << RUN_SHIFT) - 1)) - 1) * MOST_SECTORS;
		return p;
	}
	p.lba = (uint32_t)(h >> 32) & ((h & 1 ? HOT : REGION) - 1);
	switch (h >> 1 & 3) {
	case 0: p.sectors = 1; break;
	case 1: p.sectors = 8; p.lba &= ~7u; break;
	default: p.sectors = 1 + (h >> 8) % MOST_SECTORS; break;
	}
	if (p.sectors > CHUNK - p.lba % CHUNK)
		p.sectors = CHUNK - p.lba % CHUNK;
	return p;
}

static bool covers(uint32_t seq, uint32_t lba)
{
	struct place p = record_place(seq);

	return lba >= p.lba && lba - p.lba < p.sectors;
}

/* A record's payload begins at a place of the noise that moves on by one word a sector: sectors put elsewhere are seen. */
static const uint64_t *sector_payload(uint32_t seq, uint32_t lba)
{
	return payload + ((seq * 257 + (seq >> RUN_SHIFT) * 61 + lba) & (NOISE - 1));
}

static void sector_fill(uint64_t *w, uint32_t seq, uint32_t lba)
{
	const uint64_t *from = sector_payload(seq, lba);
	size_t n = PAYLOAD;

	w[0] = MAGIC;
	w[1] = (uint64_t)seq << 32 | lba;
	w += 2;
	__asm__ volatile("rep movsq" : "+D"(w), "+S"(from), "+c"(n) : : "memory");
}

static bool sector_is(const uint64_t *w, uint32_t seq, uint32_t lba)
{
	const uint64_t *want = sector_payload(seq, lba);
	size_t n = PAYLOAD;
	bool same;

	if (w[0] != MAGIC || w[1] != ((uint64_t)seq << 32 | lba))
		return false;
	w += 2;
	__asm__ volatile("repe cmpsq" : "+D"(w), "+S"(want), "+c"(n), "=@cce"(same) : : "memory");
	return same;
}

static void remember(struct place p, uint32_t seq)
{
	uint32_t *at = have + p.lba;
	size_t n = p.sectors;

	__asm__ volatile("rep stosl" : "+D"(at), "+c"(n) : "a"(seq) : "memory");
}

static void name_record(uint32_t seq)
{
	say_number(seq >> RUN_SHIFT);
	say("/");
	say_number(seq & ((1u << RUN_SHIFT) - 1));
}

static void wrong(const char *what, uint32_t lba, uint32_t found, uint32_t least)
{
	say("E sector ");
	say_number(lba);
	say(" holds record ");
	name_record(found);
	say(", expected ");
	name_record(least);
	say(": ");
	stop(what);
}

/* ---- requests */

static struct io *free_io(void)
{
	for (unsigned i = 0; i < disk->depth; i++) {
		if (!ios[i].busy)
			return &ios[i];
	}
	return NULL;
}

static unsigned busy_ios(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < DEPTH; i++)
		n += ios[i].busy;
	return n;
}

static bool overlaps(uint32_t lba, uint32_t sectors)
{
	for (unsigned i = 0; i < DEPTH; i++) {
		if (ios[i].busy && ios[i].kind != IO_FLUSH && lba < ios[i].lba + ios[i].sectors && ios[i].lba < lba + sectors)
			return true;
	}
	return false;
}

static void submit(struct io *io, enum io_kind kind, struct place p, uint64_t seq)
{
	io->kind = kind;
	io->lba = p.lba;
	io->disk_lba = p.lba / CHUNK * STRIDE + p.lba % CHUNK;
	io->sectors = p.sectors;
	io->seq = seq;
	io->busy = true;
	disk->submit(io);
}

static struct io *reap(void)
{
	struct io *io = disk->reap();

	if (io) {
		io->busy = false;
		if (io->failed)
			stop(io->kind == IO_READ ? "a read failed" : io->kind == IO_WRITE ? "a write failed" : "a flush failed");
	}
	return io;
}

static struct io *wait_io(void)
{
	struct io *io;

	while (!(io = reap()))
		pc_halt();
	return io;
}

/* ---- after a crash: every sector is held to what was flushed */

static void expect_flushed(void)
{
	for (uint32_t r = 0; r < run; r++) {
		for (uint32_t n = 1; n <= flushed[r]; n++)
			remember(record_place(r << RUN_SHIFT | n), r << RUN_SHIFT | n);
	}
}

static void judge(const uint64_t *w, uint32_t lba, uint32_t *newer)
{
	uint32_t least = have[lba], seq = (uint32_t)(w[1] >> 32);

	if (!sector_is(w, seq, lba))
		wrong("damaged", lba, w[0] == MAGIC ? seq : 0, least);
	if (seq == least)
		return;
	if (seq >> RUN_SHIFT >= run || !covers(seq, lba))
		wrong("from another place", lba, seq, least);
	if (seq < least)
		wrong("a flushed write is lost", lba, seq, least);
	++*newer;
	have[lba] = seq;
}

static uint32_t verify(void)
{
	uint32_t next = 0, newer = 0;

	while (next < REGION || busy_ios()) {
		struct io *io = free_io();

		if (io && next < REGION) {
			submit(io, IO_READ, (struct place){ next, MOST_SECTORS }, 0);
			next += MOST_SECTORS;
			continue;
		}
		io = wait_io();
		for (uint32_t i = 0; i < io->sectors; i++)
			judge((const uint64_t *)(io->data + i * SECTOR), io->lba + i, &newer);
	}
	return newer;
}

/* ---- the load */

static void write_record(struct io *io, uint32_t seq)
{
	struct place p = record_place(seq);

	for (uint32_t i = 0; i < p.sectors; i++)
		sector_fill((uint64_t *)(io->data + i * SECTOR), seq, p.lba + i);
	submit(io, IO_WRITE, p, seq);
}

/* A random place that nobody is writing; what comes back must be what is known to be there. */
static void read_back(struct io *io)
{
	struct place p = { .lba = dice(REGION), .sectors = 1 + dice(MOST_SECTORS / 4) };

	if (p.sectors > CHUNK - p.lba % CHUNK)
		p.sectors = CHUNK - p.lba % CHUNK;
	if (!overlaps(p.lba, p.sectors))
		submit(io, IO_READ, p, 0);
}

static void finish(const struct io *io)
{
	if (io->kind == IO_FLUSH) {
		say("F ");
		say_number(io->seq);
		say("\n");
		return;
	}
	if (io->kind == IO_WRITE) {
		remember((struct place){ io->lba, io->sectors }, (uint32_t)io->seq);
		return;
	}
	for (uint32_t i = 0; i < io->sectors; i++) {
		if (!sector_is((const uint64_t *)(io->data + i * SECTOR), have[io->lba + i], io->lba + i))
			wrong("read back wrong", io->lba + i, (uint32_t)(*(const uint64_t *)(io->data + i * SECTOR + 8) >> 32), have[io->lba + i]);
	}
}

/* The highest record such that it and all before it are written: what a flush that begins now makes durable. */
static uint32_t written_up_to(uint32_t next)
{
	uint32_t least = next;

	for (unsigned i = 0; i < DEPTH; i++) {
		if (ios[i].busy && ios[i].kind == IO_WRITE && (uint32_t)ios[i].seq < least)
			least = (uint32_t)ios[i].seq;
	}
	return (least - 1) & ((1u << RUN_SHIFT) - 1);
}

/* Records run/1 … run/last, with flushes and reads between them. */
static void load(uint32_t last)
{
	uint32_t next = run << RUN_SHIFT | 1, end = run << RUN_SHIFT | last, reported = 0, until_flush = 8;
	bool flushing = false;

	while (next <= end || busy_ios() || reported < last) {
		struct io *io = free_io();
		struct place p = record_place(next);

		if (io && !flushing && (!until_flush || next > end) && written_up_to(next) > reported) {
			reported = written_up_to(next);
			submit(io, IO_FLUSH, (struct place){ 0, 0 }, reported);
			flushing = true;
			until_flush = 1 + dice(32);
		} else if (io && run && !dice(4)) {
			read_back(io);
		} else if (io && next <= end && until_flush && !overlaps(p.lba, p.sectors)) {
			write_record(io, next++);
			until_flush--;
		} else if (busy_ios()) {
			io = wait_io();
			flushing &= io->kind != IO_FLUSH;
			finish(io);
		}
	}
}

/* ---- the beginning */

static const char *number(const char *text, const char *end, uint64_t *n)
{
	for (*n = 0; text < end && *text >= '0' && *text <= '9'; text++)
		*n = *n * 10 + (uint64_t)(*text - '0');
	return text + 1;
}

static void read_orders(const uint8_t *boot_params)
{
	const char *text = (const char *)(uintptr_t)*(const uint32_t *)(boot_params + 0x218);
	const char *end = text + *(const uint32_t *)(boot_params + 0x21c);
	uint64_t n;

	payload = (const uint64_t *)text;
	text += (NOISE + PAYLOAD) * 8;
	text = number(text, end, &seed);
	text = number(text, end, &n);
	disk = n ? &ahci : &virtio_blk;
	while (text < end && run < MOST_RUNS) {
		text = number(text, end, &n);
		flushed[run++] = (uint32_t)n;
	}
	luck = seed ^ (uint64_t)run << 40;
}

void guest_main(const uint8_t *boot_params);
void guest_main(const uint8_t *boot_params)
{
	pc_start();
	read_orders(boot_params);
	for (unsigned i = 0; i < DEPTH; i++) {
		ios[i].number = i;
		ios[i].data = data[i];
	}
	disk->start();
	if (!run) {
		load(REGION / MOST_SECTORS);
		say("V 0\n");
	} else {
		uint32_t newer;

		expect_flushed();
		newer = verify();
		say("V ");
		say_number(newer);
		say("\n");
		load((1u << RUN_SHIFT) - 1);
	}
	for (;;)
		pc_halt();
}
