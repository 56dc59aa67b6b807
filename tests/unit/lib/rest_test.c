/* SPDX-License-Identifier: Apache-2.0 */
/* Who listens has no descriptor left: the loop does not turn for nothing, and whoever waits is let in later. */
#include "lib/rest.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "lib/control.h"
#include "tests/unit/suite.h"

#define MS 1000000ull

struct side { struct loop *loop; struct loop_timer *timer; struct rlimit limit; };

static void stop(void *ctx) { loop_stop(((struct side *)ctx)->loop); }

static int connect_to(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
	CU_ASSERT_FATAL(fd >= 0 && !connect(fd, (struct sockaddr *)&to, sizeof to));
	return fd;
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void run(struct side *s, unsigned ms)
{
	loop_timer_arm(s->timer, loop_now_ns() + ms * MS);
	check_eq(loop_run(s->loop), 0);
}

static void control_socket_without_descriptors(void)
{
	static const struct control_verb verbs[] = { { NULL, NULL } };
	char dir[] = "/dev/shm/hull-rest-XXXXXX", path[64], byte;
	struct rlimit none = { 0 };
	struct control *control;
	struct side s = { 0 };
	uint64_t cpu;
	int fd;

	CU_ASSERT_FATAL(mkdtemp(dir) && !loop_create(&s.loop, NULL) && !loop_timer_create(s.loop, stop, &s, &s.timer));
	snprintf(path, sizeof path, "%s/control", dir);
	CU_ASSERT_FATAL(!control_create(s.loop, path, verbs, NULL, &control, NULL));
	fd = connect_to(path);
	CU_ASSERT_FATAL(!getrlimit(RLIMIT_NOFILE, &s.limit));
	none.rlim_max = s.limit.rlim_max;
	CU_ASSERT_FATAL(!setrlimit(RLIMIT_NOFILE, &none));
	cpu = cpu_ns();
	run(&s, 300);
	cpu = cpu_ns() - cpu;
	setrlimit(RLIMIT_NOFILE, &s.limit);
	check(cpu < 100 * MS);
	/* now it is let in: what is no message is answered by the end */
	check(write(fd, "\377\377\377\377", 4) == 4);
	for (unsigned i = 0; i < 1000 && recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN; i++)
		run(&s, 5);
	check(recv(fd, &byte, 1, MSG_DONTWAIT) >= 0);
	close(fd);
	control_free(control);
	loop_timer_free(s.timer);
	loop_free(s.loop);
	rmdir(dir);
}

static const struct test tests[] = {
	{ "control socket without descriptors", control_socket_without_descriptors },
	{ NULL },
};
const struct suite suite_lib_rest = { tests };
