/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/net/tap.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "lib/l2/offload.h"
#include "hv/net/wire.h"
#include "lib/log.h"
#include "lib/scope.h"

/* Frames a callback reads before it lets others run; pieces of a frame that are handed to the kernel as they are. */
enum { BURST = 64, PIECES = 66 };

struct tap {
	struct net_port port;
	char name[IFNAMSIZ];
	int fd;
	struct loop_watch *watch;
	size_t held;		/* length of the frame in buf that the NIC refused, 0: none */
	struct { struct virtio_net_hdr_v1 hdr; uint8_t frame[NET_FRAME_MAX]; } buf;
};

static struct tap *tap_of(struct net_port *p)
{
	return container_of(p, struct tap, port);
}

static void write_frame(struct tap *t, const struct iovec *iov, unsigned count)
{
	ssize_t n;

	do
		n = writev(t->fd, iov, (int)count);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return;
	t->port.tx.drops++;
	/* EIO is an interface that is down, EAGAIN one whose queue is full: what a real wire does with frames, too. */
	if (errno != EIO && errno != EAGAIN)
		log_limited(LOG_WARN, "tap %s: a frame was not taken: %s", t->name, strerror(errno));
}

static bool send_plain(void *ctx, const uint8_t *frame, size_t len)
{
	static const struct virtio_net_hdr_v1 none;
	struct iovec iov[2] = { { (void *)&none, sizeof none }, { (void *)frame, len } };

	write_frame(ctx, iov, 2);
	return true;
}

/* The slow path: many pieces, or a kind of segmentation that TUN refuses. */
static void send_gathered(struct tap *t, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned count)
{
	uint8_t frame[NET_FRAME_MAX];
	size_t len = net_iov_gather(iov, count, frame, sizeof frame);

	if (!len || net_segment(hdr, frame, len, send_plain, t) < 0)
		t->port.tx.drops++;
}

static void send_frame(struct net_port *p, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned count)
{
	struct tap *t = tap_of(p);
	struct virtio_net_hdr_v1 clean = *hdr;
	struct iovec all[PIECES];

	if (count >= PIECES || (hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == NET_GSO_UDP_L4) {
		send_gathered(t, hdr, iov, count);
		return;
	}
	clean.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	clean.num_buffers = 0;
	all[0] = (struct iovec){ &clean, sizeof clean };
	memcpy(all + 1, iov, count * sizeof *iov);
	write_frame(t, all, count + 1);
}

static bool deliver(struct tap *t, size_t len)
{
	return net_wire_deliver(&t->port, &t->buf.hdr, t->buf.frame, len);
}

static void listen_again(struct tap *t, bool on)
{
	if (loop_watch_set(t->watch, on ? EPOLLIN : 0) < 0)
		log_limited(LOG_ERROR, "tap %s: the event loop refused the device", t->name);
}

static void receive(void *ctx, int fd, uint32_t events)
{
	struct tap *t = ctx;

	for (unsigned i = 0; i < BURST && !t->held; i++) {
		ssize_t n = read(fd, &t->buf, sizeof t->buf);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			log_limited(LOG_ERROR, "tap %s: reading failed: %s", t->name, strerror(errno));
			if (errno == EBADFD) {		/* the device was deleted */
				listen_again(t, false);
				net_wire_set_carrier(&t->port, false);
			}
		}
		if (n < 0)
			return;
		if ((size_t)n <= sizeof t->buf.hdr)
			t->port.rx.drops++;
		else if (!deliver(t, (size_t)n - sizeof t->buf.hdr))
			t->held = (size_t)n - sizeof t->buf.hdr;
	}
	if (t->held)
		listen_again(t, false);
}

static void resume(struct net_port *p)
{
	struct tap *t = tap_of(p);

	if (!t->held || !deliver(t, t->held))
		return;
	t->held = 0;
	listen_again(t, true);
}

static void set_offload(struct net_port *p, unsigned tun_flags)
{
	struct tap *t = tap_of(p);

	/* Kernels refuse what they have no word for; without it frames are merely plainer. */
	if (ioctl(t->fd, TUNSETOFFLOAD, tun_flags) < 0 &&
	    ioctl(t->fd, TUNSETOFFLOAD, tun_flags & (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)) < 0)
		log_warn("tap %s: cannot set offloads: %s", t->name, strerror(errno));
}

static void destroy(struct net_port *p)
{
	struct tap *t = tap_of(p);

	loop_watch_remove(t->watch);
	close(t->fd);
	free(t);
}

static const struct net_port_ops ops = {
	.name = "tap",
	.send = send_frame,
	.resume = resume,
	.set_offload = set_offload,
	.free = destroy,
};

static int open_device(const char *name, struct err *err)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), e = errno;

	if (fd >= 0)
		return fd;
	if (e == ENOENT || e == ENODEV || e == ENXIO)
		return err_set(err, -e, "network device %s: /dev/net/tun is missing: load the kernel module tun", name);
	return err_set(err, -e, "network device %s: cannot open /dev/net/tun: %s", name, strerror(e));
}

/* Does the interface exist? TUNSETIFF would silently make a new one, connected to nothing. */
static int check_exists(const char *name, struct err *err)
{
	if (!name || !*name || strlen(name) >= IFNAMSIZ || strchr(name, '/') || *name == '.')
		return err_set(err, -EINVAL, "\"%s\" is no name for a network device: 1 to %d characters without '/'", name ?: "", IFNAMSIZ - 1);
	if (if_nametoindex(name))
		return 0;
	return err_set(err, -ENODEV, "network device %s does not exist: make it with `ip tuntap add dev %s mode tap vnet_hdr`",
		       name, name);
}

static int attach(int fd, const char *name, struct err *err)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) };

	memcpy(ifr.ifr_name, name, strlen(name));
	if (!ioctl(fd, TUNSETIFF, &ifr))
		return 0;
	switch (errno) {
	case EPERM:
		return err_set(err, -EPERM, "network device %s: not permitted: give it to this user with `ip tuntap add … user`, "
			       "or run with CAP_NET_ADMIN", name);
	case EBUSY:
		return err_set(err, -EBUSY, "network device %s is in use by another program", name);
	case EINVAL:
		return err_set(err, -EINVAL, "network device %s is not a TAP device that can carry offload headers "
			       "(make it with mode tap vnet_hdr)", name);
	default:
		return err_set(err, -errno, "network device %s: cannot attach: %s", name, strerror(errno));
	}
}

static int take_over(int fd, char *name, struct err *err)
{
	struct ifreq ifr = { 0 };
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || ioctl(fd, TUNGETIFF, &ifr) < 0)
		return err_set(err, -EINVAL, "descriptor %d is not an attached TAP device: %s", fd, strerror(errno));
	if ((ifr.ifr_flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)) != (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
		return err_set(err, -EINVAL, "descriptor %d (%.15s) must be a TAP device opened with vnet_hdr and without packet information", fd,
			       ifr.ifr_name);
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_set(err, -errno, "descriptor %d: cannot make it non-blocking: %s", fd, strerror(errno));
	memcpy(name, ifr.ifr_name, IFNAMSIZ - 1);
	return 0;
}

static int configure(int fd, const char *name, struct err *err)
{
	int size = sizeof(struct virtio_net_hdr_v1), one = 1;

	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
		return err_set(err, -errno, "network device %s: cannot set the header size: %s", name, strerror(errno));
	/* On a little-endian machine it is so anyway, and old kernels do not know the question. */
	if (ioctl(fd, TUNSETVNETLE, &one) < 0 && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		return err_set(err, -errno, "network device %s: cannot set the byte order: %s", name, strerror(errno));
	return 0;
}

int net_tap_open(const char *name, int given, struct loop *loop, struct net_port **port, struct err *err)
{
	auto_close int fd = given;
	auto_free struct tap *t = calloc(1, sizeof *t);
	int r;

	if (!t)
		return err_set(err, -ENOMEM, "network device: not enough memory");
	if (fd >= 0) {
		if ((r = take_over(fd, t->name, err)) < 0)
			return r;
	} else {
		if ((r = check_exists(name, err)) < 0 || (fd = r = open_device(name, err)) < 0 || (r = attach(fd, name, err)) < 0)
			return r;
		memcpy(t->name, name, strlen(name));
	}
	if ((r = configure(fd, t->name, err)) < 0)
		return r;
	net_wire_init(&t->port, &ops);
	t->port.carrier = true;
	if ((r = loop_watch_add(loop, fd, EPOLLIN, receive, t, &t->watch)) < 0)
		return err_set(err, r, "network device %s: cannot wait for frames: %s", t->name, strerror(-r));
	t->fd = take_fd(fd);
	*port = &take_ptr(t)->port;
	return 0;
}
