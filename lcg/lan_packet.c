/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet socket (packet(7)) on an interface that stays the machine's own: everything that comes in is seen, super-frames
 * whole. What the machine itself sends there is not; it and the servers do not meet.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "lcg/lan_priv.h"
#include "lcg/vlan.h"
#include "lib/bits.h"
#include "lib/log.h"

#ifndef PACKET_IGNORE_OUTGOING	/* Linux 4.20 */
#define PACKET_IGNORE_OUTGOING 23
#endif

/* BUFFER: what the kernel keeps for us while others have their turn. */
enum { BATCH = 16, SOCKET_BUFFER = 8 << 20, HEADER = sizeof(struct virtio_net_hdr), ROUNDS = LAN_BURST / BATCH };

struct slot {
	struct virtio_net_hdr hdr;
	struct sockaddr_ll from;
	union { char room[CMSG_SPACE(sizeof(struct tpacket_auxdata))]; struct cmsghdr align; } control;
	struct iovec iov[2];
	uint8_t buf[LAN_HEADROOM + FRAME_MAX];
};

struct packet { struct mmsghdr msg[BATCH]; struct slot slot[BATCH]; };

/* ---- in */

/* The outer tag that the kernel took off; VLAN_NO_TCI: none. */
static uint32_t taken_tag(struct msghdr *m, uint16_t *tpid)
{
	struct tpacket_auxdata aux;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA || c->cmsg_len < CMSG_LEN(sizeof aux))
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof aux);
		if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
			return VLAN_NO_TCI;
		*tpid = aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : VLAN_TPID;
		return aux.tp_vlan_tci;
	}
	return VLAN_NO_TCI;
}

static void take(struct lan *lan, struct mmsghdr *m, struct slot *s)
{
	struct frame f = { .data = s->buf + LAN_HEADROOM, .len = m->msg_len - (unsigned)HEADER };
	uint16_t tpid = VLAN_TPID;
	uint32_t tci;

	if (m->msg_len < HEADER + FRAME_MIN || m->msg_hdr.msg_flags & MSG_TRUNC) {
		lan->counters.drop_short++;
		return;
	}
	if (s->from.sll_pkttype == PACKET_OUTGOING)
		return;
	memcpy(&f.hdr, &s->hdr, HEADER);
	tci = taken_tag(&m->msg_hdr, &tpid);
	if (tci != VLAN_NO_TCI)
		vlan_push(&f, tpid, (uint16_t)tci);
	lan_deliver(lan, &f);
}

static void prepare(struct packet *p)
{
	for (unsigned i = 0; i < BATCH; i++) {
		struct slot *s = p->slot + i;

		s->iov[0] = (struct iovec){ &s->hdr, HEADER };
		s->iov[1] = (struct iovec){ s->buf + LAN_HEADROOM, FRAME_MAX };
		p->msg[i].msg_hdr = (struct msghdr){ .msg_name = &s->from, .msg_namelen = sizeof s->from, .msg_iov = s->iov, .msg_iovlen = 2,
			.msg_control = &s->control, .msg_controllen = sizeof s->control };
	}
}

static void read_batch(struct lan *lan, int fd)
{
	struct packet *p = lan->state;

	for (unsigned round = 0; round < ROUNDS; round++) {
		int n;

		prepare(p);
		n = recvmmsg(fd, p->msg, BATCH, MSG_DONTWAIT, NULL);
		if (n < 0) {
			if (lan_read_failed(lan, -errno))
				return;
			continue;
		}
		for (int i = 0; i < n; i++)
			take(lan, p->msg + i, p->slot + i);
		if (n < BATCH)
			return;
	}
}

static void receive(void *ctx, int fd, uint32_t events)
{
	read_batch(ctx, fd);
	lan_end_batch(ctx);
}

/* ---- out */

static int send_frame(struct lan *lan, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned n)
{
	struct iovec all[4] = { { (void *)hdr, HEADER } };
	struct msghdr m = { .msg_iov = all, .msg_iovlen = n + 1 };
	ssize_t done;

	for (unsigned i = 0; i < n; i++)
		all[i + 1] = iov[i];
	do
		done = sendmsg(lan->fd, &m, MSG_DONTWAIT);
	while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : 0;
}

/* ---- its life */

static int option(struct lan *lan, int name, const void *value, socklen_t len, const char *what, struct err *err)
{
	if (!setsockopt(lan->fd, SOL_PACKET, name, value, len))
		return 0;
	return err_set(err, -errno, "network interface %s: packet socket: %s: %m", lan->config.device, what);
}

static int configure(struct lan *lan, struct err *err)
{
	struct packet_mreq all = { .mr_ifindex = lan->index, .mr_type = PACKET_MR_PROMISC };
	int one = 1, size = SOCKET_BUFFER, rc;

	rc = option(lan, PACKET_VNET_HDR, &one, sizeof one, "PACKET_VNET_HDR", err);
	rc = rc ? rc : option(lan, PACKET_AUXDATA, &one, sizeof one, "PACKET_AUXDATA", err);
	rc = rc ? rc : option(lan, PACKET_ADD_MEMBERSHIP, &all, sizeof all, "cannot see all frames", err);
	/* Older kernels: they are recognised one by one. */
	setsockopt(lan->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
	if (setsockopt(lan->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size))
		setsockopt(lan->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	return rc;
}

static int open_socket(struct lan *lan, struct err *err)
{
	const char *name = lan->config.device;
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htobe16(ETH_P_ALL) };

	lan->index = at.sll_ifindex = (int)if_nametoindex(name);
	if (!lan->index)
		return err_set(err, -ENODEV, "network interface %s does not exist", name);
	/* protocol 0: nothing comes in before all is set */
	lan->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (lan->fd < 0)
		return err_set(err, -errno, "network interface %s: packet socket: %m%s", name, errno == EPERM ? ": run with CAP_NET_RAW" : "");
	if (configure(lan, err))
		return err->code;
	if (bind(lan->fd, (struct sockaddr *)&at, sizeof at))
		return err_set(err, -errno, "network interface %s: %m", name);
	lan->state = malloc(sizeof(struct packet));
	if (!lan->state)
		return err_set(err, -ENOMEM, "network interface %s: out of memory", name);
	return lan_watch(lan, receive, err);
}

/* The kernel counts from one question to the next. */
static void count(struct lan *lan)
{
	struct tpacket_stats stats;
	socklen_t len = sizeof stats;

	if (lan->fd >= 0 && !getsockopt(lan->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
		lan->counters.drop_kernel += stats.tp_drops;
}

static void close_socket(struct lan *lan)
{
	count(lan);
	free(lan->state);
	lan->state = NULL;
}

const struct lan_ops lan_packet_ops = { .name = "packet", .open = open_socket, .send = send_frame, .count = count,
	.close = close_socket };
