/* SPDX-License-Identifier: Apache-2.0 */
/* TAP and macvtap: a descriptor that gives and takes one frame a call, behind a virtio-net header. */
#include <errno.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>
#include "lcg/lan_priv.h"
#include "lib/l2/burst.h"
#include "lib/log.h"

#ifndef TUN_F_USO4	/* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct tun { struct burst burst; uint8_t buf[LAN_HEADROOM + FRAME_MAX]; };

/* One frame: its length, 0 it was nothing, or -EAGAIN: that was all. */
static ssize_t read_frame(struct lan *lan, struct tun *t)
{
	struct frame f = { .data = t->buf + LAN_HEADROOM };
	uint8_t *at = f.data - sizeof f.hdr;	/* one piece: the kernel copies it faster than two */
	ssize_t n = read(lan->fd, at, sizeof f.hdr + FRAME_MAX);

	if (n < 0)
		return lan_read_failed(lan, -errno) ? -EAGAIN : 0;
	if ((size_t)n < sizeof f.hdr + FRAME_MIN) {
		lan->counters.drop_short++;
		return 0;
	}
	memcpy(&f.hdr, at, sizeof f.hdr);
	f.len = (size_t)n - sizeof f.hdr;
	lan_deliver(lan, &f);
	return (ssize_t)f.len;
}

static void receive(void *ctx, int fd, uint32_t events)
{
	struct lan *lan = ctx;
	struct tun *t = lan->state;
	struct burst burst = t->burst;
	size_t bytes = 0;
	unsigned i;

	for (i = 0; i < LAN_BURST && bytes < LAN_BURST_BYTES && burst_goes_on(&burst, i); i++) {
		ssize_t n = read_frame(lan, t);

		if (n < 0)
			break;
		bytes += (size_t)n;
	}
	lan_end_batch(lan);
	burst_end(&burst, i);
	if (lan->state)		/* a device that is gone lost it */
		t->burst = burst;
}

static int configure(struct lan *lan, struct err *err)
{
	static const unsigned offloads[] = { TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6,
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN };
	int size = sizeof(struct virtio_net_hdr_v1), one = 1;

	if (ioctl(lan->fd, TUNSETVNETHDRSZ, &size) < 0)
		return err_set(err, -errno, "%s: cannot set the header size: %m", lan->config.device);
	if (ioctl(lan->fd, TUNSETVNETLE, &one) < 0 && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		return err_set(err, -errno, "%s: cannot set the byte order: %m", lan->config.device);
	/* Kernels refuse what they have no word for; without it frames are merely plainer. */
	if (ioctl(lan->fd, TUNSETOFFLOAD, offloads[0]) < 0 && ioctl(lan->fd, TUNSETOFFLOAD, offloads[1]) < 0)
		log_warn("lan.%s: %s: no super-frames: %m", lan->config.name, lan->config.device);
	return 0;
}

int lan_tun_start(struct lan *lan, struct err *err)
{
	int rc = configure(lan, err);

	if (rc)
		return rc;
	lan->state = malloc(sizeof(struct tun));
	if (!lan->state)
		return err_set(err, -ENOMEM, "%s: out of memory", lan->config.device);
	((struct tun *)lan->state)->burst = (struct burst){ 0 };
	return lan_watch(lan, receive, err);
}

int lan_tun_send(struct lan *lan, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned n)
{
	struct iovec all[4] = { { (void *)hdr, sizeof *hdr } };
	ssize_t done;

	for (unsigned i = 0; i < n; i++)
		all[i + 1] = iov[i];
	do
		done = writev(lan->fd, all, (int)n + 1);
	while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : 0;
}

void lan_tun_stop(struct lan *lan)
{
	free(lan->state);
	lan->state = NULL;
}
