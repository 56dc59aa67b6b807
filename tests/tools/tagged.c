/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VLAN device for kernels without one: a TAP device whose frames go out of an interface with an 802.1Q tag, and those that
 * come in with that tag go to it without.
 *
 * Usage: tagged IFACE VID TAP      makes TAP, prints "ready", runs until it is killed; VID 0: the frames without a tag
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FRAME = 65536 + 32, MACS = 12, TAG = 4 };

static uint8_t frame[FRAME];

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "tagged: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* Without offloads: the kernel completes and cuts what it sends through it. */
static int open_tap(const char *name)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);

	strncpy(r.ifr_name, name, IFNAMSIZ - 1);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r))
		die(name);
	return fd;
}

static int open_packet(const char *name)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name) };
	struct packet_mreq all = { .mr_ifindex = at.sll_ifindex, .mr_type = PACKET_MR_PROMISC };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0), one = 1;

	if (fd < 0 || !at.sll_ifindex || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) ||
	    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof one) ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) || bind(fd, (struct sockaddr *)&at, sizeof at))
		die(name);
	return fd;
}

/* The VID that the kernel took off, 0: none. */
static unsigned vid_of(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof aux);
		return aux.tp_status & TP_STATUS_VLAN_VALID ? aux.tp_vlan_tci & 0xfff : 0;
	}
	return 0;
}

static void in(int packet, int tap, unsigned vid)
{
	struct virtio_net_hdr hdr;
	struct sockaddr_ll from;
	uint8_t control[256] __attribute__((aligned(8)));
	struct iovec iov[2] = { { &hdr, sizeof hdr }, { frame, sizeof frame } };
	struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = iov, .msg_iovlen = 2, .msg_control = control,
		.msg_controllen = sizeof control };
	ssize_t n = recvmsg(packet, &m, 0);

	if (n <= (ssize_t)sizeof hdr || from.sll_pkttype == PACKET_OUTGOING || vid_of(&m) != vid)
		return;
	iov[1].iov_len = (size_t)n - sizeof hdr;
	if (writev(tap, iov, 2) < 0 && errno != EAGAIN && errno != EIO)
		die("tap");
}

static void out(int tap, int packet, unsigned vid)
{
	struct virtio_net_hdr hdr;
	uint16_t tag[2] = { htons(ETH_P_8021Q), htons((uint16_t)vid) };
	struct iovec iov[4] = { { &hdr, sizeof hdr }, { frame, sizeof frame } };
	ssize_t n = readv(tap, iov, 2);

	if (n <= (ssize_t)sizeof hdr + MACS)
		return;
	if (hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && vid)
		hdr.csum_start += TAG;
	iov[1].iov_len = MACS;
	iov[2] = (struct iovec){ tag, vid ? TAG : 0 };
	iov[3] = (struct iovec){ frame + MACS, (size_t)n - sizeof hdr - MACS };
	if (writev(packet, iov, 4) < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ENETDOWN)
		die("interface");
}

int main(int argc, char **argv)
{
	unsigned vid = argc == 4 ? (unsigned)atoi(argv[2]) : 4096;
	struct pollfd p[2];

	if (vid > 4094) {
		fprintf(stderr, "usage: tagged IFACE VID TAP\n");
		return 2;
	}
	p[0] = (struct pollfd){ .fd = open_packet(argv[1]), .events = POLLIN };
	p[1] = (struct pollfd){ .fd = open_tap(argv[3]), .events = POLLIN };
	puts("ready");
	fflush(stdout);
	for (;;) {
		if (poll(p, 2, -1) < 0)
			die("poll");
		if (p[0].revents)
			in(p[0].fd, p[1].fd, vid);
		if (p[1].revents)
			out(p[1].fd, p[0].fd, vid);
	}
}
