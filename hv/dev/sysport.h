/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small registers of a PC that do next to nothing: fast A20 and reset (0x92), reset control (0xcf9), APM (0xb2, 0xb3),
 * and the two 8237 DMA controllers with their page registers, which read back and never move a byte. A20 is always on.
 * Under the device lock.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "hv/bus.h"

struct sysport_config {
	/* The guest asked for a reset; hard: of the whole machine, else of the CPU (INIT). Called from within the port write. */
	void (*reset)(void *ctx, bool hard);
	void *ctx;
};

struct sysport_dma {
	uint16_t reg[8];	/* address and count of four channels */
	bool high;		/* byte flip-flop */
	uint8_t command, mask, mode[4];
};

struct sysport {
	struct sysport_config config;
	struct sysport_dma dma[2];
	uint8_t port92, reset_control, apm[2], page[16];
};

/* The ports, all with ctx = struct sysport; to be added to the port bus by the machine. */
struct sysport_range { uint16_t base, len; const char *name; const struct bus_ops *ops; };
#define SYSPORT_RANGES 6
extern const struct sysport_range sysport_ranges[SYSPORT_RANGES];

void sysport_init(struct sysport *s, const struct sysport_config *config);
void sysport_reset(struct sysport *s);
