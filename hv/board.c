/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/board.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include "hv/machine.h"
#include "lib/scope.h"

enum { IRQ_KEYBOARD = 1, IRQ_RTC = 8, IRQ_SCI = 9, IRQ_MOUSE = 12 };
#define LOG_BYTES (8u << 20)	/* of a console log file, then it rotates */
#define LOG_FILES 4

static const struct { uint16_t port; unsigned irq; } com[ENV_COM_PORTS] = { { 0x3f8, 4 }, { 0x2f8, 3 } };

static void set_irq(void *ctx, int level)
{
	struct board_irq *i = ctx;

	chipset_isa_irq(i->machine->chipset, i->irq, level);
}

static struct irq_line line(struct machine *m, unsigned irq)
{
	struct board_irq *i = &m->board.irq[irq];

	*i = (struct board_irq){ .machine = m, .irq = irq };
	return (struct irq_line){ .set = set_irq, .ctx = i };
}

static void on_reset(void *ctx)
{
	life_ask_reset(&((struct machine *)ctx)->life);
}

static void on_sysport_reset(void *ctx, bool hard)
{
	on_reset(ctx);
}

static void on_power_off(void *ctx)
{
	life_ask_end(&((struct machine *)ctx)->life, LIFE_POWERED_OFF);
}

static void debug_tx(void *ctx, const uint8_t *buf, size_t n)
{
	struct machine *m = ctx;

	ssize_t r;

	do {
		r = write(m->board.debug_fd, buf, n);
	} while (r < 0 && errno == EINTR);	/* a kick */
	if (r < 0)
		log_limited(LOG_WARN, "debug log: %s", strerror(errno));
}

/* Priority 2: the reset control register stands inside the four ports of the chipset's PCI address register. */
static int add(struct machine *m, uint64_t base, uint64_t len, const char *name, const struct bus_ops *ops, void *ctx)
{
	struct board *b = &m->board;
	struct bus_range *r = &b->range[b->ranges++];

	bug_on(b->ranges > BOARD_RANGES);
	*r = (struct bus_range){ .base = base, .len = len, .ops = ops, .ctx = ctx, .name = name, .priority = 2 };
	return bus_add(&m->ports, r);
}

static int open_debug(struct machine *m, struct err *err)
{
	const char *path = m->options->debug_log;

	m->board.debug_fd = -1;
	if (!path)
		return 0;
	if (!strcmp(path, "-"))
		m->board.debug_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		m->board.debug_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return m->board.debug_fd < 0 ? err_set(err, -errno, "debug log %s: %s", path, strerror(errno)) : 0;
}

static void init_cmos(struct machine *m)
{
	struct rtc *rtc = &m->board.rtc;

	rtc_set_memory(rtc, m->layout.low_end, m->layout.high_end - LAYOUT_4G);
	rtc_set_cpus(rtc, env_cpu_count(m->env));
	rtc_set_equipment(rtc, m->env->mouse);
	rtc_set_boot_order(rtc, RTC_BOOT_DISK, RTC_BOOT_CD, RTC_BOOT_NONE);
}

static void init_chips(struct machine *m)
{
	struct board *b = &m->board;
	struct clock *clock = &m->clock.clock;
	bool q35 = m->env->chipset == ENV_Q35;

	rtc_init(&b->rtc, &(struct rtc_config){
		.clock = clock, .irq = line(m, IRQ_RTC),
		.zone_s = m->env->clock == ENV_CLOCK_LOCALTIME ? rtc_local_zone(clock) : 0 });
	init_cmos(m);
	i8042_init(&b->i8042, &(struct i8042_config){
		.keyboard_irq = line(m, IRQ_KEYBOARD), .mouse_irq = line(m, IRQ_MOUSE), .keyboard = m->env->keyboard,
		.mouse = m->env->mouse, .reset = on_reset, .ctx = m });
	acpi_pm_init(&b->pm, &(struct acpi_pm_config){
		.variant = q35 ? ACPI_PM_ICH9 : ACPI_PM_PIIX4, .clock = clock, .sci = line(m, IRQ_SCI), .s5_type = ACPI_S5_SLP_TYP,
		.power_off = on_power_off, .ctx = m });
	sysport_init(&b->sysport, &(struct sysport_config){ .reset = on_sysport_reset, .ctx = m });
	debugport_init(&b->debugport, &(struct debugport_config){ .tx = b->debug_fd >= 0 ? debug_tx : NULL, .ctx = m });
}

static int init_uart(struct machine *m, unsigned i, struct err *err)
{
	static const char *const names[ENV_COM_PORTS] = { "com1", "com2" };
	struct uart_config config = { .clock = &m->clock.clock, .irq = line(m, com[i].irq) };
	struct board *b = &m->board;
	int r = console_create(m->loop, names[i], &b->console[i]);

	if (r)
		return err_set(err, r, "no memory");
	console_fill_uart_config(b->console[i], &config);
	uart_init(&b->uart[i], &config);
	console_attach_uart(b->console[i], &b->uart[i]);
	return add(m, com[i].port, UART_PORTS, names[i], &uart_ops, &b->uart[i]);
}

int board_create(struct machine *m, struct err *err)
{
	struct board *b = &m->board;
	int r = open_debug(m, err);

	if (r)
		return r;
	init_chips(m);
	for (unsigned i = 0; i < ENV_COM_PORTS; i++)
		r = r || !m->env->com[i] ? r : init_uart(m, i, err);
	r = r ? r : add(m, 0x70, 2, "rtc", &rtc_ops, &b->rtc);
	r = r ? r : add(m, 0x60, 1, "i8042", &i8042_data_ops, &b->i8042);
	r = r ? r : add(m, 0x64, 1, "i8042", &i8042_command_ops, &b->i8042);
	r = r ? r : add(m, DEBUGPORT_CONSOLE, 1, "debug-console", &debugport_console_ops, &b->debugport);
	r = r ? r : add(m, DEBUGPORT_POST, 1, "post-code", &debugport_post_ops, &b->debugport);
	if (!r && m->env->chipset == ENV_I440FX)
		r = add(m, m->layout.gpe0, ACPI_PM_GPE_PORTS, "gpe0", &acpi_pm_gpe_ops, &b->pm);
	for (unsigned i = 0; i < SYSPORT_RANGES && !r; i++) {
		const struct sysport_range *s = &sysport_ranges[i];

		r = add(m, s->base, s->len, s->name, s->ops, &b->sysport);
	}
	return r ? err_set(err, r, "the board's ports can't be mapped: %s", strerror(-r)) : 0;
}

/* ---- console ends */

static void on_leave(void *ctx)
{
	life_ask_end(&((struct machine *)ctx)->life, LIFE_FORCED_OFF);
}

static int add_end(struct machine *m, struct console *c, const char *end, struct err *err)
{
	if (!strcmp(end, "none"))
		return 0;
	if (!strcmp(end, "stdio"))
		return console_add_stdio(c, on_leave, m, err);
	if (!strncmp(end, "socket:", 7) && end[7])
		return console_add_socket(c, end + 7, CONSOLE_ALL_WRITE, err);
	if (!strncmp(end, "log:", 4) && end[4])
		return console_add_log(c, end + 4, LOG_BYTES, LOG_FILES, err);
	return err_set(err, -EINVAL, "\"%s\" is no console end: stdio, socket:PATH, log:PATH or none", end);
}

static int connect_com(struct machine *m, unsigned i, const char *ends, struct err *err)
{
	auto_free char *copy = strdup(ends);
	char *save = NULL;
	int r = copy ? 0 : err_set(err, -ENOMEM, "no memory");

	for (char *end = copy ? strtok_r(copy, ",", &save) : NULL; end && !r; end = strtok_r(NULL, ",", &save)) {
		r = add_end(m, m->board.console[i], end, err);
		if (r)
			err_prefix(err, "console.com%u", i + 1);
	}
	return r;
}

int board_connect(struct machine *m, struct err *err)
{
	static const char *const keys[ENV_COM_PORTS] = { "console.com1", "console.com2" };
	int r = 0;

	for (unsigned i = 0; i < ENV_COM_PORTS && !r; i++) {
		const char *ends = config_get(m->options->placement, keys[i]);

		if (!m->env->com[i] && ends)
			return err_set(err, -EINVAL, "%s: the environment has no such port", keys[i]);
		if (m->env->com[i] && ends)
			r = connect_com(m, i, ends, err);
	}
	return r;
}

void board_reset(struct machine *m)
{
	struct board *b = &m->board;

	for (unsigned i = 0; i < ENV_COM_PORTS; i++) {
		if (m->env->com[i])
			uart_reset(&b->uart[i]);
	}
	rtc_reset(&b->rtc);
	i8042_reset(&b->i8042);
	acpi_pm_reset(&b->pm);
	sysport_reset(&b->sysport);
	debugport_reset(&b->debugport);
}

void board_free(struct machine *m)
{
	struct board *b = &m->board;

	for (unsigned i = 0; i < b->ranges; i++)
		bus_remove(&m->ports, &b->range[i]);
	for (unsigned i = 0; i < ENV_COM_PORTS; i++) {
		console_free(b->console[i]);
		if (m->env->com[i])
			uart_free(&b->uart[i]);
	}
	rtc_free(&b->rtc);
	acpi_pm_free(&b->pm);
	if (b->debug_fd >= 0)
		close(b->debug_fd);
}
