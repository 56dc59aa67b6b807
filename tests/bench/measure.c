/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a virtual machine monitor, watches its console and prints figures as `key value` lines on standard output.
 *
 * Usage: measure [--mark NAME=TEXT]… [--memory MIB] [--log FILE] [--timeout S] [--settle S] -- PROGRAM ARGUMENT…
 *   A mark prints NAME_s, the seconds from exec until TEXT is first seen on PROGRAM's standard output; marks are awaited
 *   in the order given. After the last one (and --settle seconds) it prints the monitor's resident memory outside mappings
 *   of a quarter of --memory or more (the guest's), KVM's counters of that VM from debugfs, and the monitor's CPU time;
 *   then it stops the monitor. Exit 0: every mark was seen; 1: time out or early end; 2: usage.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_MARKS 16
#define WINDOW 4096

struct options {
	struct { const char *name, *text; } marks[MAX_MARKS];
	unsigned mark_count;
	unsigned long memory_mib;
	double timeout, settle;
	const char *log;
	char **command;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int usage(void)
{
	fputs("usage: measure --mark NAME=TEXT... --memory MIB [--log FILE] [--timeout S] [--settle S]\n"
	      "               -- PROGRAM ARGUMENT...\n", stderr);
	return 2;
}

static bool parse(int argc, char **argv, struct options *o)
{
	int i;

	for (i = 1; i + 1 < argc && strcmp(argv[i], "--"); i += 2) {
		char *value = argv[i + 1];

		if (!strcmp(argv[i], "--mark") && strchr(value, '=') && o->mark_count < MAX_MARKS) {
			o->marks[o->mark_count].name = strsep(&value, "=");
			o->marks[o->mark_count++].text = value;
		} else if (!strcmp(argv[i], "--memory")) {
			o->memory_mib = strtoul(value, NULL, 10);
		} else if (!strcmp(argv[i], "--log")) {
			o->log = value;
		} else if (!strcmp(argv[i], "--timeout")) {
			o->timeout = atof(value);
		} else if (!strcmp(argv[i], "--settle")) {
			o->settle = atof(value);
		} else {
			return false;
		}
	}
	o->command = argv + i + 1;
	return i + 1 < argc && o->mark_count && o->memory_mib;
}

/* The monitor's standard output comes back through *fd; its input never ends and never has data. */
static pid_t start(char **command, int *fd)
{
	int out[2], in[2];
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) || pipe2(in, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execvp(command[0], command);
		perror(command[0]);
		_exit(127);
	}
	close(out[1]);
	close(in[0]);
	*fd = out[0];
	return pid;
}

/* Consume output until `next` reaches mark_count or the deadline passes; `next` is the mark awaited. */
static bool await_marks(const struct options *o, int fd, FILE *log, double began, double deadline, unsigned next)
{
	static char window[WINDOW];
	size_t len = 0;

	while (now() < deadline) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;
		char *hit;

		if (poll(&p, 1, 100) <= 0)
			continue;
		if (len > WINDOW / 2) {	/* keep a tail: a mark may stand across two reads */
			memmove(window, window + len - 256, 256);
			len = 256;
		}
		n = read(fd, window + len, WINDOW - len);
		if (n <= 0)
			return false;
		if (log)
			fwrite(window + len, 1, (size_t)n, log);
		len += (size_t)n;
		while (next < o->mark_count &&
		       (hit = memmem(window, len, o->marks[next].text, strlen(o->marks[next].text)))) {
			size_t used = (size_t)(hit - window) + strlen(o->marks[next].text);

			printf("%s_s %.6f\n", o->marks[next++].name, now() - began);
			memmove(window, window + used, len - used);
			len -= used;
		}
		if (next == o->mark_count && o->mark_count)
			return true;
	}
	return false;
}

/* Let the guest run on for --settle seconds while its output is drained. */
static void settle(const struct options *o, int fd, FILE *log)
{
	static const struct options none;

	if (o->settle > 0)
		await_marks(&none, fd, log, 0, now() + o->settle, 0);
}

static void print_memory(pid_t pid, unsigned long guest_mib)
{
	unsigned long kib, size = 0, rss = 0, dirty = 0;
	char path[64], line[512];
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
	f = fopen(path, "r");
	if (!f)
		return;
	while (fgets(line, sizeof line, f)) {
		bool guest = size >= guest_mib * 1024 / 4;

		if (sscanf(line, "Size: %lu", &kib) == 1)
			size = kib;
		else if (sscanf(line, "Rss: %lu", &kib) == 1)
			rss += guest ? 0 : kib;
		else if (sscanf(line, "Private_Dirty: %lu", &kib) == 1)
			dirty += guest ? 0 : kib;
	}
	fclose(f);
	printf("rss_kib %lu\ndirty_kib %lu\n", rss, dirty);
}

static void print_counters(pid_t pid)
{
	static const char *const names[] = { "exits", "io_exits", "mmio_exits", "halt_exits", "irq_exits", "irq_injections",
		"insn_emulation", "irq_window_exits", "request_irq_exits", "nmi_injections", "pf_taken" };
	static const char root[] = "/sys/kernel/debug/kvm";
	DIR *d = opendir(root);
	struct dirent *e;
	unsigned long long value, user = 0;
	char path[512];
	FILE *f;

	while (d && (e = readdir(d))) {
		if (strtol(e->d_name, NULL, 10) != pid || !strchr(e->d_name, '-'))
			continue;
		for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
			snprintf(path, sizeof path, "%s/%s/%s", root, e->d_name, names[i]);
			f = fopen(path, "r");
			if (f && fscanf(f, "%llu", &value) == 1) {
				printf("%s %llu\n", names[i], value);
				user += strcmp(names[i], "io_exits") && strcmp(names[i], "mmio_exits") ? 0 : value;
			}
			if (f)
				fclose(f);
		}
	}
	if (d)
		closedir(d);
	printf("user_exits %llu\n", user);	/* port and MMIO exits: the ones a VMM's devices cause */
}

static void stop(pid_t pid)
{
	struct rusage used = { 0 };
	int status;

	kill(pid, SIGTERM);
	for (int i = 0; i < 500 && wait4(pid, &status, WNOHANG, &used) == 0; i++)
		usleep(10000);
	if (!kill(pid, 0)) {
		kill(pid, SIGKILL);
		wait4(pid, &status, 0, &used);
	}
	printf("cpu_s %.3f\n", (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
}

int main(int argc, char **argv)
{
	struct options o = { .timeout = 300 };
	FILE *log = NULL;
	double began;
	bool done;
	pid_t pid;
	int fd;

	if (!parse(argc, argv, &o))
		return usage();
	if (o.log && !(log = fopen(o.log, "we"))) {
		perror(o.log);
		return 2;
	}
	began = now();
	pid = start(o.command, &fd);
	if (pid < 0) {
		perror("measure");
		return 2;
	}
	done = await_marks(&o, fd, log, began, began + o.timeout, 0);
	print_counters(pid);	/* also when a mark never came: they tell a hung guest from a slow one */
	if (done)
		settle(&o, fd, log);
	print_memory(pid, o.memory_mib);
	stop(pid);
	if (log)
		fclose(log);
	return !done;
}
