/* SPDX-License-Identifier: Apache-2.0 */
/* hull-hv: one process is one migrated server. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include "hv/kvm/probe.h"
#include "hv/machine.h"
#include "lib/version.h"

enum { EXIT_START = 1, EXIT_USAGE = 2 };

/* With one of 0, 1 and 2 closed, the next file opened takes its number, and log lines would end in a server's disk. */
static bool hold_standard_files(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		/* open takes the lowest free number, which is fd */
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	}
	return true;
}

static int run(const struct options *o, uint64_t start_ns)
{
	struct err err = { 0 };
	struct machine *m;
	int status;

	if (machine_create(o, start_ns, &m, &err)) {
		log_error("%s", err.text);
		return EXIT_START;
	}
	status = machine_run(m);
	machine_free(m);
	return status;
}

int main(int argc, char **argv)
{
	uint64_t start_ns = loop_now_ns();
	struct err err = { 0 };
	struct options o;
	int status = 0;

	if (!hold_standard_files())
		return EXIT_START;
	/* A reader of our output that goes away is no reason for the server to end. */
	signal(SIGPIPE, SIG_IGN);
	log_init("hull-hv", LOG_INFO);
	if (options_parse(&o, argc, argv, &err)) {
		log_error("%s", err.text);
		status = EXIT_USAGE;
	} else if (o.help) {
		options_usage();
	} else if (o.version) {
		printf("hull-hv %s\n", HULL_VERSION);
	} else if (o.probe) {
		status = kvm_probe_report(stdout, o.json) ? EXIT_START : 0;
	} else {
		log_init("hull-hv", o.log_level);
		status = run(&o, start_ns);
	}
	options_free(&o);
	return status;
}
