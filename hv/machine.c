/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/machine.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "hv/kvm/cpuid.h"
#include "hv/stats.h"
#include "lib/bits.h"
#include "lib/scope.h"

/* Entries of KVM's ring: it is one page, and the kernel's macro for this wants a PAGE_SIZE. */
#define COALESCED_MAX ((4096 - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

/* ---- what vCPUs ask of the machine */

/* What stood in the ring at the start and no more: other vCPUs may fill it as fast as it is emptied. */
static void drain_coalesced(struct machine *m)
{
	struct kvm_coalesced_mmio_ring *ring = m->vm->ring;
	uint32_t last;

	if (!ring)
		return;
	last = __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE) % COALESCED_MAX;
	while (ring->first != last) {
		uint32_t first = ring->first;
		const struct kvm_coalesced_mmio *e = &ring->coalesced_mmio[first % COALESCED_MAX];

		bus_write(e->pio ? &m->ports : &m->mmio, e->phys_addr, e->len > 8 ? 8 : e->len, get_le(e->data, e->len));
		__atomic_store_n(&ring->first, (uint32_t)((first + 1) % COALESCED_MAX), __ATOMIC_RELEASE);
	}
}

static void on_access(void *ctx, struct vcpu *v, const struct vcpu_access *a)
{
	struct machine *m = ctx;
	struct bus *bus = a->port ? &m->ports : &m->mmio;
	uint8_t *at = a->data;

	pthread_mutex_lock(&m->lock);
	drain_coalesced(m);
	for (uint32_t i = 0; i < a->count; i++, at += a->size) {
		if (a->write)
			bus_write(bus, a->addr, a->size, get_le(at, a->size));
		else
			put_le(at, a->size, bus_read(bus, a->addr, a->size));
	}
	pthread_mutex_unlock(&m->lock);
}

static void on_event(void *ctx, struct vcpu *v, enum vcpu_event event)
{
	struct machine *m = ctx;

	if (event == VCPU_TRIPLE_FAULT) {
		log_limited(LOG_INFO, "vCPU %u: triple fault: reset", v->index);
		life_ask_reset(&m->life);
		return;
	}
	log_error("%s", v->failure);
	life_ask_end(&m->life, LIFE_FAILED);
}

static bool on_paused(void *ctx, struct vcpu *v)
{
	struct machine *m = ctx;

	return life_paused(&m->life);
}

/* ---- what the PCI tree and the chipset ask */

static void on_intx(void *ctx, uint8_t devfn, unsigned pin, int level)
{
	struct machine *m = ctx;

	chipset_intx(m->chipset, devfn, pin, level);
}

static void on_msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct machine *m = ctx;

	kvm_vm_send_msi(m->vm, addr, data);
}

static void on_gsi(void *ctx, unsigned gsi, int level)
{
	struct machine *m = ctx;

	kvm_vm_set_irq(m->vm, gsi, level);
}

static const struct pci_host_ops pci_ops = { .intx = on_intx, .msi = on_msi };

/* ---- reset */

static int start_firmware(struct machine *m, struct err *err)
{
	const struct fw_entry *e = &m->fw.entry;
	int r = fw_reset(&m->fw, err);

	if (r || e->mode == FW_RESET_VECTOR)
		return r;
	/* Without firmware nobody else programs what the ACPI tables promise. */
	chipset_program(m->chipset, m->layout.pm_base, m->layout.ecam);
	return vcpu_set_boot(m->vcpu[0], &(struct vcpu_boot){
		.long_mode = e->mode == FW_LONG, .rip = e->rip, .rsi = e->rsi, .gdt = e->gdt, .gdt_limit = e->gdt_limit,
		.page_tables = e->cr3 }, err);
}

static void on_reset(void *ctx)
{
	struct machine *m = ctx;
	struct err err = { 0 };

	/* Writes from before the reset must not be seen after it. */
	drain_coalesced(m);
	/* A read still in flight must not land in memory that firmware uses again. */
	slots_drain(m);
	pci_host_reset(&m->pci);
	chipset_reset(m->chipset);
	board_reset(m);
	fwcfg_reset(&m->fwcfg);
	kvm_vm_restore_chips(m->vm, m->chips);
	for (unsigned i = 0; i < env_cpu_count(m->env); i++)
		vcpu_reset(m->vcpu[i]);
	if (start_firmware(m, &err)) {
		log_error("%s", err.text);
		life_ask_end(&m->life, LIFE_FAILED);
		return;
	}
	log_limited(LOG_INFO, "reset");
}

/* ---- power button */

static void on_power_timeout(void *ctx)
{
	struct machine *m = ctx;

	log_warn("the server did not power off within %u s of the power button: power off by force", m->options->power_timeout_s);
	life_ask_end(&m->life, LIFE_FORCED_OFF);
}

void machine_press_power(struct machine *m)
{
	if (m->power_pressed) {
		log_warn("second signal: power off by force");
		life_ask_end(&m->life, LIFE_FORCED_OFF);
		return;
	}
	m->power_pressed = true;
	log_info("power button pressed%s", acpi_pm_power_button(&m->board.pm) ? "" : "; the server does not listen to it yet");
	loop_timer_arm(m->power_timer, loop_now_ns() + m->options->power_timeout_s * 1000000000ull);
}

static void on_signal(void *ctx, int fd, uint32_t events)
{
	struct signalfd_siginfo info;
	struct machine *m = ctx;

	while (read(fd, &info, sizeof info) == sizeof info)
		machine_press_power(m);
}

static int watch_signals(struct machine *m, struct err *err)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	/* Blocked before any thread starts, so that only the descriptor sees them. */
	if (pthread_sigmask(SIG_BLOCK, &set, NULL))
		return err_set(err, -EINVAL, "signals can't be blocked");
	m->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (m->signal_fd < 0)
		return err_set(err, -errno, "signalfd: %s", strerror(errno));
	r = loop_watch_add(m->loop, m->signal_fd, EPOLLIN, on_signal, m, &m->signal_watch);
	r = r ? r : loop_timer_create(m->loop, on_power_timeout, m, &m->power_timer);
	return r ? err_set(err, r, "watching signals: %s", strerror(-r)) : vcpu_init_signal(err);
}

/* ---- construction, in the order of need */

static void take_lock(void *ctx)
{
	pthread_mutex_lock(ctx);
}

static void drop_lock(void *ctx)
{
	pthread_mutex_unlock(ctx);
}

static int create_loop(struct machine *m, struct err *err)
{
	int r = loop_create(&m->loop, err);

	if (r)
		return r;
	loop_set_guard(m->loop, take_lock, drop_lock, &m->lock);
	clock_real_init(&m->clock, m->loop);
	return 0;
}

static int check_placement(struct machine *m, struct err *err)
{
	unsigned line;
	const char *key = config_unknown(m->options->placement, &line);

	if (!key)
		return 0;
	return err_set(err, -EINVAL, "placement%s: %s names nothing that the environment has", line ? "" : " option", key);
}

static int create_chipset(struct machine *m, struct err *err)
{
	const struct chipset_config config = {
		.env = m->env, .host = &m->pci, .ports = &m->ports, .mmio = &m->mmio, .pm_ops = &acpi_pm_ops, .pm_ctx = &m->board.pm,
		.pm_len = m->env->chipset == ENV_Q35 ? ACPI_PM_ICH9_PORTS : ACPI_PM_PIIX4_PORTS, .set_gsi = on_gsi, .ctx = m,
	};

	pci_host_init(&m->pci, &pci_ops, m, &m->ports, &m->mmio, &m->mem);
	return chipset_create(&m->chipset, &config, err);
}

static int create_firmware(struct machine *m, struct err *err)
{
	const struct options *o = m->options;
	const struct fw_options fo = { .bios = o->firmware, .kernel = o->kernel, .initrd = o->initrd, .cmdline = o->append };
	int r = fwcfg_init(&m->fwcfg, &m->mem);

	if (r)
		return err_set(err, r, "no memory");
	r = fw_prepare(&m->fw, m->env, &m->layout, &fo, &m->mem, &m->fwcfg, err);
	if (r)
		return r;
	m->fw_ready = true;
	m->fwcfg_range = (struct bus_range){ .base = FWCFG_PORT, .len = FWCFG_PORTS, .ops = &fwcfg_ports, .ctx = &m->fwcfg,
					     .name = "fw_cfg", .priority = 1 };
	r = bus_add(&m->ports, &m->fwcfg_range);
	return r ? err_set(err, r, "the fw_cfg ports can't be mapped") : 0;
}

/* KVM's memory slots: RAM and the firmware's ROM. */
static int create_memory_slots(struct machine *m, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < m->mem.count && !r; i++) {
		const struct mem_region *g = &m->mem.region[i];

		r = kvm_vm_add_memory(m->vm, g->gpa, g->len, g->host, g->readonly, err);
	}
	return r;
}

static int create_vcpus(struct machine *m, struct err *err)
{
	unsigned n = env_cpu_count(m->env);
	int r = 0;

	if (n > (unsigned)m->vm->caps.max_vcpus)
		return err_set(err, -EINVAL, "the server has %u CPUs, KVM here allows %d", n, m->vm->caps.max_vcpus);
	kvm_cpuid_report_missing(m->vm, m->env);
	m->vcpu_host = (struct vcpu_host){ .access = on_access, .event = on_event, .paused = on_paused, .ctx = m };
	for (unsigned i = 0; i < n && !r; i++)
		r = vcpu_create(m->vm, m->env, i, &m->vcpu_host, &m->vcpu[i], err);
	return r;
}

static int read_env(struct machine *m, struct err *err)
{
	int r = env_load(m->options->env, &m->env, err);

	if (r)
		return r;
	/* The schema knows it, no model does: saying so beats a server that finds its timer gone. */
	if (m->env->hpet)
		return err_set(err, -ENOTSUP, "%s: /chipset: hpet: hull-hv has no HPET yet; remove the property to run without",
			       m->options->env);
	layout_init(&m->layout, m->env);
	return 0;
}

static int create_vm(struct machine *m, struct err *err)
{
	return kvm_vm_create(&m->vm, err);
}

static int create_ram(struct machine *m, struct err *err)
{
	return ram_create(&m->ram, m->env, &m->layout, &m->mem, m->options->memory_lock, err);
}

static int create_life(struct machine *m, struct err *err)
{
	life_init(&m->life, m->loop, &m->lock, m->vcpu, env_cpu_count(m->env),
		  &(struct life_ops){ .reset = on_reset, .ctx = m });
	m->life.no_reboot = m->options->no_reboot;
	return 0;
}

static int save_chips(struct machine *m, struct err *err)
{
	return kvm_vm_save_chips(m->vm, &m->chips, err);
}

/* The start-up list, in the order of need; machine_free is its reverse. */
static const struct { const char *what; int (*make)(struct machine *m, struct err *err); } steps[] = {
	{ "environment", read_env },	{ "event loop", create_loop },	{ "signals", watch_signals },
	{ "VM", create_vm },		{ "memory", create_ram },	{ "chipset", create_chipset },
	{ "life", create_life },	{ "board", board_create },	{ "disks", disks_create },
	{ "wires", wires_create },	{ "slots", slots_create },
	{ "firmware", create_firmware }, { "memory slots", create_memory_slots }, { "vCPUs", create_vcpus },
	{ "interrupt chips", save_chips }, { "consoles", board_connect },
	{ "management", mgmt_create },	{ "placement", check_placement },
	{ "power-on", start_firmware },
};

/* Ports whose writes may be seen late, at the next exit: POST codes, firmware's log, and a VGA's registers that nobody has. */
static void coalesce(struct machine *m)
{
	kvm_vm_coalesce_ports(m->vm, DEBUGPORT_POST, 1);
	kvm_vm_coalesce_ports(m->vm, DEBUGPORT_CONSOLE, 1);
	kvm_vm_coalesce_ports(m->vm, 0x3c0, 0x20);
}

static int create(struct machine *m, struct err *err)
{
	for (size_t i = 0; i < array_len(steps); i++) {
		uint64_t start = loop_now_ns();
		int r = steps[i].make(m, err);

		if (r)
			return r;
		log_debug("start-up: %s: %llu us", steps[i].what, (unsigned long long)(loop_now_ns() - start) / 1000);
	}
	coalesce(m);
	return 0;
}

int machine_create(const struct options *options, uint64_t start_ns, struct machine **out, struct err *err)
{
	struct machine *m = calloc(1, sizeof *m);
	int r;

	if (!m)
		return err_set(err, -ENOMEM, "no memory");
	m->options = options;
	m->start_ns = start_ns;
	m->signal_fd = -1;
	m->board.debug_fd = -1;
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_lock(&m->lock);
	r = create(m, err);
	pthread_mutex_unlock(&m->lock);
	if (r) {
		machine_free(m);
		return r;
	}
	*out = m;
	return 0;
}

int machine_run(struct machine *m)
{
	struct err err = { 0 };
	enum life_end end;
	int r = 0;

	for (unsigned i = 0; i < env_cpu_count(m->env) && !r; i++)
		r = vcpu_start(m->vcpu[i], &err);
	if (r) {
		log_error("%s", err.text);
		life_ask_end(&m->life, LIFE_FAILED);
	} else {
		r = loop_run(m->loop);
		if (r) {
			log_error("event loop: %s", strerror(-r));
			life_ask_end(&m->life, LIFE_FAILED);
		}
	}
	end = life_join(&m->life);
	if (m->options->stats && stats_write(m, m->options->stats, &err))
		log_error("%s", err.text);
	return (int)end;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	mgmt_free(m);
	slots_free(m);
	wires_free(m);
	disks_free(m);
	if (m->env)
		board_free(m);
	chipset_free(m->chipset);
	for (unsigned i = 0; i < ENV_MAX_CPUS; i++)
		vcpu_free(m->vcpu[i]);
	free(m->chips);
	kvm_vm_free(m->vm);
	if (m->fw_ready)
		fw_release(&m->fw);
	fwcfg_free(&m->fwcfg);
	ram_free(&m->ram);
	clock_real_free(&m->clock);
	loop_timer_free(m->power_timer);
	loop_watch_remove(m->signal_watch);
	loop_free(m->loop);
	if (m->signal_fd >= 0)
		close(m->signal_fd);
	env_free(m->env);
	pthread_mutex_unlock(&m->lock);
	pthread_mutex_destroy(&m->lock);
	free(m);
}
