/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "tests/unit/hv/block/crypt_rig.h"
#include "tests/unit/suite.h"

enum { MB = 1 << 20, HEADER = 65536 };

static void refuse(const struct luks_layout *l, const char *why)
{
	struct fault *f = fault_create(MB);
	struct err err = { 0 };
	struct block *b;

	check_eq(block_crypt_create(&f->b, l, &b, &err), -EINVAL);
	check_str(err.text, why);
}

static void layouts_that_do_not_fit_are_refused(void)
{
	struct luks_layout good = crypt_layout(4096, 64, HEADER), l;

	l = good;
	l.segment_count = 0;
	refuse(&l, "volume has 0 segments; 1 or 2 can be used");
	l.segment_count = 3;
	refuse(&l, "volume has 3 segments; 1 or 2 can be used");
	l = good;
	l.segment[0].off = 4096;
	refuse(&l, "volume's first segment begins at 4096, not at 0");
	l = good;
	l.data_off = 100;
	refuse(&l, "volume's data begin at 100, which is not a multiple of its 512-byte sectors");
	l.data_off = MB;
	refuse(&l, "volume's data begin at 1048576, but it has 1048576 bytes");
	l.data_off = MB - 512;
	refuse(&l, "volume has no room for a sector of data");
	l = good;
	l.data_len = MB;
	refuse(&l, "volume's header speaks of 1048576 bytes of data, there is room for 983040; the volume was cut");
	l = good;
	l.segment[0].len = 8192;
	l.data_len = 16384;
	refuse(&l, "volume's segments end at 8192, before its 16384 bytes of data");
	l = good;
	l.segment_count = 2;
	l.segment[1] = crypt_segment(4096, 64);
	l.segment[0].len = 4096;
	l.segment[1].off = 8192;
	refuse(&l, "volume's segments leave a gap: the first ends at 4096, the second begins at 8192");
	l.segment[1].off = 4096;
	l.segment[1].len = UINT64_MAX - 4095;
	refuse(&l, "volume's last segment is beyond any size");
	l.segment[1].len = 0;
	l.segment[0].len = l.segment[1].off = 2 * MB;
	refuse(&l, "volume's second segment begins at 2097152, which cannot be in 983040 bytes of data");
	l.segment[0].len = l.segment[1].off = 512;
	refuse(&l, "volume's second segment begins at 512, which cannot be in 983040 bytes of data");
	l = good;
	l.segment[0].sector = 8192;
	refuse(&l, "encryption sectors of 8192 bytes are not supported; 512, 1024, 2048 and 4096 are");
	l = good;
	l.segment[0].key_len = 65;
	refuse(&l, "a volume key of 65 bytes is too long");
}

static void the_shorter_of_header_and_volume_counts(void)
{
	struct luks_layout l = crypt_layout(4096, 64, HEADER);
	struct fault *f = fault_create(MB + 1536);
	struct block *b;

	check_eq(block_crypt_create(&f->b, &l, &b, NULL), 0);
	check_eq(b->size, MB - HEADER);
	block_free(b);
	f = fault_create(MB);
	l.data_len = 10000 * 16;
	check_eq(block_crypt_create(&f->b, &l, &b, NULL), 0);
	check_eq(b->size, 159744);
	block_free(b);
	f = fault_create(MB);
	f->b.logical = 4096;
	f->b.readonly = true;
	f->b.can_discard = false;
	l = crypt_layout(512, 64, HEADER);
	check_eq(block_crypt_create(&f->b, &l, &b, NULL), 0);
	check_eq(b->logical, 4096);
	check(b->readonly && !b->can_discard);
	check_eq(crypt_call_now(b, BLOCK_WRITE_ZEROES, 0, NULL, 4096), -EROFS);
	block_free(b);
}

static const struct test tests[] = {
	{ "layouts that do not fit are refused", layouts_that_do_not_fit_are_refused },
	{ "the shorter of header and volume counts", the_shorter_of_header_and_volume_counts },
	{ NULL, NULL },
};
const struct suite suite_hv_block_crypt_open = { tests };
