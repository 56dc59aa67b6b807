/* SPDX-License-Identifier: Apache-2.0 */
/* The parts on every PC's board: serial ports, clock, keyboard controller, power management, system and debug ports. */
#pragma once
#include "hv/console.h"
#include "hv/dev/acpi_pm.h"
#include "hv/dev/debugport.h"
#include "hv/dev/i8042.h"
#include "hv/dev/rtc.h"
#include "hv/dev/sysport.h"
#include "hv/dev/uart.h"
#include "lib/env/env.h"

struct machine;

#define BOARD_RANGES 24

struct board_irq { struct machine *machine; unsigned irq; };

struct board {
	struct uart uart[ENV_COM_PORTS];
	struct console *console[ENV_COM_PORTS];
	struct rtc rtc;
	struct i8042 i8042;
	struct acpi_pm pm;
	struct sysport sysport;
	struct debugport debugport;
	int debug_fd;			/* -1: off */
	struct board_irq irq[16];
	struct bus_range range[BOARD_RANGES];
	unsigned ranges;
};

/* Needs machine.env, clock, loop, ports and life. */
int board_create(struct machine *m, struct err *err) must_check;
/* Connect the serial ports to the ends the placement names. */
int board_connect(struct machine *m, struct err *err) must_check;
void board_reset(struct machine *m);
void board_free(struct machine *m);
