/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes are read and written beside the page cache wherever the kernel can (open(2), O_DIRECT): README.md says why.
 * It wants memory that is aligned. Requests with other memory, which only small and old guest software sends, are copied.
 * A second descriptor with the page cache for them would be no way: its whole pages would overwrite what a direct write
 * put beside an unaligned one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hv/block/file_priv.h"
#include "lib/bits.h"

#define MAX_ALIGN 4096

/* What statx says (Linux 6.1); before that a device takes memory that is aligned to its sectors. */
static bool find_align(const struct file *f, uint32_t *align)
{
	struct statx st;

	if (!statx(f->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) && st.stx_mask & STATX_DIOALIGN) {
		*align = st.stx_dio_mem_align;
		return *align && bits_is_pow2(*align) && *align <= MAX_ALIGN && st.stx_dio_offset_align &&
		       st.stx_dio_offset_align <= f->b.logical;
	}
	*align = f->b.logical;
	return f->is_device && f->b.logical <= MAX_ALIGN;
}

/* A file system may promise what it does not keep: one sector is read to see. */
static bool reads(const struct file *f)
{
	void *sector;
	ssize_t r;

	if (posix_memalign(&sector, MAX_ALIGN, f->b.logical))
		return false;
	r = pread(f->fd, sector, f->b.logical, 0);
	free(sector);
	return r == (ssize_t)f->b.logical;
}

void file_direct_try(struct file *f)
{
	int flags = fcntl(f->fd, F_GETFL);
	uint32_t align;

	if (flags < 0 || !find_align(f, &align) || fcntl(f->fd, F_SETFL, flags | O_DIRECT))
		return;
	f->direct = reads(f);
	f->align = align;
	if (!f->direct && fcntl(f->fd, F_SETFL, flags))
		f->direct = true;	/* no way back: requests say what is wrong */
}

/* Pieces end at sectors: kernels before 6.1 want that, and later ones split long requests there. */
bool file_direct_fits(const struct file *f, const struct iovec *iov, unsigned count)
{
	uintptr_t bits = 0;

	for (unsigned i = 0; i < count; i++)
		bits |= ((uintptr_t)iov[i].iov_base & (f->align - 1)) | (iov[i].iov_len & (f->b.logical - 1));
	return !bits;
}

/* Between bounce and op's place in the request. */
static void copy(const struct file_op *op, uint64_t len, bool in)
{
	const struct block_req *req = op->req;
	uint64_t skip = op->done;
	uint8_t *at = op->bounce;
	unsigned i = 0;

	for (; skip >= req->iov[i].iov_len; i++)
		skip -= req->iov[i].iov_len;
	for (; len; i++, skip = 0) {
		uint8_t *p = (uint8_t *)req->iov[i].iov_base + skip;
		uint64_t n = req->iov[i].iov_len - skip;

		if (n > len)
			n = len;
		memcpy(in ? at : p, in ? p : at, n);
		at += n;
		len -= n;
	}
}

int file_direct_bounce(const struct file *f, struct file_op *op)
{
	uint64_t left = op->req->len - op->done;
	void *p = NULL;

	if (!op->bounce && posix_memalign(&p, MAX_ALIGN, FILE_BOUNCE))
		return -ENOMEM;
	if (p)
		op->bounce = p;
	op->bounced = true;
	op->len = left < FILE_BOUNCE ? left : FILE_BOUNCE;
	if (op->call == FILE_WRITEV)
		copy(op, op->len, true);
	op->window[0] = (struct iovec){ .iov_base = op->bounce, .iov_len = op->len };
	op->iov = op->window;
	op->iov_count = 1;
	return 0;
}

void file_direct_return(struct file_op *op, uint64_t len)
{
	if (op->bounced && op->call == FILE_READV)
		copy(op, len, false);
}
