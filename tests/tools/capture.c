/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Write every frame of an interface, in both directions, to a file in libpcap's classic format. What tcpdump cannot promise: it
 * says when it listens, takes all that was there when it is told to stop, and needs no user of its own, so that it runs in a user
 * namespace.
 *
 * Usage: capture IFACE FILE
 * Says "listening" when it does. SIGTERM and SIGINT end it; then "frames N missed N".
 * Exit 0: none missed; 1: some were; 2: trouble.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SNAP = 262144, TAG = 4, MACS = 12, SOCKET_BUFFER = 256 << 20, FILE_BUFFER = 1 << 20, BATCH = 64 };

struct file_header { uint32_t magic; uint16_t major, minor; uint32_t zone, accuracy, snap, link; };
struct record { uint32_t seconds, nanoseconds, kept, length; };

static uint64_t frames;
static struct timespec last;	/* the last frame's time */

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "capture: %s: %s\n", what, strerror(errno));
	exit(2);
}

static int open_iface(const char *name)
{
	struct sockaddr_ll sa = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name) };
	struct packet_mreq all = { .mr_ifindex = sa.sll_ifindex, .mr_type = PACKET_MR_PROMISC };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1, size = SOCKET_BUFFER;

	if (!sa.sll_ifindex || fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) ||
		setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) ||
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)))
		die(name);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)))
		die("receive buffer");
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
		die(name);
	return fd;
}

/* The kernel takes an 802.1Q tag off and hands it over beside the frame: false: there was none. */
static bool read_beside(struct msghdr *m, struct timespec *at, uint16_t tag[2])
{
	bool tagged = false;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS)
			memcpy(at, CMSG_DATA(c), sizeof(*at));
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		tagged = aux.tp_status & TP_STATUS_VLAN_VALID;
		tag[0] = htons(aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : ETH_P_8021Q);
		tag[1] = htons(aux.tp_vlan_tci);
	}
	return tagged;
}

static bool take_frame(int fd, FILE *out)
{
	static uint8_t buf[TAG + SNAP];
	uint8_t control[512], *p = buf + TAG;
	struct iovec iov = { p, SNAP };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_TRUNC);
	struct record r;
	uint16_t tag[2];

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0)
		die("recvmsg");
	if (n > SNAP) {
		errno = EMSGSIZE;
		die("a frame");
	}
	if (read_beside(&m, &last, tag) && n >= MACS) {
		p -= TAG;
		memmove(p, p + TAG, MACS);
		memcpy(p + MACS, tag, TAG);
		n += TAG;
	}
	r = (struct record){ (uint32_t)last.tv_sec, (uint32_t)last.tv_nsec, (uint32_t)n, (uint32_t)n };
	if (fwrite(&r, sizeof(r), 1, out) != 1 || fwrite(p, (size_t)n, 1, out) != 1)
		die("write");
	frames++;
	return true;
}

int main(int argc, char **argv)
{
	const struct file_header header = { 0xa1b23c4d, 2, 4, 0, 0, SNAP, 1 };
	struct tpacket_stats missed = { 0 };
	socklen_t size = sizeof(missed);
	struct pollfd p[2];
	struct timespec end;
	sigset_t set;
	FILE *out;

	if (argc != 3) {
		fputs("usage: capture IFACE FILE\n", stderr);
		return 2;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	out = fopen(argv[2], "we");
	if (!out || setvbuf(out, NULL, _IOFBF, FILE_BUFFER) || fwrite(&header, sizeof(header), 1, out) != 1)
		die(argv[2]);
	p[0] = (struct pollfd){ open_iface(argv[1]), POLLIN, 0 };
	p[1] = (struct pollfd){ signalfd(-1, &set, SFD_CLOEXEC), POLLIN, 0 };
	puts("listening");
	fflush(stdout);
	do {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			die("poll");
		for (int i = 0; i < BATCH && take_frame(p[0].fd, out); i++) {}
	} while (!p[1].revents);
	clock_gettime(CLOCK_REALTIME, &end);
	while (take_frame(p[0].fd, out) && (last.tv_sec < end.tv_sec || (last.tv_sec == end.tv_sec && last.tv_nsec < end.tv_nsec))) {}
	if (fclose(out) || getsockopt(p[0].fd, SOL_PACKET, PACKET_STATISTICS, &missed, &size))
		die(argv[2]);
	printf("frames %ju missed %u\n", (uintmax_t)frames, missed.tp_drops);
	return missed.tp_drops > 0;
}
