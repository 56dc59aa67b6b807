/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ethernet frames out of nothing: floods, forged senders, tags on kernels without VLAN devices. And counts those that come.
 *
 * Usage: frames [OPTION]… IFACE            sends --count frames (default 1), --rate of them a second (default: as fast as it goes)
 *        frames --listen [OPTION]… IFACE   until --count frames came, or --seconds are over (default 5); prints how many
 *   --dst MAC, --src MAC   default: broadcast; the interface's own. When listening: only those, when given
 *   --type HEX             EtherType, default 88b5 (for experiments); when listening: any, when not given
 *   --vlan N               an 802.1Q tag; when listening: only frames with it, 0: only those without one
 *   --size N               bytes from destination to end, default 60
 *   --text TEXT            the payload begins so; when listening: only frames that hold it
 * Listening exits 0 when --count came, else 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME = 65536, TAG = 4 };

struct options {
	const char *iface, *text;
	uint8_t dst[6], src[6];
	bool listen, has_dst, has_src;
	long type, vlan, size, count;	/* -1: not given */
	double rate, seconds;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "frames: %s: %s\n", what, strerror(errno));
	exit(2);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool parse_mac(const char *text, uint8_t mac[6])
{
	int end = 0;

	return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5, &end) == 6 &&
		!text[end];
}

static bool parse_option(struct options *o, const char *name, const char *value)
{
	char *end;
	double number = strtod(value, &end);

	if (strcmp(name, "--dst") == 0)
		return o->has_dst = parse_mac(value, o->dst);
	if (strcmp(name, "--src") == 0)
		return o->has_src = parse_mac(value, o->src);
	if (strcmp(name, "--text") == 0)
		return (o->text = value);
	if (strcmp(name, "--type") == 0) {
		o->type = strtol(value, &end, 16);
		return !*end && o->type >= 0 && o->type < 65536;
	}
	if (*end || number < 0 || number > 1e9)
		return false;
	if (strcmp(name, "--vlan") == 0)
		o->vlan = (long)number;
	else if (strcmp(name, "--size") == 0)
		o->size = (long)number;
	else if (strcmp(name, "--count") == 0)
		o->count = (long)number;
	else if (strcmp(name, "--rate") == 0)
		o->rate = number;
	else if (strcmp(name, "--seconds") == 0)
		o->seconds = number;
	else
		return false;
	return true;
}

static int open_iface(const char *name, int protocol)
{
	struct sockaddr_ll sa = { .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)protocol),
		.sll_ifindex = (int)if_nametoindex(name) };
	struct packet_mreq all = { .mr_ifindex = sa.sll_ifindex, .mr_type = PACKET_MR_PROMISC };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1;

	if (!sa.sll_ifindex || fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) ||
		setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
		setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) || bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
		die(name);
	return fd;
}

/* ---- sending */

static size_t build(const struct options *o, int fd, uint8_t *p)
{
	struct ifreq ifr = { 0 };
	size_t at = 12, size = (size_t)o->size, text = o->text ? strlen(o->text) : 0;

	memset(p, 0, FRAME);
	memset(p, 0xff, 6);
	if (o->has_dst)
		memcpy(p, o->dst, 6);
	strncpy(ifr.ifr_name, o->iface, IFNAMSIZ - 1);
	if (!o->has_src && ioctl(fd, SIOCGIFHWADDR, &ifr))
		die(o->iface);
	memcpy(p + 6, o->has_src ? o->src : (uint8_t *)ifr.ifr_hwaddr.sa_data, 6);
	if (o->vlan >= 0) {
		memcpy(p + at, (uint16_t[]){ htons(ETH_P_8021Q), htons((uint16_t)o->vlan) }, TAG);
		at += TAG;
	}
	memcpy(p + at, &(uint16_t){ htons((uint16_t)(o->type < 0 ? 0x88b5 : o->type)) }, 2);
	at += 2;
	if (text > FRAME - at)
		text = FRAME - at;
	memcpy(p + at, o->text ? o->text : "", text);
	return size > at + text ? size : at + text;
}

static int send_frames(const struct options *o)
{
	static uint8_t frame[FRAME];
	int fd = open_iface(o->iface, 0);
	size_t len = build(o, fd, frame);
	double begin = now();

	for (long i = 0; i < o->count; i++) {
		double ahead = o->rate > 0 ? begin + (double)i / o->rate - now() : 0;

		if (ahead > 0.001)
			usleep((useconds_t)(ahead * 1e6));
		while (send(fd, frame, len, 0) < 0)
			if (errno != ENOBUFS && errno != EINTR)
				die(o->iface);
	}
	return 0;
}

/* ---- listening */

/* The kernel takes the outer tag off the frame and hands it over beside it. */
static long tag_of(struct msghdr *m, const uint8_t *p)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (aux.tp_status & TP_STATUS_VLAN_VALID)
			return aux.tp_vlan_tci & 0xfff;
	}
	return p[12] == 0x81 && p[13] == 0 ? (p[14] << 8 | p[15]) & 0xfff : 0;
}

static bool matches(const struct options *o, const uint8_t *p, size_t len, long tag)
{
	size_t at = p[12] == 0x81 && p[13] == 0 ? 16 : 12;

	if (len < at + 2)
		return false;
	return (!o->has_dst || memcmp(p, o->dst, 6) == 0) && (!o->has_src || memcmp(p + 6, o->src, 6) == 0) &&
		(o->type < 0 || (p[at] << 8 | p[at + 1]) == o->type) && (o->vlan < 0 || tag == o->vlan) &&
		(!o->text || memmem(p, len, o->text, strlen(o->text)));
}

static int listen_frames(const struct options *o)
{
	static uint8_t frame[FRAME];
	int fd = open_iface(o->iface, ETH_P_ALL);
	double end = now() + o->seconds, left;
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	long seen = 0;

	while (seen < o->count && (left = end - now()) > 0) {
		uint8_t control[256];
		struct iovec iov = { frame, sizeof(frame) };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
		ssize_t n;

		if (poll(&poll_fd, 1, (int)(left * 1000) + 1) <= 0)
			continue;
		n = recvmsg(fd, &m, MSG_DONTWAIT);
		if (n >= 16 && matches(o, frame, (size_t)n, tag_of(&m, frame)))
			seen++;
	}
	printf("%ld\n", seen);
	return seen < o->count;
}

int main(int argc, char **argv)
{
	struct options o = { .type = -1, .vlan = -1, .size = 60, .count = 1, .seconds = 5 };

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--listen") == 0) {
			o.listen = true;
		} else if (argv[i][0] != '-' && !o.iface) {
			o.iface = argv[i];
		} else if (i + 1 == argc || !parse_option(&o, argv[i], argv[i + 1])) {
			fprintf(stderr, "frames: what is %s?\n", argv[i]);
			return 2;
		} else {
			i++;
		}
	}
	if (!o.iface || o.size > FRAME) {
		fputs("usage: frames [--listen] [OPTION]... IFACE\n", stderr);
		return 2;
	}
	return o.listen ? listen_frames(&o) : send_frames(&o);
}
