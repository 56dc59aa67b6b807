/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports that firmware talks to people through: the debug console at 0x402 (and 0xe9), and the POST code at 0x80.
 * A read of a console port gives 0xe9 when it is switched on: SeaBIOS asks before it prints. Under the device lock.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hv/bus.h"

#define DEBUGPORT_CONSOLE 0x402
#define DEBUGPORT_HACK 0xe9
#define DEBUGPORT_POST 0x80

struct debugport_config {
	/* One byte of firmware output. NULL: the console ports are off (they read 0xff). */
	void (*tx)(void *ctx, const uint8_t *buf, size_t n);
	void *ctx;
};

struct debugport {
	struct debugport_config config;
	uint8_t post;			/* last code written to port 0x80 */
	uint64_t posts;			/* codes written */
};

extern const struct bus_ops debugport_console_ops;	/* one port, at 0x402 and at 0xe9 */
extern const struct bus_ops debugport_post_ops;		/* one port, 0x80; Linux' I/O delay, so it costs nothing */

void debugport_init(struct debugport *d, const struct debugport_config *config);
void debugport_reset(struct debugport *d);
