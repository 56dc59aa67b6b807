/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/net/socket.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "lib/l2/offload.h"
#include "hv/net/wire.h"
#include "lib/bits.h"
#include "lib/log.h"
#include "lib/scope.h"

enum { PREFIX = 4, QUEUE = 1 << 20, RECEIVE = 256 << 10 };
#define RETRY_NS 1000000000ull

struct link {
	struct net_port port;
	struct loop *loop;
	struct sockaddr_storage addr;
	socklen_t addr_len;
	char name[128];
	int listen_fd, fd;		/* -1: none */
	struct loop_watch *listen_watch, *watch;
	struct loop_timer *retry;
	bool connecting;
	bool held;			/* the frame at in_at was refused by the NIC */
	size_t in_at, in_len;		/* unread bytes in in[] are [in_at, in_len) */
	size_t out_at, out_len;		/* unsent bytes in out[] are [out_at, out_len) */
	uint8_t in[RECEIVE], out[QUEUE];
};

static struct link *link_of(struct net_port *p)
{
	return container_of(p, struct link, port);
}

static void retry_later(struct link *l)
{
	if (l->listen_fd < 0)
		loop_timer_arm(l->retry, loop_now_ns() + RETRY_NS);
	else if (loop_watch_set(l->listen_watch, EPOLLIN) < 0)
		log_limited(LOG_ERROR, "%s: the event loop refused the socket", l->name);
}

static void hang_up(struct link *l, const char *why)
{
	if (l->fd < 0)
		return;
	if (!l->connecting)
		log_limited(LOG_WARN, "%s: connection lost: %s", l->name, why);
	loop_watch_remove(l->watch);
	l->watch = NULL;
	close(l->fd);
	l->fd = -1;
	l->connecting = l->held = false;
	l->in_at = l->in_len = l->out_at = l->out_len = 0;
	net_wire_set_carrier(&l->port, false);
	retry_later(l);
}

static void update_events(struct link *l)
{
	uint32_t events = (l->held ? 0 : EPOLLIN) | (l->connecting || l->out_len > l->out_at ? EPOLLOUT : 0);

	if (l->fd >= 0 && loop_watch_set(l->watch, events) < 0)
		hang_up(l, "the event loop refused the socket");
}

/* ---- guest → wire */

static void flush(struct link *l)
{
	while (l->out_at < l->out_len) {
		ssize_t n = send(l->fd, l->out + l->out_at, l->out_len - l->out_at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			hang_up(l, strerror(errno));
			return;
		}
		l->out_at += (size_t)n;
	}
	l->out_at = l->out_len = 0;
}

static bool enqueue(void *ctx, const uint8_t *frame, size_t len)
{
	struct link *l = ctx;

	if (QUEUE - (l->out_len - l->out_at) < PREFIX + len) {
		l->port.tx.drops++;
		return true;
	}
	if (QUEUE - l->out_len < PREFIX + len) {
		memmove(l->out, l->out + l->out_at, l->out_len - l->out_at);
		l->out_len -= l->out_at;
		l->out_at = 0;
	}
	put_be32(l->out + l->out_len, (uint32_t)len);
	memcpy(l->out + l->out_len + PREFIX, frame, len);
	l->out_len += PREFIX + len;
	return true;
}

static void send_frame(struct net_port *p, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned count)
{
	struct link *l = link_of(p);
	uint8_t frame[NET_FRAME_MAX];
	size_t len = net_iov_gather(iov, count, frame, sizeof frame);
	bool idle = l->out_at == l->out_len;

	if (l->fd < 0 || l->connecting || !len || net_segment(hdr, frame, len, enqueue, l) < 0) {
		p->tx.drops++;
		return;
	}
	if (!idle)
		return;		/* the loop waits for room already */
	flush(l);
	if (l->out_at < l->out_len)
		update_events(l);
}

/* ---- wire → guest */

/* Hand out whole frames; false when the connection is to be given up. */
static bool parse(struct link *l)
{
	static const struct virtio_net_hdr_v1 none;

	while (!l->held && l->in_len - l->in_at >= PREFIX) {
		uint32_t len = get_be32(l->in + l->in_at);

		if (len > NET_FRAME_MAX)
			return false;
		if (l->in_len - l->in_at - PREFIX < len)
			break;
		if (!net_wire_deliver(&l->port, &none, l->in + l->in_at + PREFIX, len))
			l->held = true;
		else
			l->in_at += PREFIX + len;
	}
	return true;
}

static void drain(struct link *l)
{
	ssize_t n;

	if (l->in_at) {
		memmove(l->in, l->in + l->in_at, l->in_len - l->in_at);
		l->in_len -= l->in_at;
		l->in_at = 0;
	}
	do
		n = recv(l->fd, l->in + l->in_len, RECEIVE - l->in_len, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		hang_up(l, n ? strerror(errno) : "closed by the peer");
		return;
	}
	l->in_len += (size_t)n;
	if (!parse(l))
		hang_up(l, "the peer sent a frame length that is out of range");
	else if (l->held)
		update_events(l);
}

static void resume(struct net_port *p)
{
	struct link *l = link_of(p);

	if (!l->held)
		return;
	l->held = false;
	if (!parse(l))
		hang_up(l, "the peer sent a frame length that is out of range");
	else if (!l->held)
		update_events(l);
}

/* ---- connections */

static void connected(struct link *l)
{
	int one = 1;

	l->connecting = false;
	if (l->addr.ss_family != AF_UNIX)
		(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	log_limited(LOG_INFO, "%s: connected", l->name);
	net_wire_set_carrier(&l->port, true);
}

static void ready(void *ctx, int fd, uint32_t events)
{
	struct link *l = ctx;
	socklen_t len = sizeof(int);
	int e = 0;

	if (l->connecting && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0 || e) {
			hang_up(l, strerror(e));
			return;
		}
		connected(l);
		update_events(l);
		return;
	}
	if (events & EPOLLOUT) {
		flush(l);
		if (l->fd >= 0)
			update_events(l);
	}
	if (l->fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		if (!l->held)
			drain(l);
		else if (events & (EPOLLHUP | EPOLLERR))
			hang_up(l, "closed by the peer");
	}
}

static int adopt(struct link *l, int fd, bool connecting)
{
	int r = loop_watch_add(l->loop, fd, connecting ? EPOLLOUT : EPOLLIN, ready, l, &l->watch);

	if (r < 0) {
		close(fd);
		return r;
	}
	l->fd = fd;
	l->connecting = connecting;
	if (!connecting)
		connected(l);
	return 0;
}

static void accept_peer(void *ctx, int fd, uint32_t events)
{
	struct link *l = ctx;
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (peer < 0 || adopt(l, peer, false) < 0)
		return;
	/* The next one waits in the backlog until this one is gone. */
	if (loop_watch_set(l->listen_watch, 0) < 0)
		log_limited(LOG_ERROR, "%s: the event loop refused the socket", l->name);
}

static void dial(void *ctx)
{
	struct link *l = ctx;
	int fd = socket(l->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;

	if (l->fd >= 0 || fd < 0) {
		if (fd >= 0)
			close(fd);
		else
			retry_later(l);
		return;
	}
	r = connect(fd, (struct sockaddr *)&l->addr, l->addr_len);
	if (r < 0 && errno != EINPROGRESS) {
		log_limited(LOG_INFO, "%s: no connection yet: %s", l->name, strerror(errno));
		close(fd);
		retry_later(l);
	} else if (adopt(l, fd, r < 0) < 0) {
		retry_later(l);
	}
}

static void destroy(struct net_port *p)
{
	struct link *l = link_of(p);

	loop_watch_remove(l->watch);
	loop_watch_remove(l->listen_watch);
	if (l->retry)
		loop_timer_free(l->retry);
	if (l->fd >= 0)
		close(l->fd);
	if (l->listen_fd >= 0) {
		close(l->listen_fd);
		if (l->addr.ss_family == AF_UNIX)
			(void)unlink(((struct sockaddr_un *)&l->addr)->sun_path);
	}
	free(l);
}

static const struct net_port_ops ops = {
	.name = "socket", .send = send_frame, .resume = resume, .set_offload = net_wire_no_offload, .free = destroy,
};

/* ---- opening */

static int parse_unix(struct link *l, const char *path, struct err *err)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&l->addr;

	if (!*path || strlen(path) >= sizeof un->sun_path)
		return err_set(err, -EINVAL, "%s: the path of a UNIX socket has 1 to %zu bytes", l->name, sizeof un->sun_path - 1);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path) + 1);
	l->addr_len = sizeof *un;
	return 0;
}

static int parse_tcp(struct link *l, const char *text, bool passive, struct err *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0 };
	const char *colon = strrchr(text, ':');
	struct addrinfo *found;
	char host[256];
	size_t len;
	int r;

	if (!colon || colon == text || !colon[1] || (len = (size_t)(colon - text)) >= sizeof host)
		return err_set(err, -EINVAL, "%s: expected tcp:HOST:PORT", l->name);
	if (text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	memcpy(host, text, len);
	host[len] = 0;
	r = getaddrinfo(host, colon + 1, &hints, &found);
	if (r)
		return err_set(err, -EINVAL, "%s: %s", l->name, gai_strerror(r));
	memcpy(&l->addr, found->ai_addr, found->ai_addrlen);
	l->addr_len = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

/* A UNIX socket's path outlives its process; nobody answers there then. */
static bool is_abandoned(const struct link *l)
{
	auto_close int fd = l->addr.ss_family == AF_UNIX ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;

	return fd >= 0 && connect(fd, (const struct sockaddr *)&l->addr, l->addr_len) < 0 && errno == ECONNREFUSED;
}

static int bind_address(struct link *l)
{
	const struct sockaddr *addr = (const struct sockaddr *)&l->addr;

	if (!bind(l->listen_fd, addr, l->addr_len))
		return 0;
	if (errno != EADDRINUSE)
		return -1;
	if (!is_abandoned(l)) {
		errno = EADDRINUSE;
		return -1;
	}
	(void)unlink(((const struct sockaddr_un *)addr)->sun_path);
	return bind(l->listen_fd, addr, l->addr_len);
}

static int start_listening(struct link *l, struct err *err)
{
	int one = 1, r;

	l->listen_fd = socket(l->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->listen_fd < 0)
		return err_set(err, -errno, "%s: %s", l->name, strerror(errno));
	(void)setsockopt(l->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind_address(l) < 0 || listen(l->listen_fd, 1) < 0) {
		r = err_set(err, -errno, "%s: cannot listen: %s", l->name, strerror(errno));
		close(l->listen_fd);	/* and leave the path alone: it is somebody else's */
		l->listen_fd = -1;
		return r;
	}
	r = loop_watch_add(l->loop, l->listen_fd, EPOLLIN, accept_peer, l, &l->listen_watch);
	return r < 0 ? err_set(err, r, "%s: cannot wait for the peer: %s", l->name, strerror(-r)) : 0;
}

int net_socket_open(const char *address, bool listen, struct loop *loop, struct net_port **port, struct err *err)
{
	struct link *l = calloc(1, sizeof *l);
	int r;

	if (!l)
		return err_set(err, -ENOMEM, "%s: not enough memory", address);
	net_wire_init(&l->port, &ops);
	l->loop = loop;
	l->fd = l->listen_fd = -1;
	snprintf(l->name, sizeof l->name, "%s", address);
	if (!strncmp(address, "unix:", 5))
		r = parse_unix(l, address + 5, err);
	else if (!strncmp(address, "tcp:", 4))
		r = parse_tcp(l, address + 4, listen, err);
	else
		r = err_set(err, -EINVAL, "%s: expected unix:PATH or tcp:HOST:PORT", address);
	if (!r && listen) {
		r = start_listening(l, err);
	} else if (!r) {
		r = loop_timer_create(loop, dial, l, &l->retry);
		if (r < 0)
			err_set(err, r, "%s: no timer: %s", address, strerror(-r));
		else
			dial(l);
	}
	if (r < 0) {
		destroy(&l->port);
		return r;
	}
	*port = &l->port;
	return 0;
}
