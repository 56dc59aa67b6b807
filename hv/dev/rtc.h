/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MC146818A real-time clock with 128 bytes of CMOS at ports 0x70 and 0x71 (Motorola MC146818A data sheet; century
 * at 0x32). It runs with the host's wall clock plus an offset; a guest that sets the time moves the offset, so its
 * time survives a reset but not the process. Interrupt: level, dropped by reading register C. Late periodic
 * interrupts are merged into one. Under the device lock.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "hv/bus.h"
#include "hv/clock.h"
#include "hv/irq.h"

#define RTC_CMOS 128

struct rtc_config {
	struct clock *clock;
	struct irq_line irq;	/* ISA IRQ 8 */
	int32_t zone_s;		/* seconds east of UTC that the clock runs at; 0 for servers that keep UTC */
};

struct rtc {
	struct rtc_config config;
	struct clock_timer timer;
	uint8_t cmos[RTC_CMOS];
	uint8_t index;
	int64_t offset_ns;	/* rtc time = wall clock + offset */
	int64_t seen_s;		/* rtc second up to which UF and AF are decided */
	uint64_t seen_tick;	/* 32768 Hz tick up to which PF is decided */
};

extern const struct bus_ops rtc_ops;	/* two ports, at 0x70 */

void rtc_init(struct rtc *r, const struct rtc_config *config);
/* Machine reset: interrupts off; time, offset and CMOS stay. */
void rtc_reset(struct rtc *r);
void rtc_free(struct rtc *r);

/* Seconds east of UTC of this process's time zone now, for servers that keep local time. */
int32_t rtc_local_zone(struct clock *clock);

/* What firmware looks up in CMOS. Call before the first vCPU runs. */
void rtc_set_memory(struct rtc *r, uint64_t low, uint64_t high);	/* bytes below and above 4 GiB */
void rtc_set_cpus(struct rtc *r, unsigned count);
enum rtc_boot { RTC_BOOT_NONE, RTC_BOOT_FLOPPY, RTC_BOOT_DISK, RTC_BOOT_CD, RTC_BOOT_NET };
void rtc_set_boot_order(struct rtc *r, enum rtc_boot first, enum rtc_boot second, enum rtc_boot third);
void rtc_set_equipment(struct rtc *r, bool mouse);	/* no floppy, FPU */
/* Any byte from 0x0e on except the century; others are ignored. 0x0f is the shutdown code. */
void rtc_set_byte(struct rtc *r, unsigned index, uint8_t val);
