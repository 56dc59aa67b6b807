/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "hv/block/crypt_priv.h"

/* Where in the parent's scatter list the data of a piece go on. */
struct walk { const struct iovec *iov; uint64_t skip; };

static void settle(struct walk *w)
{
	while (w->skip == w->iov->iov_len) {
		w->iov++;
		w->skip = 0;
	}
}

/* n bytes between the list and buf; each byte of the list is touched once, for a guest may change it meanwhile. */
static void copy(struct walk *w, uint8_t *buf, uint64_t n, bool to_list)
{
	while (n) {
		uint64_t some;
		uint8_t *at;

		settle(w);
		at = (uint8_t *)w->iov->iov_base + w->skip;
		some = w->iov->iov_len - w->skip < n ? w->iov->iov_len - w->skip : n;
		if (to_list)
			memcpy(at, buf, some);
		else
			memcpy(buf, at, some);
		w->skip += some;
		buf += some;
		n -= some;
	}
}

/*
 * Sectors that one element of the list holds whole are encrypted or decrypted between it and the buffer; of others the bytes
 * wanted are copied, and the sector around them is done inside the buffer, whatever stands beside them there.
 */
static void walk_sectors(const struct crypt_piece *p, bool encrypt)
{
	struct walk w = { p->parent->iov + p->index, p->skip };
	struct xts *x = p->key->xts;
	uint64_t sector = xts_sector(x), pos = p->off, end = p->off + p->len, start = pos & ~(sector - 1);

	while (pos < end) {
		uint64_t inside = pos & (sector - 1), first = pos - inside, tweak = p->key->tweak + first / 512, n;
		uint8_t *buf = p->buf + (first - start), *at;

		settle(&w);
		n = w.iov->iov_len - w.skip < end - pos ? w.iov->iov_len - w.skip : end - pos;
		n &= ~(sector - 1);
		if (!inside && n) {
			at = (uint8_t *)w.iov->iov_base + w.skip;
			if (encrypt)
				xts_encrypt(x, tweak, buf, at, n);
			else
				xts_decrypt(x, tweak, at, buf, n);
			w.skip += n;
		} else {
			n = sector - inside < end - pos ? sector - inside : end - pos;
			if (encrypt)
				copy(&w, buf + inside, n, false);
			(encrypt ? xts_encrypt : xts_decrypt)(x, tweak, buf, buf, sector);
			if (!encrypt)
				copy(&w, buf + inside, n, true);
		}
		pos += n;
	}
}

void crypt_encrypt_piece(struct crypt_piece *p)
{
	uint64_t sector = xts_sector(p->key->xts), start = p->off & ~(sector - 1);
	uint64_t len = ((p->off + p->len + sector - 1) & ~(sector - 1)) - start;

	if (p->parent->op == BLOCK_WRITE) {
		walk_sectors(p, true);
		return;
	}
	memset(p->buf, 0, len);
	xts_encrypt(p->key->xts, p->key->tweak + start / 512, p->buf, p->buf, len);
}

void crypt_decrypt_piece(const struct crypt_piece *p)
{
	walk_sectors(p, false);
}
