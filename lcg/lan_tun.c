/* SPDX-License-Identifier: Apache-2.0 */
/* TAP and macvtap: a descriptor that gives and takes one frame a call, behind a virtio-net header. */
#include <errno.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include "lcg/lan_priv.h"
#include "lib/log.h"

#ifndef TUN_F_USO4	/* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct tun { uint8_t buf[LAN_HEADROOM + FRAME_MAX]; };

static void read_batch(struct lan *lan, int fd)
{
	struct tun *t = lan->state;

	for (unsigned i = 0; i < LAN_BURST; i++) {
		struct frame f = { .data = t->buf + LAN_HEADROOM };
		struct iovec iov[2] = { { &f.hdr, sizeof f.hdr }, { f.data, FRAME_MAX } };
		ssize_t n = readv(fd, iov, 2);

		if (n < 0) {
			if (lan_read_failed(lan, -errno))
				return;
			continue;
		}
		if ((size_t)n < sizeof f.hdr + FRAME_MIN) {
			lan->counters.drop_short++;
			continue;
		}
		f.len = (size_t)n - sizeof f.hdr;
		lan_deliver(lan, &f);
	}
}

static void receive(void *ctx, int fd, uint32_t events)
{
	read_batch(ctx, fd);
	lan_end_batch(ctx);
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
