/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/lib/l2/l2_rig.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/bits.h"

#define MS 1000000ull

struct waiting { struct loop *loop; rig_condition *holds; void *ctx; struct loop_timer *timer; uint64_t end; bool held; };

static void look(void *ctx)
{
	struct waiting *w = ctx;

	w->held = w->holds && w->holds(w->ctx);
	if (w->held || loop_now_ns() >= w->end)
		loop_stop(w->loop);
	else
		loop_timer_arm(w->timer, loop_now_ns() + MS);
}

static bool wait_until(struct loop *loop, rig_condition *holds, void *ctx, uint64_t end)
{
	struct waiting w = { .loop = loop, .holds = holds, .ctx = ctx, .end = end };

	CU_ASSERT_FATAL(!loop_timer_create(loop, look, &w, &w.timer));
	loop_timer_arm(w.timer, 1);
	CU_ASSERT_FATAL(!loop_run(loop));
	loop_timer_free(w.timer);
	return w.held;
}

bool rig_wait(struct loop *loop, rig_condition *holds, void *ctx)
{
	return wait_until(loop, holds, ctx, loop_now_ns() + 20000 * MS);
}

void rig_run_ms(struct loop *loop, unsigned ms)
{
	(void)wait_until(loop, NULL, NULL, loop_now_ns() + ms * MS);
}

struct frame rig_frame(uint8_t *buf, const uint8_t to[FRAME_MAC], const uint8_t from[FRAME_MAC], uint16_t port, size_t len)
{
	struct frame f = { .data = buf + FRAME_HEADROOM, .len = len };
	uint8_t *p = f.data;

	memset(p, 0, len);
	memcpy(p, to, FRAME_MAC);
	memcpy(p + 6, from, FRAME_MAC);
	put_be16(p + 12, 0x0800);
	p[14] = 0x45;
	put_be16(p + 16, (uint16_t)(len - 14));
	p[22] = 64;
	p[23] = 17;
	put_be32(p + 26, 0x0a000001);
	put_be32(p + 30, 0x0a000002);
	put_be16(p + 34, port);
	put_be16(p + 36, 7);
	put_be16(p + 38, (uint16_t)(len - 34));
	return f;
}

/* ---- the shim */

struct pair { struct shim *shim; struct pair *next; int fd[2]; struct loop_watch *watch[2]; };
struct shim { struct loop *loop; struct pair *pairs; struct loop_watch *watch; int fd; uint16_t port, to; bool frozen; };

static void pair_free(struct pair *p)
{
	struct pair **at = &p->shim->pairs;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	for (int i = 0; i < 2; i++) {
		loop_watch_remove(p->watch[i]);
		close(p->fd[i]);
	}
	free(p);
}

static void on_data(void *ctx, int fd, uint32_t events)
{
	struct pair *p = ctx;
	uint8_t data[65536];
	ssize_t n = recv(fd, data, sizeof data, MSG_DONTWAIT);
	int to = p->fd[fd == p->fd[0]];

	if (n < 0 && errno == EAGAIN)
		return;
	/* the other end's buffer holds what tests send; a full one is waited for */
	for (ssize_t done = 0; done < n;) {
		ssize_t w = send(to, data + done, (size_t)(n - done), MSG_NOSIGNAL);

		if (w <= 0) {
			n = 0;
			break;
		}
		done += w;
	}
	if (n <= 0)
		pair_free(p);
}

static int dial(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_FATAL(fd >= 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof to)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void on_accept(void *ctx, int listener, uint32_t events)
{
	struct shim *s = ctx;
	struct pair *p = calloc(1, sizeof *p);

	CU_ASSERT_FATAL(p != NULL);
	p->shim = s;
	p->fd[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	p->fd[1] = dial(s->to);
	if (p->fd[1] < 0) {
		close(p->fd[0]);
		free(p);
		return;
	}
	p->next = s->pairs;
	s->pairs = p;
	for (int i = 0; i < 2; i++)
		CU_ASSERT_FATAL(!loop_watch_add(s->loop, p->fd[i], s->frozen ? 0 : EPOLLIN, on_data, p, &p->watch[i]));
}

struct shim *shim_start(struct loop *loop, uint16_t to)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof addr;
	struct shim *s = calloc(1, sizeof *s);

	CU_ASSERT_FATAL(s != NULL);
	*s = (struct shim){ .loop = loop, .to = to, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) };
	CU_ASSERT_FATAL(s->fd >= 0 && !bind(s->fd, (struct sockaddr *)&addr, len) && !listen(s->fd, 64) &&
			!getsockname(s->fd, (struct sockaddr *)&addr, &len));
	s->port = ntohs(addr.sin_port);
	CU_ASSERT_FATAL(!loop_watch_add(loop, s->fd, EPOLLIN, on_accept, s, &s->watch));
	return s;
}

uint16_t shim_port(const struct shim *s)
{
	return s->port;
}

void shim_freeze(struct shim *s, bool freeze)
{
	s->frozen = freeze;
	for (struct pair *p = s->pairs; p; p = p->next)
		for (int i = 0; i < 2; i++)
			CU_ASSERT_FATAL(!loop_watch_set(p->watch[i], freeze ? 0 : EPOLLIN));
}

void shim_cut(struct shim *s)
{
	while (s->pairs)
		pair_free(s->pairs);
}

void shim_free(struct shim *s)
{
	if (!s)
		return;
	shim_cut(s);
	loop_watch_remove(s->watch);
	close(s->fd);
	free(s);
}
