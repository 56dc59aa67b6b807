/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/debugport.h"
#include "tests/unit/suite.h"

struct sink { char text[32]; size_t len; };

static void on_tx(void *ctx, const uint8_t *buf, size_t n)
{
	struct sink *s = ctx;

	for (size_t i = 0; i < n && s->len < sizeof s->text - 1; i++)
		s->text[s->len++] = (char)buf[i];
}

static void output_reaches_the_sink(void)
{
	struct sink a = { "", 0 }, b = { "", 0 };
	struct debugport da, db;

	debugport_init(&da, &(struct debugport_config){ .tx = on_tx, .ctx = &a });
	debugport_init(&db, &(struct debugport_config){ .tx = on_tx, .ctx = &b });
	check_eq(debugport_console_ops.read(&da, 0, 1) & 0xff, 0xe9);
	debugport_console_ops.write(&da, 0, 1, 'o');
	debugport_console_ops.write(&da, 0, 1, 'k');
	debugport_console_ops.write(&db, 0, 1, 'b');
	check_str(a.text, "ok");
	check_str(b.text, "b");
}

static void switched_off_it_reads_as_nothing(void)
{
	struct debugport d;

	debugport_init(&d, &(struct debugport_config){ .tx = NULL });
	check_eq(debugport_console_ops.read(&d, 0, 1) & 0xff, 0xff);
	debugport_console_ops.write(&d, 0, 1, 'x');
}

static void post_code_is_kept(void)
{
	struct debugport d;

	debugport_init(&d, &(struct debugport_config){ .tx = NULL });
	debugport_post_ops.write(&d, 0, 1, 0x55);
	debugport_post_ops.write(&d, 0, 1, 0xaa);
	check_eq(d.post, 0xaa);
	check_eq(d.posts, 2);
	check_eq(debugport_post_ops.read(&d, 0, 1) & 0xff, 0xaa);
	debugport_reset(&d);
	check_eq(d.post, 0);
}

static const struct test tests[] = {
	{ "output reaches the sink", output_reaches_the_sink },
	{ "switched off it reads as nothing", switched_off_it_reads_as_nothing },
	{ "POST code is kept", post_code_is_kept },
	{ NULL, NULL },
};
const struct suite suite_hv_dev_debugport = { tests };
