/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/kvm/probe.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "hv/kvm/bench.h"
#include "lib/scope.h"

#define KVM_PATH "/dev/kvm"

/* Does a word stand in /proc/cpuinfo's first flags line? */
static bool cpu_flag(const char *flag)
{
	auto_fclose FILE *f = fopen("/proc/cpuinfo", "re");
	auto_free char *line = NULL;
	size_t cap = 0, n = strlen(flag);

	while (f && getline(&line, &cap, f) > 0) {
		if (strncmp(line, "flags", 5))
			continue;
		for (char *p = line; (p = strstr(p, flag)); p += n) {
			if (p[-1] == ' ' && (p[n] == ' ' || p[n] == '\n'))
				return true;
		}
		return false;
	}
	return false;
}

static bool cpu_is_amd(void)
{
	auto_fclose FILE *f = fopen("/proc/cpuinfo", "re");
	auto_free char *line = NULL;
	size_t cap = 0;

	while (f && getline(&line, &cap, f) > 0) {
		if (!strncmp(line, "vendor_id", 9))
			return strstr(line, "AuthenticAMD") || strstr(line, "HygonGenuine");
	}
	return false;
}

static int why_missing(struct err *err)
{
	const char *module = cpu_is_amd() ? "kvm_amd" : "kvm_intel", *flag = cpu_is_amd() ? "svm" : "vmx";

	if (!cpu_flag(flag))
		return err_set(err, -ENODEV, KVM_PATH " does not exist and the CPU shows no `%s` flag: switch on virtualization "
			       "in the BIOS, or pick a cloud machine type with nested virtualization", flag);
	return err_set(err, -ENODEV, KVM_PATH " does not exist, but the CPU has `%s`: load the module with `modprobe %s`", flag,
		       module);
}

int kvm_probe_open(struct err *err)
{
	int fd = open(KVM_PATH, O_RDWR | O_CLOEXEC), version;

	if (fd < 0 && errno == ENOENT)
		return why_missing(err);
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return err_set(err, -errno, KVM_PATH ": permission denied; add this user to the group that owns it (usually "
			       "`kvm`) or run as root");
	if (fd < 0)
		return err_set(err, -errno, KVM_PATH ": %s; is the kvm_intel or kvm_amd module loaded?", strerror(errno));
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		close(fd);
		return err_set(err, -EPROTO, KVM_PATH " speaks API version %d, hull-hv speaks %d", version, KVM_API_VERSION);
	}
	return fd;
}

struct line {
	int cap;
	const char *key, *text;
	bool required;
	const char *without;	/* what its absence means */
};

static const struct line lines[] = {
	{ KVM_CAP_IRQCHIP, "irqchip", "interrupt chips inside KVM", true, "hull-hv can't run" },
	{ KVM_CAP_PIT2, "pit", "interval timer inside KVM", true, "hull-hv can't run" },
	{ KVM_CAP_USER_MEMORY, "user_memory", "guest memory from user space", true, "hull-hv can't run" },
	{ KVM_CAP_IMMEDIATE_EXIT, "immediate_exit", "vCPUs can be stopped without a race", true, "hull-hv can't run" },
	{ KVM_CAP_READONLY_MEM, "readonly_memory", "ROM that the guest can't write", true, "hull-hv can't run" },
	{ KVM_CAP_SIGNAL_MSI, "signal_msi", "MSI interrupts", true, "hull-hv can't run" },
	{ KVM_CAP_SYNC_REGS, "sync_regs", "registers shared at exits", false, "exits cost a system call more" },
	{ KVM_CAP_IOEVENTFD, "ioeventfd", "doorbells without an exit to hull-hv", false, "virtio is slower" },
	{ KVM_CAP_IRQFD, "irqfd", "interrupts by descriptor", false, "interrupts cost a system call more" },
	{ KVM_CAP_COALESCED_PIO, "coalesced_pio", "port writes queued", false, "debug ports cost an exit a byte" },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, "emulation_failure", "emulation failures name the instruction", false,
	  "failures are reported without instruction bytes" },
	{ KVM_CAP_X86_SMM, "smm", "system management mode", false, "not used: firmware is told there is none" },
	{ KVM_CAP_HYPERV, "hyperv", "Hyper-V leaves for Windows guests", false, "Windows guests run slower" },
	{ KVM_CAP_X86_DISABLE_EXITS, "disable_exits", "HLT and PAUSE without exits", false, "idle vCPUs cost exits" },
	{ KVM_CAP_NESTED_STATE, "nested_state", "nested virtualization for guests", false, "guests can't run hypervisors" },
	{ KVM_CAP_MAX_VCPUS, "max_vcpus", "vCPUs at most", false, "" },
};

int kvm_probe_required(int fd, struct err *err)
{
	for (size_t i = 0; i < array_len(lines); i++) {
		if (lines[i].required && ioctl(fd, KVM_CHECK_EXTENSION, lines[i].cap) <= 0)
			return err_set(err, -EOPNOTSUPP, KVM_PATH " lacks %s (%s): take a newer kernel; `hull-hv --probe` lists "
				       "all", lines[i].key, lines[i].text);
	}
	return 0;
}

static void first_line(const char *path, char *buf, size_t len)
{
	auto_fclose FILE *f = fopen(path, "re");

	if (!f || !fgets(buf, (int)len, f))
		snprintf(buf, len, "unknown");
	buf[strcspn(buf, "\n")] = 0;
}

static const char *below(char *buf, size_t len)
{
	if (!cpu_flag("hypervisor"))
		return "bare metal";
	first_line("/sys/class/dmi/id/sys_vendor", buf, len);
	return buf;
}

struct report { FILE *out; json_t *doc; };	/* doc: NULL for text */

static void row(struct report *r, const char *key, json_t *val, const char *fmt, ...) printf_like(4, 5);
static void row(struct report *r, const char *key, json_t *val, const char *fmt, ...)
{
	va_list ap;

	if (r->doc) {
		json_object_set_new(r->doc, key, val);
		return;
	}
	json_decref(val);
	fprintf(r->out, "%-18s ", key);
	va_start(ap, fmt);
	vfprintf(r->out, fmt, ap);
	va_end(ap);
	fputc('\n', r->out);
}

/* How many capabilities that hull-hv can't do without are missing. */
static int report_caps(struct report *r, int fd)
{
	int missing = 0;

	for (size_t i = 0; i < array_len(lines); i++) {
		const struct line *l = &lines[i];
		int v = ioctl(fd, KVM_CHECK_EXTENSION, l->cap);

		missing += l->required && v <= 0;
		if (v > 0)
			row(r, l->key, json_integer(v), "yes (%d): %s", v, l->text);
		else
			row(r, l->key, json_integer(0), "NO: %s: %s", l->text, l->without);
	}
	return missing;
}

static void report_machine(struct report *r)
{
	const char *flag = cpu_flag("svm") ? "AMD SVM" : cpu_flag("vmx") ? "Intel VMX" : "no svm or vmx flag in this CPU";
	char vendor[64], huge[64];
	const char *under = below(vendor, sizeof vendor);

	first_line("/sys/kernel/mm/transparent_hugepage/enabled", huge, sizeof huge);
	row(r, "below_us", json_string(under), "%s", under);
	row(r, "virtualization", json_string(flag), "%s", flag);
	row(r, "huge_pages", json_string(huge), "%s", huge);
}

int kvm_probe_report(FILE *out, bool json)
{
	struct report r = { .out = out, .doc = json ? json_object() : NULL };
	struct err err = { 0 };
	auto_close int fd = kvm_probe_open(&err);
	int missing = 0;
	bool can;

	report_machine(&r);
	if (fd < 0)
		row(&r, "kvm", json_string(err.text), "NO: %s", err.text);
	else
		missing = report_caps(&r, fd);
	can = fd >= 0 && !missing;
	if (can) {
		double us = kvm_bench_port_exit();

		row(&r, "port_exit_us", json_real(us), "%.1f to user space and back", us);
	}
	row(&r, "can_run", json_boolean(can), "%s", can ? "yes" : "NO");
	if (json) {
		json_dumpf(r.doc, out, JSON_INDENT(2));
		fputc('\n', out);
		json_decref(r.doc);
	}
	return fd < 0 ? fd : missing ? -EOPNOTSUPP : 0;
}
