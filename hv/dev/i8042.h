/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyboard controller of a PC at ports 0x60 and 0x64, with an AT keyboard and a PS/2 mouse behind it (IBM PS/2
 * Hardware Interface Technical Reference, "Keyboard and auxiliary device controller"). A port without a device answers each byte
 * with 0xfe and the time-out bit, as the chip does. Queues are bounded: what does not fit is dropped, as by real keyboards.
 * Under the device lock.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "hv/bus.h"
#include "hv/irq.h"

#define I8042_QUEUE 32

struct i8042_config {
	struct irq_line keyboard_irq, mouse_irq;	/* ISA IRQ 1 and 12 */
	bool keyboard, mouse;				/* a device is plugged in */
	/* The guest pulsed the CPU's reset line. Called from within the port write. */
	void (*reset)(void *ctx);
	void *ctx;
};

struct i8042_queue {
	uint8_t data[I8042_QUEUE];
	unsigned head, count;
};

struct i8042 {
	struct i8042_config config;
	uint8_t command_byte, output_port, pending;	/* pending: command that waits for its data byte, 0: none */
	struct { uint8_t data, status; bool full; } out;	/* status: AUX and time-out bits of the byte shown */
	struct { uint8_t data, status; bool full; } reply;	/* the controller's own answer, shown first */
	struct {
		struct i8042_queue queue;
		uint8_t pending, set, leds, last;
		bool scanning, break_prefix;
	} key;
	struct {
		struct i8042_queue queue;
		uint8_t pending, rate, resolution, id, buttons, sent_buttons, last, knock[3];
		bool reporting, remote, scale2, wrap;
		int dx, dy, dz;
	} mouse;
};

extern const struct bus_ops i8042_data_ops;	/* one port, 0x60 */
extern const struct bus_ops i8042_command_ops;	/* one port, 0x64 */

void i8042_init(struct i8042 *k, const struct i8042_config *config);
void i8042_reset(struct i8042 *k);
/* A key goes down or up: its set 1 make code, | 0xe000 for the extended keys (0x1c Enter, 0xe01c keypad Enter). */
void i8042_key(struct i8042 *k, uint16_t code, bool down);
/* The mouse moved (right, up, wheel towards the user are positive); buttons: bit 0 left, 1 right, 2 middle. */
void i8042_mouse(struct i8042 *k, int dx, int dy, int dz, unsigned buttons);
/* Keyboard lights: bit 0 scroll, 1 num, 2 caps. */
static inline uint8_t i8042_leds(const struct i8042 *k) { return k->key.leds; }
