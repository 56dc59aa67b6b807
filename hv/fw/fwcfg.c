/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fw/fwcfg.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/buf.h"

enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };
#define DMA_SIGNATURE 0x51454d5520434647ull	/* "QEMU CFG", what the address register reads as */
#define ID_BITS 3				/* classic interface, DMA interface */

static int add(struct fwcfg_item *item, const char *name, uint16_t key, const void *data, size_t len)
{
	if (len > UINT32_MAX)
		return -EINVAL;
	item->data = malloc(len ? len : 1);
	if (!item->data)
		return -ENOMEM;
	if (len)
		memcpy(item->data, data, len);
	item->len = (uint32_t)len;
	item->key = key;
	strcpy(item->name, name);
	return 0;
}

int fwcfg_add_file(struct fwcfg *cfg, const char *name, const void *data, size_t len)
{
	int err;

	if (cfg->sealed || !name[0] || strlen(name) > FWCFG_NAME_MAX)
		return -EINVAL;
	if (fwcfg_file(cfg, name))
		return -EEXIST;
	if (cfg->files == FWCFG_MAX_FILES)
		return -ENOSPC;
	err = add(&cfg->file[cfg->files], name, 0, data, len);
	if (!err)
		cfg->files++;
	return err;
}

static int add_key(struct fwcfg *cfg, uint16_t key, const void *data, size_t len)
{
	int err;

	for (unsigned i = 0; i < cfg->keys; i++)
		if (cfg->key[i].key == key)
			return -EEXIST;
	if (cfg->keys == FWCFG_MAX_KEYS)
		return -ENOSPC;
	err = add(&cfg->key[cfg->keys], "", key, data, len);
	if (!err)
		cfg->keys++;
	return err;
}

int fwcfg_add_key(struct fwcfg *cfg, uint16_t key, const void *data, size_t len)
{
	if (cfg->sealed || key == FWCFG_DIRECTORY || (key >= FWCFG_FILES && key < 0x8000))
		return -EINVAL;
	return add_key(cfg, key, data, len);
}

#define ADD_INTEGERS(bits) \
	int fwcfg_add_key_u##bits(struct fwcfg *cfg, uint16_t key, uint##bits##_t val) \
	{ \
		uint8_t le[bits / 8]; \
		put_le##bits(le, val); \
		return fwcfg_add_key(cfg, key, le, sizeof le); \
	} \
	int fwcfg_add_file_u##bits(struct fwcfg *cfg, const char *name, uint##bits##_t val) \
	{ \
		uint8_t le[bits / 8]; \
		put_le##bits(le, val); \
		return fwcfg_add_file(cfg, name, le, sizeof le); \
	}
ADD_INTEGERS(16)
ADD_INTEGERS(32)
ADD_INTEGERS(64)

int fwcfg_init(struct fwcfg *cfg, const struct mem *mem)
{
	int err;

	memset(cfg, 0, sizeof *cfg);
	cfg->mem = mem;
	err = fwcfg_add_key(cfg, FWCFG_SIGNATURE, "QEMU", 4);
	if (!err)
		err = fwcfg_add_key_u32(cfg, FWCFG_ID, ID_BITS);
	if (err)
		fwcfg_free(cfg);
	return err;
}

void fwcfg_free(struct fwcfg *cfg)
{
	for (unsigned i = 0; i < cfg->keys; i++)
		free(cfg->key[i].data);
	for (unsigned i = 0; i < cfg->files; i++)
		free(cfg->file[i].data);
	memset(cfg, 0, sizeof *cfg);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct fwcfg_item *)a)->name, ((const struct fwcfg_item *)b)->name);
}

int fwcfg_seal(struct fwcfg *cfg)
{
	uint8_t dir[4 + 64 * FWCFG_MAX_FILES];
	struct wbuf b = wbuf_of(dir, sizeof dir);
	int err;

	if (cfg->sealed)
		return -EINVAL;
	qsort(cfg->file, cfg->files, sizeof cfg->file[0], by_name);
	wbuf_be32(&b, cfg->files);
	for (unsigned i = 0; i < cfg->files; i++) {
		struct fwcfg_item *f = &cfg->file[i];

		f->key = (uint16_t)(FWCFG_FILES + i);
		wbuf_be32(&b, f->len);
		wbuf_be16(&b, f->key);
		wbuf_be16(&b, 0);
		wbuf_pad_str(&b, f->name, FWCFG_NAME_MAX + 1, 0);
	}
	bug_on(b.failed);
	err = add_key(cfg, FWCFG_DIRECTORY, dir, b.pos);
	cfg->sealed = !err;
	return err;
}

void fwcfg_reset(struct fwcfg *cfg)
{
	cfg->selected = 0;
	cfg->pos = 0;
	memset(cfg->dma, 0, sizeof cfg->dma);
}

const struct fwcfg_item *fwcfg_file(const struct fwcfg *cfg, const char *name)
{
	for (unsigned i = 0; i < cfg->files; i++)
		if (!strcmp(cfg->file[i].name, name))
			return &cfg->file[i];
	return NULL;
}

/* The selected item, or NULL: then everything reads as zero. */
static const struct fwcfg_item *item(const struct fwcfg *cfg)
{
	uint16_t k = cfg->selected;

	if (cfg->sealed && k >= FWCFG_FILES && k < FWCFG_FILES + cfg->files)
		return &cfg->file[k - FWCFG_FILES];
	for (unsigned i = 0; i < cfg->keys; i++)
		if (cfg->key[i].key == k)
			return &cfg->key[i];
	return NULL;
}

static void select_key(struct fwcfg *cfg, uint16_t key)
{
	cfg->selected = key;
	cfg->pos = 0;
}

/* Up to want bytes that are there, and past them. */
static const uint8_t *take(struct fwcfg *cfg, uint32_t want, uint32_t *got)
{
	const struct fwcfg_item *it = item(cfg);
	uint32_t left = it ? it->len - cfg->pos : 0;
	const uint8_t *p = it ? it->data + cfg->pos : NULL;

	*got = want < left ? want : left;
	cfg->pos += *got;
	return p;
}

static int copy_out(struct fwcfg *cfg, uint64_t gpa, uint32_t len)
{
	static const uint8_t zeros[4096];
	uint32_t got;
	const uint8_t *p = take(cfg, len, &got);

	if (got && mem_write(cfg->mem, gpa, p, got))
		return -EFAULT;
	for (uint32_t done = got; done < len;) {
		uint32_t n = len - done < sizeof zeros ? len - done : (uint32_t)sizeof zeros;

		if (mem_write(cfg->mem, gpa + done, zeros, n))
			return -EFAULT;
		done += n;
	}
	return 0;
}

static int transfer(struct fwcfg *cfg, uint32_t control, uint32_t len, uint64_t gpa)
{
	uint32_t skipped;

	if (control & DMA_SELECT)
		select_key(cfg, (uint16_t)(control >> 16));
	if (control & DMA_READ) {
		if (len > FWCFG_DMA_MAX || gpa + len < gpa)
			return -EINVAL;
		return copy_out(cfg, gpa, len);
	}
	if (control & DMA_WRITE)
		return -EROFS;
	if (control & DMA_SKIP)
		(void)take(cfg, len, &skipped);
	return 0;
}

static void run_dma(struct fwcfg *cfg)
{
	uint64_t at = get_be64(cfg->dma);
	uint8_t req[16], done[4];
	int err;

	memset(cfg->dma, 0, sizeof cfg->dma);
	if (mem_read(cfg->mem, at, req, sizeof req)) {
		cfg->dma_errors++;	/* there is no memory to report in */
		return;
	}
	err = transfer(cfg, get_be32(req), get_be32(req + 4), get_be64(req + 8));
	cfg->dma_errors += err != 0;
	put_be32(done, err ? DMA_ERROR : 0);
	if (mem_write(cfg->mem, at, done, sizeof done))
		cfg->dma_errors++;
}

static uint64_t read(void *ctx, uint64_t off, unsigned size)
{
	struct fwcfg *cfg = ctx;
	uint64_t v = 0;
	uint32_t got;

	if (off >= 4) {
		for (unsigned i = 0; i < size && off - 4 + i < 8; i++)
			v |= (uint64_t)(uint8_t)(DMA_SIGNATURE >> (56 - 8 * (off - 4 + i))) << (8 * i);
		return v;
	}
	if (off != 1)
		return off ? 0 : cfg->selected;
	for (unsigned i = 0; i < size; i++) {
		const uint8_t *p = take(cfg, 1, &got);

		if (got)
			v |= (uint64_t)*p << (8 * i);
	}
	return v;
}

static void write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct fwcfg *cfg = ctx;

	if (off == 0 && size == 2)
		select_key(cfg, (uint16_t)val);
	if (off < 4)
		return;
	/* A port write carries the lowest address in its low byte: the register's bytes are stored as they come. */
	for (unsigned i = 0; i < size && off - 4 + i < 8; i++)
		cfg->dma[off - 4 + i] = (uint8_t)(val >> (8 * i));
	if ((off == 8 && size == 4) || (off == 4 && size == 8))
		run_dma(cfg);
}

const struct bus_ops fwcfg_ports = { .read = read, .write = write };
