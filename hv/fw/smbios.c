/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fw/smbios.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hv/fw/buses.h"
#include "lib/bits.h"
#include "lib/buf.h"

#define MAX_STRINGS 16
#define KIB 1024ull
#define MIB (1024 * KIB)
#define DEFAULT_DIMM (16ull << 30)
#define HTT BIT(28)

enum { UNKNOWN = 2, SAFE = 3, NO_HANDLE = 0xfffe };
enum {
	HANDLE_BIOS = 0x000, HANDLE_SYSTEM = 0x100, HANDLE_BOARD = 0x200, HANDLE_CHASSIS = 0x300, HANDLE_CPU = 0x400,
	HANDLE_OEM = 0xe00, HANDLE_ARRAY = 0x1000, HANDLE_DIMM = 0x1100, HANDLE_RANGE = 0x1300, HANDLE_BOOT = 0x2000,
	HANDLE_ONBOARD = 0x2900, HANDLE_END = 0x7f00,
};

struct build {
	const struct env *env;
	const struct layout *layout;
	struct wbuf out;
	size_t start;			/* of the structure being written */
	const char *string[MAX_STRINGS];
	unsigned strings, count;
	size_t largest;
};

static void begin(struct build *b, uint8_t type, unsigned handle)
{
	b->start = b->out.pos;
	b->strings = 0;
	wbuf_u8(&b->out, type);
	wbuf_u8(&b->out, 0);
	wbuf_le16(&b->out, (uint16_t)handle);
}

/* A string's number, 0 when there is none. Strings live until end(). */
static void text(struct build *b, const char *s)
{
	if (*s) {
		bug_on(b->strings == MAX_STRINGS);
		b->string[b->strings++] = s;
	}
	wbuf_u8(&b->out, *s ? (uint8_t)b->strings : 0);
}

/* The formatted part's length, the strings, the closing NUL (two when there are no strings). */
static void end(struct build *b)
{
	if (b->out.failed)
		return;
	b->out.data[b->start + 1] = (uint8_t)(b->out.pos - b->start);
	for (unsigned i = 0; i < b->strings; i++)
		wbuf_str(&b->out, b->string[i]);
	wbuf_zero(&b->out, b->strings ? 1 : 2);
	if (b->out.pos - b->start > b->largest)
		b->largest = b->out.pos - b->start;
	b->count++;
}

static void put_bios(struct build *b)
{
	const struct env_smbios *s = &b->env->smbios;
	struct wbuf *w = &b->out;

	begin(b, 0, HANDLE_BIOS);
	text(b, s->bios.vendor);
	text(b, s->bios.version);
	wbuf_le16(w, 0xe800);		/* start segment */
	text(b, s->bios.release_date);
	wbuf_u8(w, s->bios.rom_kib >= 64 ? (uint8_t)(s->bios.rom_kib / 64 - 1) : 0);
	wbuf_le64(w, 8);		/* characteristics: not supported */
	wbuf_u8(w, 0);
	wbuf_u8(w, 0x14 | (s->bios.uefi ? 8 : 0));	/* targeted content distribution, virtual machine */
	wbuf_u8(w, s->bios.major);
	wbuf_u8(w, s->bios.minor);
	wbuf_le16(w, 0xffff);		/* embedded controller: none */
	end(b);
}

/* Section 7.2.1: the first three fields of the UUID are little-endian. */
static void put_uuid(struct wbuf *w, const uint8_t uuid[16])
{
	wbuf_le32(w, get_be32(uuid));
	wbuf_le16(w, get_be16(uuid + 4));
	wbuf_le16(w, get_be16(uuid + 6));
	wbuf_put(w, uuid + 8, 8);
}

static void put_system(struct build *b)
{
	const struct env_smbios *s = &b->env->smbios;

	begin(b, 1, HANDLE_SYSTEM);
	text(b, s->system.manufacturer);
	text(b, s->system.product);
	text(b, s->system.version);
	text(b, s->system.serial);
	put_uuid(&b->out, b->env->uuid);
	wbuf_u8(&b->out, 6);		/* woken by the power switch */
	text(b, s->system.sku);
	text(b, s->system.family);
	end(b);
}

static void put_board(struct build *b)
{
	const struct env_smbios *s = &b->env->smbios;

	if (!s->board.present)
		return;
	begin(b, 2, HANDLE_BOARD);
	text(b, s->board.manufacturer);
	text(b, s->board.product);
	text(b, s->board.version);
	text(b, s->board.serial);
	text(b, s->board.asset_tag);
	wbuf_u8(&b->out, 1);		/* hosting board */
	text(b, s->board.location);
	wbuf_le16(&b->out, HANDLE_CHASSIS);
	wbuf_u8(&b->out, 10);		/* motherboard */
	wbuf_u8(&b->out, 0);
	end(b);
}

static void put_chassis(struct build *b)
{
	const struct env_smbios *s = &b->env->smbios;
	struct wbuf *w = &b->out;

	begin(b, 3, HANDLE_CHASSIS);
	text(b, s->chassis.manufacturer);
	wbuf_u8(w, s->chassis.type);
	text(b, s->chassis.version);
	text(b, s->chassis.serial);
	text(b, s->chassis.asset_tag);
	wbuf_u8(w, SAFE);		/* boot-up, power supply, thermal */
	wbuf_u8(w, SAFE);
	wbuf_u8(w, SAFE);
	wbuf_u8(w, UNKNOWN);		/* security */
	wbuf_zero(w, 4 + 1 + 1 + 1 + 1);
	text(b, s->chassis.sku);
	end(b);
}

/* CPUID leaf 1 EAX */
static uint32_t cpu_signature(const struct env_cpu *c)
{
	unsigned base = c->family > 15 ? 15 : c->family, ext = c->family > 15 ? c->family - 15 : 0;

	return ext << 20 | (c->model >> 4 & 15) << 16 | base << 8 | (c->model & 15) << 4 | (c->stepping & 15);
}

static uint8_t cap8(unsigned v)
{
	return v > 255 ? 255 : (uint8_t)v;
}

static void put_cpu(struct build *b, unsigned socket)
{
	const struct env_smbios *s = &b->env->smbios;
	const struct env_cpu *c = &b->env->cpu;
	unsigned threads = c->cores * c->threads;
	struct wbuf *w = &b->out;
	char name[160];

	snprintf(name, sizeof name, "%s%2x", s->processor.socket_prefix, socket);
	begin(b, 4, HANDLE_CPU + socket);
	text(b, name);
	wbuf_u8(w, 3);			/* central processor */
	wbuf_u8(w, s->processor.family);
	text(b, s->processor.manufacturer);
	wbuf_le32(w, cpu_signature(c));
	wbuf_le32(w, c->words[ENV_CPUID_1_EDX] & ~HTT);	/* set by topology, not part of the processor's id */
	text(b, s->processor.version);
	wbuf_u8(w, 0);			/* voltage */
	wbuf_le16(w, 0);		/* external clock */
	wbuf_le16(w, s->processor.max_mhz);
	wbuf_le16(w, s->processor.current_mhz);
	wbuf_u8(w, 0x41);		/* populated, enabled */
	wbuf_u8(w, s->processor.upgrade);
	wbuf_le16(w, 0xffff);		/* cache handles */
	wbuf_le16(w, 0xffff);
	wbuf_le16(w, 0xffff);
	text(b, s->processor.serial);
	text(b, s->processor.asset_tag);
	text(b, s->processor.part);
	wbuf_u8(w, cap8(c->cores));
	wbuf_u8(w, cap8(c->cores));
	wbuf_u8(w, cap8(threads));
	wbuf_le16(w, 2);		/* characteristics: unknown */
	wbuf_le16(w, s->processor.family);
	if (s->v3) {
		wbuf_le16(w, (uint16_t)c->cores);
		wbuf_le16(w, (uint16_t)c->cores);
		wbuf_le16(w, (uint16_t)threads);
	}
	end(b);
}

static void put_oem_strings(struct build *b)
{
	const struct env_smbios *s = &b->env->smbios;

	if (!s->oem_string_count)
		return;
	begin(b, 11, HANDLE_OEM);
	wbuf_u8(&b->out, (uint8_t)s->oem_string_count);
	for (unsigned i = 0; i < s->oem_string_count && i < MAX_STRINGS; i++)
		b->string[b->strings++] = s->oem_strings[i];
	end(b);
}

static uint64_t dimm_size(const struct env *env)
{
	return env->smbios.memory.dimm_bytes ?: DEFAULT_DIMM;
}

static unsigned dimm_count(const struct env *env)
{
	return (unsigned)((env->memory + dimm_size(env) - 1) / dimm_size(env));
}

static void put_array(struct build *b)
{
	uint64_t kib = b->env->memory / KIB;
	struct wbuf *w = &b->out;

	begin(b, 16, HANDLE_ARRAY);
	wbuf_u8(w, 1);			/* location: other */
	wbuf_u8(w, 3);			/* use: system memory */
	wbuf_u8(w, 6);			/* multi-bit ECC */
	wbuf_le32(w, kib < 0x80000000 ? (uint32_t)kib : 0x80000000);
	wbuf_le16(w, NO_HANDLE);
	wbuf_le16(w, (uint16_t)dimm_count(b->env));
	wbuf_le64(w, kib < 0x80000000 ? 0 : b->env->memory);
	end(b);
}

static void put_dimm(struct build *b, unsigned n, uint64_t bytes)
{
	const struct env_smbios *s = &b->env->smbios;
	uint64_t mib = bytes / MIB;
	struct wbuf *w = &b->out;
	char locator[160];

	snprintf(locator, sizeof locator, "%s %u", s->memory.locator_prefix, n);
	begin(b, 17, HANDLE_DIMM + n);
	wbuf_le16(w, HANDLE_ARRAY);
	wbuf_le16(w, NO_HANDLE);
	wbuf_le16(w, 0xffff);		/* widths: unknown */
	wbuf_le16(w, 0xffff);
	wbuf_le16(w, mib < 0x7fff ? (uint16_t)mib : 0x7fff);
	wbuf_u8(w, s->memory.form_factor);
	wbuf_u8(w, 0);			/* in no set */
	text(b, locator);
	text(b, s->memory.bank);
	wbuf_u8(w, s->memory.type);
	wbuf_le16(w, 2);		/* detail: other */
	wbuf_le16(w, s->memory.speed_mts);
	text(b, s->memory.manufacturer);
	text(b, s->memory.serial);
	text(b, s->memory.asset_tag);
	text(b, s->memory.part);
	wbuf_u8(w, 0);			/* rank: unknown */
	wbuf_le32(w, mib < 0x7fff ? 0 : (uint32_t)mib);
	wbuf_le16(w, s->memory.speed_mts);
	wbuf_zero(w, 6);		/* voltages */
	end(b);
}

static void put_range(struct build *b, unsigned n, uint64_t start, uint64_t end_addr)
{
	uint64_t first = start / KIB, last = end_addr / KIB - 1;
	bool wide = last > 0xfffffffe;
	struct wbuf *w = &b->out;

	begin(b, 19, HANDLE_RANGE + n);
	wbuf_le32(w, wide ? 0xffffffff : (uint32_t)first);
	wbuf_le32(w, wide ? 0xffffffff : (uint32_t)last);
	wbuf_le16(w, HANDLE_ARRAY);
	wbuf_u8(w, 1);			/* partition width */
	wbuf_le64(w, wide ? start : 0);
	wbuf_le64(w, wide ? end_addr - 1 : 0);
	end(b);
}

static void put_memory(struct build *b)
{
	uint64_t left = b->env->memory;

	put_array(b);
	for (unsigned i = 0; left; i++) {
		uint64_t bytes = left < dimm_size(b->env) ? left : dimm_size(b->env);

		put_dimm(b, i, bytes);
		left -= bytes;
	}
	put_range(b, 0, 0, b->layout->low_end);
	if (b->layout->high_end > LAYOUT_4G)
		put_range(b, 1, LAYOUT_4G, b->layout->high_end);
}

static void put_boot_status(struct build *b)
{
	begin(b, 32, HANDLE_BOOT);
	wbuf_zero(&b->out, 6 + 1);	/* reserved; no error */
	end(b);
}

static void put_onboard(struct build *b)
{
	struct buses buses;
	unsigned n = 0;

	buses_number(&buses, b->env);
	for (unsigned i = 0; i < b->env->pci_count; i++) {
		const struct env_pci *p = &b->env->pci[i];

		if (!p->onboard_index)
			continue;
		begin(b, 41, HANDLE_ONBOARD + n++);
		text(b, p->onboard_label ?: "");
		wbuf_u8(&b->out, 0x80 | 5);	/* enabled, Ethernet */
		wbuf_u8(&b->out, (uint8_t)p->onboard_index);
		wbuf_le16(&b->out, 0);		/* segment group */
		wbuf_u8(&b->out, buses.of[i]);
		wbuf_u8(&b->out, (uint8_t)(p->device << 3 | p->function));
		end(b);
	}
}

static void put_end(struct build *b)
{
	begin(b, 127, HANDLE_END);
	end(b);
}

static void put_anchor(struct build *b, struct smbios_tables *t)
{
	struct wbuf w = wbuf_of(t->anchor, sizeof t->anchor);

	if (b->env->smbios.v3) {
		wbuf_put(&w, "_SM3_", 5);
		wbuf_u8(&w, 0);
		wbuf_u8(&w, 0x18);
		wbuf_u8(&w, 3);
		wbuf_u8(&w, 0);
		wbuf_u8(&w, 0);
		wbuf_u8(&w, 1);
		wbuf_u8(&w, 0);
		wbuf_le32(&w, (uint32_t)b->out.pos);
		wbuf_le64(&w, 0);
	} else {
		wbuf_put(&w, "_SM_", 4);
		wbuf_u8(&w, 0);
		wbuf_u8(&w, 0x1f);
		wbuf_u8(&w, 2);
		wbuf_u8(&w, 8);
		wbuf_le16(&w, (uint16_t)b->largest);
		wbuf_zero(&w, 1 + 5);
		wbuf_put(&w, "_DMI_", 5);
		wbuf_u8(&w, 0);
		wbuf_le16(&w, (uint16_t)b->out.pos);
		wbuf_le32(&w, 0);
		wbuf_le16(&w, (uint16_t)b->count);
		wbuf_u8(&w, 0x28);
	}
	t->anchor_len = w.pos;
}

int smbios_build(struct smbios_tables *t, const struct env *env, const struct layout *layout, struct err *err)
{
	struct build b = { .env = env, .layout = layout };

	memset(t, 0, sizeof *t);
	t->tables = calloc(1, SMBIOS_TABLES_MAX);
	if (!t->tables)
		return err_set(err, -ENOMEM, "no memory for the SMBIOS tables");
	if (dimm_count(env) > ENV_MAX_DIMMS) {
		smbios_free(t);
		return err_set(err, -EINVAL, "%llu MiB of memory in DIMMs of %llu MiB are more than %u: raise the DIMM size",
			       (unsigned long long)(env->memory / MIB), (unsigned long long)(dimm_size(env) / MIB), ENV_MAX_DIMMS);
	}
	b.out = wbuf_of(t->tables, SMBIOS_TABLES_MAX);
	put_bios(&b);
	put_system(&b);
	put_board(&b);
	put_chassis(&b);
	for (unsigned i = 0; i < env->cpu.sockets; i++)
		put_cpu(&b, i);
	put_oem_strings(&b);
	put_memory(&b);
	put_boot_status(&b);
	put_onboard(&b);
	put_end(&b);
	if (b.out.failed) {
		smbios_free(t);
		return err_set(err, -ENOSPC, "the SMBIOS strings do not fit %u bytes: shorten them", SMBIOS_TABLES_MAX);
	}
	t->tables_len = b.out.pos;
	put_anchor(&b, t);
	return 0;
}

void smbios_free(struct smbios_tables *t)
{
	free(t->tables);
	memset(t, 0, sizeof *t);
}

int smbios_add_files(const struct smbios_tables *t, struct fwcfg *cfg)
{
	int err = fwcfg_add_file(cfg, SMBIOS_ANCHOR_FILE, t->anchor, t->anchor_len);

	return err ?: fwcfg_add_file(cfg, SMBIOS_TABLES_FILE, t->tables, t->tables_len);
}

static void fix_checksum(uint8_t *at, const uint8_t *from, size_t len)
{
	uint8_t sum = 0;

	*at = 0;
	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + from[i]);
	*at = (uint8_t)-sum;
}

int smbios_install(const struct smbios_tables *t, struct mem *mem, uint64_t start, uint64_t end_gpa, struct err *err)
{
	uint64_t gpa = start + 32;
	uint8_t a[sizeof t->anchor];

	if (end_gpa < gpa || t->tables_len > end_gpa - gpa)
		return err_set(err, -ENOSPC, "%zu bytes of SMBIOS tables do not fit below 0x%llx", t->tables_len,
			       (unsigned long long)end_gpa);
	memcpy(a, t->anchor, sizeof a);
	if (t->anchor_len == 0x18) {
		put_le64(a + 16, gpa);
		fix_checksum(a + 5, a, t->anchor_len);
	} else {
		put_le32(a + 24, (uint32_t)gpa);
		fix_checksum(a + 21, a + 16, 15);
		fix_checksum(a + 4, a, t->anchor_len);
	}
	if (mem_write(mem, gpa, t->tables, t->tables_len) || mem_write(mem, start, a, t->anchor_len))
		return err_set(err, -EFAULT, "no memory at 0x%llx for the SMBIOS tables", (unsigned long long)start);
	return 0;
}
