/* SPDX-License-Identifier: Apache-2.0 */
/* An interrupt line as a chip core sees it. Level, idempotent; called under the device lock. */
#pragma once

struct irq_line {
	void (*set)(void *ctx, int level);
	void *ctx;
};

static inline void irq_set(const struct irq_line *line, int level)
{
	line->set(line->ctx, level);
}
