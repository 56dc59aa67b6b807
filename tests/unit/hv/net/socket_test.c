/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/net/socket.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "tests/unit/hv/net/frames.h"
#include "tests/unit/hv/net/wire_rig.h"

static uint8_t frame[NET_FRAME_MAX], got[NET_FRAME_MAX];

static struct sockaddr_un unix_address(const char *name)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(un.sun_path, sizeof un.sun_path, "%s", suite_tmp(name));
	return un;
}

static const char *address_of(const struct sockaddr_un *un)
{
	static char text[200];

	snprintf(text, sizeof text, "unix:%s", un->sun_path);
	return text;
}

static int dial(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	check_eq(connect(fd, (const struct sockaddr *)un, sizeof *un), 0);
	return fd;
}

static void put(int fd, const void *data, size_t len)
{
	check_eq(write(fd, data, len), len);
}

static void put_frame(int fd, size_t len)
{
	uint8_t prefix[4];

	put_be32(prefix, (uint32_t)len);
	put(fd, prefix, 4);
	put(fd, frame, len);
}

/* The next frame the port sent, or 0. */
static size_t take_frame(int fd)
{
	uint8_t prefix[4];

	if (recv(fd, prefix, 4, MSG_WAITALL) != 4 || get_be32(prefix) > sizeof got)
		return 0;
	return recv(fd, got, get_be32(prefix), MSG_WAITALL) == (ssize_t)get_be32(prefix) ? get_be32(prefix) : 0;
}

/* A listening port with this test as its peer. */
static struct wire_rig *start(struct sockaddr_un *un, const char *name, int *fd)
{
	struct wire_rig *w = wire_rig_create();
	struct net_port *p;

	*un = unix_address(name);
	check_eq(net_socket_open(address_of(un), true, w->loop, &p, NULL), 0);
	wire_rig_connect(w, p);
	check(!w->up);
	*fd = dial(un);
	wire_rig_wait(w, w->up);
	return w;
}

static void frames_cross_with_a_big_endian_length(void)
{
	struct sockaddr_un un;
	int fd;
	struct wire_rig *w = start(&un, "cross", &fd);
	size_t len = frames_make(frame, false, true, 1000);

	put_frame(fd, len);
	wire_rig_wait(w, w->frames == 1);
	check_eq(w->len, len);
	check(!memcmp(w->frame, frame, len));
	check_eq(w->hdr.flags, 0);
	wire_rig_send(w, NULL, frame, len);
	check_eq(take_frame(fd), len);
	check(!memcmp(got, frame, len));
	check_eq(w->port->tx.drops, 0);
	close(fd);
	wire_rig_free(w);
}

static void frames_may_come_byte_by_byte(void)
{
	struct sockaddr_un un;
	int fd;
	struct wire_rig *w = start(&un, "bytes", &fd);
	uint8_t wire[4 + 60] = { 0, 0, 0, 60 };

	for (unsigned i = 0; i < sizeof wire; i++) {
		check_eq(w->frames, 0);
		put(fd, wire + i, 1);
		wire_rig_round(w);
	}
	wire_rig_wait(w, w->frames == 1);
	check_eq(w->len, 60);
	close(fd);
	wire_rig_free(w);
}

static void offloads_are_done_before_sending(void)
{
	struct virtio_net_hdr_v1 hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16 };
	struct sockaddr_un un;
	int fd;
	struct wire_rig *w = start(&un, "offload", &fd);
	size_t len = frames_make(frame, false, true, 1000);

	frames_make_partial(frame, false, true, len);
	wire_rig_send(w, &hdr, frame, len);
	check_eq(take_frame(fd), len);
	check(frames_valid(got, false, true, len));
	hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	hdr.gso_size = 400;
	wire_rig_send(w, &hdr, frame, len);
	for (unsigned i = 0; i < 3; i++) {
		check_eq(take_frame(fd), i < 2 ? 454 : 254);
		check(frames_valid(got, false, true, i < 2 ? 454 : 254));
	}
	hdr.gso_size = 0;
	wire_rig_send(w, &hdr, frame, len);
	check_eq(w->port->tx.drops, 1);
	close(fd);
	wire_rig_free(w);
}

static void a_refused_frame_waits_and_so_does_the_peer(void)
{
	struct sockaddr_un un;
	int fd;
	struct wire_rig *w = start(&un, "refused", &fd);

	w->full = true;
	put_frame(fd, 100);
	put_frame(fd, 101);
	wire_rig_wait(w, w->refused == 1);
	put_frame(fd, 102);
	wire_rig_round(w);
	check_eq(w->refused, 1);
	net_port_resume(w->port);
	check_eq(w->refused, 2);
	w->full = false;
	net_port_resume(w->port);
	wire_rig_wait(w, w->frames == 3);
	check_eq(w->bytes, 303);
	check_eq(w->len, 102);
	close(fd);
	wire_rig_free(w);
}

static void a_peer_that_does_not_read_costs_frames_not_memory(void)
{
	struct sockaddr_un un;
	int fd;
	struct wire_rig *w = start(&un, "slow", &fd);
	unsigned whole = 0;

	for (unsigned i = 0; i < 3000; i++)
		wire_rig_send(w, NULL, frame, 1500);
	check(w->port->tx.drops > 0);
	check(w->port->tx.drops < 2500);
	/* What was not dropped arrives, each frame whole. */
	check_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	for (unsigned round = 0; round < 10000 && whole < 3000 - w->port->tx.drops; round++) {
		static uint8_t buf[1504 * 64];
		static size_t have;
		ssize_t n = read(fd, buf + have, sizeof buf - have);

		have += n > 0 ? (size_t)n : 0;
		for (size_t at = 0; have >= 1504; at += 1504, have -= 1504, whole++) {
			check_eq(get_be32(buf + at), 1500);
			if (have - 1504 < 1504)
				memmove(buf, buf + at + 1504, have - 1504);
		}
		wire_rig_round(w);
	}
	check_eq(whole, 3000 - w->port->tx.drops);
	close(fd);
	wire_rig_free(w);
}

static void an_absurd_length_ends_the_connection(void)
{
	struct sockaddr_un un;
	int fd;
	struct wire_rig *w = start(&un, "absurd", &fd);

	put(fd, "\xff\xff\xff\xff", 4);
	wire_rig_wait(w, !w->up);
	check_eq(take_frame(fd), 0);
	close(fd);
	/* and the next peer is let in, with nothing left over from the first */
	fd = dial(&un);
	wire_rig_wait(w, w->up);
	put_frame(fd, 60);
	wire_rig_wait(w, w->frames == 1);
	close(fd);
	wire_rig_wait(w, !w->up);
	wire_rig_free(w);
}

static void frames_shorter_than_a_header_are_dropped_and_the_stream_stays_in_step(void)
{
	struct sockaddr_un un;
	int fd;
	struct wire_rig *w = start(&un, "short", &fd);

	put_frame(fd, 0);
	put_frame(fd, 13);
	put_frame(fd, 14);
	wire_rig_wait(w, w->frames == 1);
	check_eq(w->len, 14);
	check_eq(w->port->rx.drops, 2);
	close(fd);
	wire_rig_free(w);
}

static void dialling_goes_on_until_the_peer_is_there_and_again_when_it_went(void)
{
	struct wire_rig *w = wire_rig_create();
	struct sockaddr_un un = unix_address("late");
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	struct net_port *p;

	check_eq(net_socket_open(address_of(&un), false, w->loop, &p, NULL), 0);
	wire_rig_connect(w, p);
	wire_rig_round(w);
	check(!w->up);
	check_eq(bind(listener, (struct sockaddr *)&un, sizeof un), 0);
	check_eq(listen(listener, 1), 0);
	wire_rig_wait(w, w->up);
	fd = accept(listener, NULL, NULL);
	put_frame(fd, 60);
	wire_rig_wait(w, w->frames == 1);
	close(fd);
	wire_rig_wait(w, !w->up);
	wire_rig_send(w, NULL, frame, 60);
	check_eq(w->port->tx.drops, 1);
	wire_rig_wait(w, w->up);
	close(listener);
	wire_rig_free(w);
}

static void two_ports_meet_over_tcp(void)
{
	struct wire_rig *w = wire_rig_create();
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	socklen_t len = sizeof in;
	struct net_port *p;
	char text[64];

	check_eq(bind(listener, (struct sockaddr *)&in, sizeof in), 0);
	check_eq(listen(listener, 1), 0);
	check_eq(getsockname(listener, (struct sockaddr *)&in, &len), 0);
	snprintf(text, sizeof text, "tcp:127.0.0.1:%u", ntohs(in.sin_port));
	check_eq(net_socket_open(text, false, w->loop, &p, NULL), 0);
	wire_rig_connect(w, p);
	fd = accept(listener, NULL, NULL);
	wire_rig_wait(w, w->up);
	wire_rig_send(w, NULL, frame, 99);
	check_eq(take_frame(fd), 99);
	close(fd);
	close(listener);
	wire_rig_free(w);
}

static void a_path_left_by_a_dead_process_is_taken_over_a_live_one_is_not(void)
{
	struct wire_rig *w = wire_rig_create();
	struct sockaddr_un un = unix_address("stale");
	int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct net_port *p, *q;
	struct err err = { 0 };

	check_eq(bind(dead, (struct sockaddr *)&un, sizeof un), 0);
	close(dead);
	check_eq(net_socket_open(address_of(&un), true, w->loop, &p, &err), 0);
	wire_rig_connect(w, p);
	check_eq(net_socket_open(address_of(&un), true, w->loop, &q, &err), -EADDRINUSE);
	check(strstr(err.text, "cannot listen") != NULL);
	wire_rig_free(w);
	check_eq(access(un.sun_path, F_OK), -1);
}

static void addresses_that_are_none_are_refused(void)
{
	static const char *const bad[] = { "", "tcp:", "tcp:1234", "tcp::1", "tcp:host:", "unix:", "/run/x", "udp:1.2.3.4:5" };
	struct wire_rig *w = wire_rig_create();
	struct net_port *p;
	struct err err;

	for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		err.text[0] = 0;
		check_eq(net_socket_open(bad[i], i & 1, w->loop, &p, &err), -EINVAL);
		check(err.text[0]);
	}
	wire_rig_free(w);
}

static const struct test tests[] = {
	{ "frames cross with a big-endian length", frames_cross_with_a_big_endian_length },
	{ "frames may come byte by byte", frames_may_come_byte_by_byte },
	{ "offloads are done before sending", offloads_are_done_before_sending },
	{ "a refused frame waits and so does the peer", a_refused_frame_waits_and_so_does_the_peer },
	{ "a peer that does not read costs frames, not memory", a_peer_that_does_not_read_costs_frames_not_memory },
	{ "an absurd length ends the connection", an_absurd_length_ends_the_connection },
	{ "frames shorter than a header are dropped and the stream stays in step",
		frames_shorter_than_a_header_are_dropped_and_the_stream_stays_in_step },
	{ "dialling goes on until the peer is there, and again when it went",
		dialling_goes_on_until_the_peer_is_there_and_again_when_it_went },
	{ "two ports meet over TCP", two_ports_meet_over_tcp },
	{ "a path left by a dead process is taken over, a live one is not",
		a_path_left_by_a_dead_process_is_taken_over_a_live_one_is_not },
	{ "addresses that are none are refused", addresses_that_are_none_are_refused },
	{ NULL, NULL },
};
const struct suite suite_hv_net_socket = { tests };
