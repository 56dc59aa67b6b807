/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/console.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include "tests/unit/hv/fake_clock.h"
#include "tests/unit/suite.h"

#define MILLI 1000000ull

/* A loop, a console, its port, and what the guest read from it. */
struct rig {
	struct loop *loop;
	struct loop_timer *tick;
	struct console *c;
	struct fake_clock clock;
	struct uart u;
	char guest[70000];
	size_t guest_len;
	unsigned breaks, left, rounds;
	bool guest_reads;
	bool (*done)(struct rig *r);
	uint64_t deadline;
	/* far ends */
	int fd[12];
	char *text;		/* what came out of fd[0] */
	size_t text_len, want;
};

static void set_line(void *ctx, int level) { }
static void on_leave(void *ctx) { ((struct rig *)ctx)->left++; }
static void on_round(void *ctx) { ((struct rig *)ctx)->rounds++; }
static void on_round_end(void *ctx) { }

static void guest_read(struct rig *r)
{
	unsigned lsr;

	while (r->guest_reads && r->guest_len < sizeof r->guest && ((lsr = (unsigned)uart_ops.read(&r->u, 5, 1)) & 1)) {
		r->breaks += !!(lsr & 0x10);
		r->guest[r->guest_len++] = (char)uart_ops.read(&r->u, 0, 1);
	}
}

static void collect(struct rig *r)
{
	ssize_t n;

	if (r->fd[0] < 0 || !r->text)
		return;
	while ((n = read(r->fd[0], r->text + r->text_len, (1 << 20) - r->text_len)) > 0)
		r->text_len += (size_t)n;
}

static void on_tick(void *ctx)
{
	struct rig *r = ctx;

	guest_read(r);
	collect(r);
	if (r->done(r) || loop_now_ns() > r->deadline)
		loop_stop(r->loop);
	else
		loop_timer_arm(r->tick, loop_now_ns() + MILLI / 5);
}

/* Run the loop until done says so; false after five seconds. */
static bool run(struct rig *r, bool (*done)(struct rig *r))
{
	r->done = done;
	r->deadline = loop_now_ns() + 5000 * MILLI;
	loop_timer_arm(r->tick, loop_now_ns());
	return !loop_run(r->loop) && done(r);
}

static void setup(struct rig *r)
{
	struct uart_config config = { .clock = &r->clock.clock, .irq = { set_line, r } };

	memset(r, 0, sizeof *r);
	for (unsigned i = 0; i < 12; i++)
		r->fd[i] = -1;
	fake_clock_init(&r->clock);
	check_eq(loop_create(&r->loop, NULL), 0);
	loop_set_guard(r->loop, on_round, on_round_end, r);
	check_eq(loop_timer_create(r->loop, on_tick, r, &r->tick), 0);
	check_eq(console_create(r->loop, "com1", &r->c), 0);
	console_fill_uart_config(r->c, &config);
	uart_init(&r->u, &config);
	uart_ops.write(&r->u, 2, 1, 1);
	console_attach_uart(r->c, &r->u);
	r->guest_reads = true;
	r->text = calloc(1, (1 << 20) + 1);
}

static void teardown(struct rig *r)
{
	console_free(r->c);
	uart_free(&r->u);
	loop_timer_free(r->tick);
	loop_free(r->loop);
	for (unsigned i = 0; i < 12; i++)
		if (r->fd[i] >= 0)
			close(r->fd[i]);
	free(r->text);
}

static void unblock(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }
static void print(struct rig *r, const char *s) { while (*s) uart_ops.write(&r->u, 0, 1, (uint8_t)*s++); }

static int dial(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
		close(fd);
		return -1;
	}
	unblock(fd);
	return fd;
}

static bool has_text(struct rig *r) { return r->text_len >= r->want; }
static bool guest_has(struct rig *r) { return r->guest_len >= r->want; }
static bool has_left(struct rig *r) { return r->left; }
static bool has_break(struct rig *r) { return r->breaks; }

static bool passed_20_ms(struct rig *r)
{
	return loop_now_ns() > r->deadline - 4980 * MILLI;
}

static bool ended(int fd)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(fd, buf, sizeof buf)) > 0)
		;
	return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* in: pipe whose writing end is fd[1]; out: pipe whose reading end is fd[0] */
static void add_pipes(struct rig *r)
{
	int in[2], out[2];

	check_eq(pipe(in), 0);
	check_eq(pipe(out), 0);
	check_eq(console_add_fds(r->c, in[0], out[1], on_leave, r, NULL), 0);
	r->fd[0] = out[0];
	r->fd[1] = in[1];
	r->fd[2] = in[0];
	r->fd[3] = out[1];
	unblock(out[0]);
}

static void output_and_input_through_pipes(void)
{
	static struct rig r;

	setup(&r);
	add_pipes(&r);
	print(&r, "login: ");
	r.want = 7;
	check(run(&r, has_text));
	check_str(r.text, "login: ");
	check_eq(write(r.fd[1], "root\r", 5), 5);
	r.want = 5;
	check(run(&r, guest_has));
	check_str(r.guest, "root\r");
	check_eq(console_stats(r.c).input, 5);
	check_eq(console_stats(r.c).output, 7);
	check_eq(fcntl(r.fd[2], F_GETFL) & O_NONBLOCK, 0);	/* the caller's files keep their flags */
	teardown(&r);
}

static void input_waits_for_the_guest(void)
{
	static struct rig r;
	static char line[20000];

	setup(&r);
	add_pipes(&r);
	for (unsigned i = 0; i < sizeof line; i++)
		line[i] = (char)('a' + i % 23);
	r.guest_reads = false;
	check_eq(write(r.fd[1], line, sizeof line), sizeof line);
	check(run(&r, passed_20_ms));
	check_eq(console_stats(r.c).input, UART_FIFO);
	check(r.rounds < 2000);
	r.guest_reads = true;
	r.want = sizeof line;
	check(run(&r, guest_has));
	check(!memcmp(r.guest, line, sizeof line));
	check_eq(r.u.overruns, 0);
	teardown(&r);
}

static void ended_input_does_not_spin(void)
{
	static struct rig r;
	unsigned rounds;

	setup(&r);
	add_pipes(&r);
	check_eq(write(r.fd[1], "last", 4), 4);
	close(r.fd[1]);
	r.fd[1] = -1;
	r.want = 4;
	check(run(&r, guest_has));
	rounds = r.rounds;
	check(run(&r, passed_20_ms));
	check(r.rounds - rounds < 250);	/* the ticks of this test */
	print(&r, "still here");
	r.want = 10;
	check(run(&r, has_text));
	teardown(&r);
}

static void files_and_the_null_device_as_input(void)
{
	static struct rig r;
	int file = open(suite_tmp("console-input"), O_RDWR | O_CREAT | O_TRUNC, 0600), null = open("/dev/null", O_RDWR);

	setup(&r);
	check_eq(write(file, "a script that is longer than the FIFO\n", 38), 38);
	lseek(file, 0, SEEK_SET);
	check_eq(console_add_fds(r.c, null, null, NULL, NULL, NULL), 0);
	check_eq(console_add_fds(r.c, file, null, NULL, NULL, NULL), 0);
	print(&r, "x");
	r.want = 38;
	check(run(&r, guest_has));
	check_str(r.guest, "a script that is longer than the FIFO\n");
	teardown(&r);
	close(file);
	close(null);
}

static void a_stuck_terminal_loses_the_oldest_output(void)
{
	static struct rig r;
	char line[17];

	setup(&r);
	add_pipes(&r);
	for (unsigned i = 0; i < 40000; i++) {
		snprintf(line, sizeof line, "line %9u\r\n", i);
		print(&r, line);
	}
	check(console_stats(r.c).dropped > 100000);
	r.want = 640000 - console_stats(r.c).dropped;
	check(run(&r, has_text));
	check_str(r.text + r.text_len - 16, "line     39999\r\n");
	check_eq(r.text_len, r.want);
	teardown(&r);
}

static void a_reader_that_left_is_no_error(void)
{
	static struct rig r;

	setup(&r);
	add_pipes(&r);
	close(r.fd[0]);
	close(r.fd[3]);
	r.fd[0] = r.fd[3] = -1;
	print(&r, "into the void");
	check(run(&r, passed_20_ms));
	check_eq(write(r.fd[1], "x", 1), 1);
	r.want = 1;
	check(run(&r, guest_has));
	teardown(&r);
}

static void socket_readers_see_output_and_scrollback(void)
{
	static struct rig r;
	const char *path = suite_tmp("console-a");
	struct stat st;

	setup(&r);
	check_eq(console_add_socket(r.c, path, CONSOLE_ALL_WRITE, NULL), 0);
	check_eq(stat(path, &st), 0);
	check_eq(st.st_mode & 0777, 0600);
	for (unsigned i = 0; i < 1000; i++)
		print(&r, "0123456789");
	r.fd[0] = dial(path);
	r.want = CONSOLE_SCROLLBACK;
	check(run(&r, has_text));
	check_eq(r.text_len, CONSOLE_SCROLLBACK);
	check(!memcmp(r.text + CONSOLE_SCROLLBACK - 10, "0123456789", 10));
	print(&r, "new");
	r.want += 3;
	check(run(&r, has_text));
	check_str(r.text + CONSOLE_SCROLLBACK, "new");
	check_eq(write(r.fd[0], "typed", 5), 5);
	r.want = 5;
	check(run(&r, guest_has));
	check_str(r.guest, "typed");
	teardown(&r);
	check_eq(access(path, F_OK), -1);
}

static void a_reader_that_sent_everything_still_reads(void)
{
	static struct rig r;
	unsigned rounds;

	setup(&r);
	check_eq(console_add_socket(r.c, suite_tmp("console-b"), CONSOLE_ALL_WRITE, NULL), 0);
	r.fd[0] = dial(suite_tmp("console-b"));
	check_eq(write(r.fd[0], "ls\r", 3), 3);
	shutdown(r.fd[0], SHUT_WR);
	r.want = 3;
	check(run(&r, guest_has));
	rounds = r.rounds;
	check(run(&r, passed_20_ms));
	check(r.rounds - rounds < 250);
	print(&r, "files");
	r.want = 5;
	check(run(&r, has_text));
	check_str(r.text, "files");
	teardown(&r);
}

static bool slow_one_dropped(struct rig *r) { return console_stats(r->c).readers_dropped; }

static void a_slow_reader_is_cut_off_and_the_others_are_not(void)
{
	static struct rig r;
	char block[1001];

	setup(&r);
	check_eq(console_add_socket(r.c, suite_tmp("console-c"), CONSOLE_ALL_WRITE, NULL), 0);
	r.fd[0] = dial(suite_tmp("console-c"));
	r.fd[1] = dial(suite_tmp("console-c"));
	print(&r, "hello");
	r.want = 5;
	check(run(&r, has_text));
	memset(block, 'x', 1000);
	block[1000] = '\0';
	for (unsigned i = 0; i < 900 && !slow_one_dropped(&r); i++) {
		print(&r, block);
		r.want += 1000;
		check(run(&r, has_text));
	}
	check_eq(console_stats(r.c).readers_dropped, 1);
	check_eq(r.text_len, r.want);
	check(ended(r.fd[1]));
	teardown(&r);
}

static bool two_readers_in(struct rig *r)
{
	char buf[16];

	return r->text_len >= 5 && recv(r->fd[1], buf, sizeof buf, MSG_PEEK) >= 5;
}

static void one_writes_and_the_next_takes_over(void)
{
	static struct rig r;

	setup(&r);
	check_eq(console_add_socket(r.c, suite_tmp("console-d"), CONSOLE_ONE_WRITES, NULL), 0);
	print(&r, "hello");
	r.fd[0] = dial(suite_tmp("console-d"));
	r.want = 5;
	check(run(&r, has_text));
	r.fd[1] = dial(suite_tmp("console-d"));
	check(run(&r, two_readers_in));
	check_eq(write(r.fd[1], "no", 2), 2);
	check_eq(write(r.fd[0], "yes", 3), 3);
	r.want = 3;
	check(run(&r, guest_has));
	check(run(&r, passed_20_ms));
	check_str(r.guest, "yes");
	close(r.fd[0]);
	r.fd[0] = -1;
	check(run(&r, passed_20_ms));
	check_eq(write(r.fd[1], "now", 3), 3);
	r.want = 6;
	check(run(&r, guest_has));
	check_str(r.guest, "yesnow");
	teardown(&r);
}

static bool one_refused(struct rig *r) { return console_stats(r->c).readers_refused; }

static void one_reader_too_many_is_refused(void)
{
	static struct rig r;

	setup(&r);
	check_eq(console_add_socket(r.c, suite_tmp("console-e"), CONSOLE_NONE_WRITES, NULL), 0);
	for (unsigned i = 0; i < CONSOLE_READERS; i++) {
		check_eq((r.fd[i] = dial(suite_tmp("console-e"))) >= 0, 1);
		check(run(&r, passed_20_ms));
	}
	check_eq(write(r.fd[0], "ignored", 7), 7);
	r.fd[8] = dial(suite_tmp("console-e"));
	check(run(&r, one_refused));
	check(ended(r.fd[8]));
	check_eq(r.guest_len, 0);
	close(r.fd[3]);
	r.fd[3] = -1;
	check(run(&r, passed_20_ms));
	r.fd[3] = dial(suite_tmp("console-e"));
	check(run(&r, passed_20_ms));
	check_eq(console_stats(r.c).readers_refused, 1);
	teardown(&r);
}

static void socket_paths_that_cannot_be(void)
{
	static struct rig r;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct err err;
	char longer[200];
	int fd;

	setup(&r);
	memset(longer, 'a', sizeof longer);
	longer[199] = '\0';
	check_eq(-console_add_socket(r.c, longer, CONSOLE_ALL_WRITE, &err), ENAMETOOLONG);
	check_eq(-console_add_socket(r.c, "", CONSOLE_ALL_WRITE, &err), ENAMETOOLONG);
	check_eq(-console_add_socket(r.c, suite_tmp("missing/console"), CONSOLE_ALL_WRITE, &err), ENOENT);
	close(open(suite_tmp("console-file"), O_CREAT | O_WRONLY, 0600));
	check_eq(-console_add_socket(r.c, suite_tmp("console-file"), CONSOLE_ALL_WRITE, &err), EEXIST);
	check_eq(access(suite_tmp("console-file"), F_OK), 0);
	check_eq(console_add_socket(r.c, suite_tmp("console-f"), CONSOLE_ALL_WRITE, &err), 0);
	check_eq(-console_add_socket(r.c, suite_tmp("console-f"), CONSOLE_ALL_WRITE, &err), EADDRINUSE);
	check_eq(access(suite_tmp("console-f"), F_OK), 0);
	snprintf(a.sun_path, sizeof a.sun_path, "%s", suite_tmp("console-stale"));
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	check_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	close(fd);
	check_eq(console_add_socket(r.c, a.sun_path, CONSOLE_ALL_WRITE, &err), 0);
	teardown(&r);
}

static size_t slurp(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(buf, 1, size - 1, f) : 0;

	if (f)
		fclose(f);
	buf[n] = '\0';
	return n;
}

static void the_log_rotates_within_its_bounds(void)
{
	static struct rig r;
	static char buf[4][9000], all[30000], line[32];
	unsigned first;

	setup(&r);
	check_eq(console_add_log(r.c, suite_tmp("console.log"), 8192, 3, NULL), 0);
	check_eq(-console_add_log(r.c, suite_tmp("other.log"), 8192, 3, NULL), EBUSY);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(line, sizeof line, "%09u\n", i);
		console_output(r.c, (uint8_t *)line, 10);
	}
	check_eq(console_stats(r.c).log_errors, 0);
	teardown(&r);
	check(slurp(suite_tmp("console.log"), buf[0], 9000) <= 8192);
	check(slurp(suite_tmp("console.log.1"), buf[1], 9000) <= 8192);
	check(slurp(suite_tmp("console.log.2"), buf[2], 9000) <= 8192);
	check_eq(access(suite_tmp("console.log.3"), F_OK), -1);
	snprintf(all, sizeof all, "%s%s%s", buf[2], buf[1], buf[0]);
	check(strlen(all) > 16384);
	first = 5000 - (unsigned)(strlen(all) / 10);	/* nothing is missing or twice, up to the last line */
	for (unsigned i = first; i < 5000; i++) {
		snprintf(line, sizeof line, "%09u\n", i);
		check(!memcmp(all + strlen(all) - (5000 - i) * 10, line, 10));
	}
}

static void a_log_goes_on_where_it_stopped(void)
{
	static struct rig r;
	static char buf[9000];

	for (unsigned i = 0; i < 2; i++) {
		setup(&r);
		check_eq(console_add_log(r.c, suite_tmp("again.log"), 4096, 1, NULL), 0);
		print(&r, i ? "two" : "one");
		teardown(&r);
	}
	slurp(suite_tmp("again.log"), buf, sizeof buf);
	check_str(buf, "onetwo");
	setup(&r);
	check_eq(console_add_log(r.c, suite_tmp("again.log"), 4096, 1, NULL), 0);
	for (unsigned i = 0; i < 10000; i++)
		print(&r, "x");
	teardown(&r);
	check(slurp(suite_tmp("again.log"), buf, sizeof buf) <= 4096);
	check_eq(access(suite_tmp("again.log.1"), F_OK), -1);
}

static void a_log_that_cannot_rotate_still_keeps_its_size(void)
{
	static struct rig r;
	static char buf[20000];

	setup(&r);
	check_eq(mkdir(suite_tmp("stuck.log.1"), 0700), 0);
	check_eq(console_add_log(r.c, suite_tmp("stuck.log"), 8192, 2, NULL), 0);
	for (unsigned i = 0; i < 20000; i++)
		print(&r, "x");
	check(console_stats(r.c).log_errors > 0);
	print(&r, "still logging");
	teardown(&r);
	check(slurp(suite_tmp("stuck.log"), buf, sizeof buf) <= 8192);
	check(strstr(buf, "still logging") != NULL);
}

static void logs_that_cannot_be(void)
{
	static struct rig r;

	setup(&r);
	check_eq(-console_add_log(r.c, suite_tmp("l"), 100, 3, NULL), EINVAL);
	check_eq(-console_add_log(r.c, suite_tmp("l"), 8192, 0, NULL), EINVAL);
	check_eq(-console_add_log(r.c, suite_tmp("l"), 8192, 100, NULL), EINVAL);
	check_eq(-console_add_log(r.c, suite_tmp("missing/l"), 8192, 3, NULL), ENOENT);
	check_eq(-console_add_log(r.c, "/", 8192, 3, NULL), EINVAL);
	check_eq(mkfifo(suite_tmp("console-fifo"), 0600), 0);
	check_eq(-console_add_log(r.c, suite_tmp("console-fifo"), 8192, 3, NULL), ENXIO);
	check(console_stats(r.c).log_errors == 0);
	teardown(&r);
}

/* fd[0]: the people's side of a terminal; returns the other one, or -1 where there are none */
static int open_terminal(struct rig *r)
{
	int fd;

	r->fd[0] = posix_openpt(O_RDWR | O_NOCTTY);
	if (r->fd[0] < 0 || grantpt(r->fd[0]) || unlockpt(r->fd[0])) {
		suite_note("skipped: no pseudo-terminals here");
		return -1;
	}
	fd = open(ptsname(r->fd[0]), O_RDWR | O_NOCTTY);
	unblock(r->fd[0]);
	r->fd[1] = fd;
	return fd;
}

static void a_terminal_is_raw_with_escapes(void)
{
	static struct rig r, other;
	struct termios before, during, after;
	int fd;

	setup(&r);
	setup(&other);
	fd = open_terminal(&r);
	if (fd >= 0) {
		tcgetattr(fd, &before);
		check_eq(console_add_fds(r.c, fd, fd, on_leave, &r, NULL), 0);
		check_eq(-console_add_fds(other.c, fd, fd, NULL, NULL, NULL), EBUSY);
		tcgetattr(fd, &during);
		check_eq(during.c_lflag & (ICANON | ECHO | ISIG), 0);
		check_eq(write(r.fd[0], "a\x03\x01\x01" "b\x01z", 7), 7);
		r.want = 4;
		check(run(&r, guest_has));
		check_str(r.guest, "a\x03\x01" "b");
		check_eq(write(r.fd[0], "\x01" "b", 2), 2);
		check(run(&r, has_break));
		r.guest_reads = false;	/* the way out works while the guest is deaf */
		check_eq(write(r.fd[0], "0123456789abcdef0123456789\x01h\x01x", 30), 30);
		check(run(&r, has_left));
		r.want = 20;
		check(run(&r, has_text));
		check(strstr(r.text, "Ctrl-A x") != NULL);
		console_free(r.c);
		r.c = NULL;
		tcgetattr(fd, &after);
		check_eq(after.c_lflag, before.c_lflag);
		check_eq(after.c_iflag, before.c_iflag);
		check_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	}
	teardown(&r);
	teardown(&other);
}

static void the_terminal_comes_back_after_a_signal_and_after_exit(void)
{
	static struct rig r;
	struct termios before, after;
	int fd, status;

	setup(&r);
	fd = open_terminal(&r);
	for (unsigned how = 0; fd >= 0 && how < 2; how++) {
		pid_t pid;

		tcgetattr(fd, &before);
		fflush(NULL);
		pid = fork();
		if (!pid) {
			signal(SIGTERM, SIG_DFL);
			if (console_add_fds(r.c, fd, fd, NULL, NULL, NULL) || (tcgetattr(fd, &after), after.c_lflag & ECHO))
				_exit(9);
			if (!how)
				raise(SIGTERM);
			exit(7);
		}
		check_eq(waitpid(pid, &status, 0), pid);
		if (how)
			check_eq(WEXITSTATUS(status), 7);
		else
			check(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
		tcgetattr(fd, &after);
		check_eq(after.c_lflag, before.c_lflag);
	}
	teardown(&r);
}

static void two_consoles_do_not_share_output(void)
{
	static struct rig a, b;

	setup(&a);
	setup(&b);
	add_pipes(&a);
	add_pipes(&b);
	print(&a, "A");
	print(&b, "BB");
	a.want = 1;
	b.want = 2;
	check(run(&a, has_text));
	check(run(&b, has_text));
	check_str(a.text, "A");
	check_str(b.text, "BB");
	teardown(&a);
	teardown(&b);
}

static const struct test tests[] = {
	{ "output and input through pipes", output_and_input_through_pipes },
	{ "input waits for the guest", input_waits_for_the_guest },
	{ "ended input does not spin", ended_input_does_not_spin },
	{ "files and the null device as input", files_and_the_null_device_as_input },
	{ "a stuck terminal loses the oldest output", a_stuck_terminal_loses_the_oldest_output },
	{ "a reader that left is no error", a_reader_that_left_is_no_error },
	{ "socket readers see output and scrollback", socket_readers_see_output_and_scrollback },
	{ "a reader that sent everything still reads", a_reader_that_sent_everything_still_reads },
	{ "a slow reader is cut off and the others are not", a_slow_reader_is_cut_off_and_the_others_are_not },
	{ "one writes and the next takes over", one_writes_and_the_next_takes_over },
	{ "one reader too many is refused", one_reader_too_many_is_refused },
	{ "socket paths that cannot be", socket_paths_that_cannot_be },
	{ "the log rotates within its bounds", the_log_rotates_within_its_bounds },
	{ "a log goes on where it stopped", a_log_goes_on_where_it_stopped },
	{ "a log that cannot rotate still keeps its size", a_log_that_cannot_rotate_still_keeps_its_size },
	{ "logs that cannot be", logs_that_cannot_be },
	{ "a terminal is raw with escapes", a_terminal_is_raw_with_escapes },
	{ "the terminal comes back after a signal and after exit", the_terminal_comes_back_after_a_signal_and_after_exit },
	{ "two consoles do not share output", two_consoles_do_not_share_output },
	{ NULL, NULL },
};
const struct suite suite_hv_console = { tests };
