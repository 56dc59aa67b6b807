/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/debugport.h"

static uint64_t console_read(void *ctx, uint64_t off, unsigned size)
{
	struct debugport *d = ctx;

	return d->config.tx ? 0xe9 : 0xff;
}

static void console_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct debugport *d = ctx;
	uint8_t byte = (uint8_t)val;

	if (d->config.tx)
		d->config.tx(d->config.ctx, &byte, 1);
}

static uint64_t post_read(void *ctx, uint64_t off, unsigned size)
{
	return ((struct debugport *)ctx)->post;
}

static void post_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct debugport *d = ctx;

	d->post = (uint8_t)val;
	d->posts++;
}

const struct bus_ops debugport_console_ops = { .read = console_read, .write = console_write };
const struct bus_ops debugport_post_ops = { .read = post_read, .write = post_write };

void debugport_reset(struct debugport *d)
{
	d->post = 0;
}

void debugport_init(struct debugport *d, const struct debugport_config *config)
{
	*d = (struct debugport){ .config = *config };
}
