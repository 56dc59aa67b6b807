/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/tap.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "lib/l2/coalesce.h"
#include "lib/l2/offload.h"
#include "lib/l2/wire.h"
#include "lib/log.h"
#include "lib/scope.h"

/* Younger than some kernel headers (Linux 6.2). */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* What a round reads before others have their turn: many small frames, few big ones. */
enum { FRAMES_A_ROUND = 64, BYTES_A_ROUND = 262144 };
enum { GSO_TYPES = 8 };

struct tap {
	struct tap_ops ops;
	void *ctx;
	char name[IFNAMSIZ];
	int fd;
	bool paused, gone;
	bool refuses[GSO_TYPES];	/* kinds of segmentation that the kernel refused once */
	struct loop_watch *watch;
	struct tap_counters counters;
	struct coalesce *coalesce;
	uint8_t *buffer;		/* headroom, whose end is the virtio-net header, and a frame */
};

/* ---- frames to the kernel */

/* 0, or -errno after it was counted; -EINVAL is not counted. */
static int put(struct tap *t, const uint8_t *data, size_t len)
{
	ssize_t n;

	do
		n = write(t->fd, data, len);
	while (n < 0 && errno == EINTR);
	if (n >= 0) {
		t->counters.out.frames++;
		t->counters.out.bytes += len - WIRE_VNET;
		return 0;
	}
	n = -errno;
	if (n == -EIO || n == -ENETDOWN)
		t->counters.drop_down++;
	else if (n == -EAGAIN || n == -ENOBUFS)
		t->counters.drop_full++;
	else if (n != -EINVAL)
		t->counters.drop_refused++;
	return (int)n;
}

static bool put_plain(void *ctx, const uint8_t *frame, size_t len)
{
	struct tap *t = ctx;
	static const struct virtio_net_hdr_v1 none;
	uint8_t buffer[WIRE_VNET + 2048], *data = buffer;
	auto_free uint8_t *large = len > 2048 ? malloc(WIRE_VNET + len) : NULL;

	if (len > 2048 && !large) {
		t->counters.drop_refused++;
		return true;
	}
	data = large ? large : buffer;
	memcpy(data, &none, WIRE_VNET);
	memcpy(data + WIRE_VNET, frame, len);
	if (put(t, data, WIRE_VNET + len) == -EINVAL)
		t->counters.drop_refused++;
	return true;
}

static void put_segments(struct tap *t, const struct frame *f)
{
	t->counters.segmented++;
	if (net_segment(&f->hdr, f->data, f->len, put_plain, t))
		t->counters.drop_refused++;
}

void tap_write(struct tap *t, struct frame *f)
{
	uint8_t *at = f->data - WIRE_VNET;
	unsigned type = f->hdr.gso_type & (unsigned)~VIRTIO_NET_HDR_GSO_ECN;

	if (t->gone) {
		t->counters.drop_down++;
		return;
	}
	if (type && t->refuses[type % GSO_TYPES]) {
		put_segments(t, f);
		return;
	}
	memcpy(at, &f->hdr, WIRE_VNET);
	if (put(t, at, WIRE_VNET + f->len) != -EINVAL)
		return;
	if (!type) {
		t->counters.drop_refused++;
		log_limited(LOG_WARN, "tap %s: the kernel refused a frame", t->name);
		return;
	}
	/* some kernels take less than they say (and some than they said before an update) */
	log_info("tap %s: the kernel does not take segmentation of kind %u: done here", t->name, type);
	t->refuses[type % GSO_TYPES] = true;
	put_segments(t, f);
}

/* ---- frames from the kernel */

static void lose(struct tap *t)
{
	t->gone = true;
	if (loop_watch_set(t->watch, 0))
		log_limited(LOG_ERROR, "tap %s: the event loop refused the device", t->name);
	if (t->ops.gone)
		t->ops.gone(t->ctx);
}

static void hand_over(void *ctx, struct frame *f)
{
	struct tap *t = ctx;

	t->ops.frame(t->ctx, f);
}

/* False: the device is gone. */
static bool read_round(struct tap *t, int fd)
{
	uint8_t *at = t->buffer + COALESCE_HEADROOM - WIRE_VNET;
	size_t bytes = 0;

	for (unsigned i = 0; i < FRAMES_A_ROUND && bytes < BYTES_A_ROUND && !t->paused; i++) {
		struct frame f = { .data = t->buffer + COALESCE_HEADROOM };
		ssize_t n = read(fd, at, WIRE_VNET + FRAME_MAX);

		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR && errno != EBADFD)
				log_limited(LOG_ERROR, "tap %s: reading failed: %s", t->name, strerror(errno));
			return errno != EBADFD;
		}
		if (n <= WIRE_VNET) {
			t->counters.drop_short++;
			continue;
		}
		f.len = (size_t)n - WIRE_VNET;
		bytes += f.len;
		memcpy(&f.hdr, at, WIRE_VNET);
		t->counters.in.frames++;
		t->counters.in.bytes += f.len;
		coalesce_frame(t->coalesce, &f);
	}
	return true;
}

static void on_readable(void *ctx, int fd, uint32_t events)
{
	struct tap *t = ctx;

	bool here = read_round(t, fd);

	coalesce_flush(t->coalesce);
	t->counters.coalesced = coalesce_counters(t->coalesce)->datagrams;
	if (here)
		return;
	log_error("tap %s: the device was deleted", t->name);
	lose(t);
}

void tap_pause(struct tap *t, bool pause)
{
	if (t->paused == pause || t->gone)
		return;
	t->paused = pause;
	if (loop_watch_set(t->watch, pause ? 0 : EPOLLIN))
		log_limited(LOG_ERROR, "tap %s: the event loop refused the device", t->name);
}

void tap_set_carrier(struct tap *t, bool up)
{
	int on = up;

	if (ioctl(t->fd, TUNSETCARRIER, &on))
		log_limited(LOG_WARN, "tap %s: the carrier cannot be set: %s", t->name, strerror(errno));
}

/* ---- life */

static int check_name(const char *name, struct err *err)
{
	if (!*name || strlen(name) >= IFNAMSIZ || strchr(name, '/') || *name == '.')
		return err_set(err, -EINVAL, "\"%s\" is no name for a network device: 1 to %d characters without '/'", name,
			       IFNAMSIZ - 1);
	/* TUNSETIFF would make a new one, connected to nothing */
	if (!if_nametoindex(name))
		return err_set(err, -ENODEV, "network device %s does not exist: make it with `ip tuntap add dev %s mode tap vnet_hdr`",
			       name, name);
	return 0;
}

static int attach(struct tap *t, const char *name, struct err *err)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) };
	int size = WIRE_VNET, little = 1;
	unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

	t->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (t->fd < 0)
		return err_set(err, -errno, "network device %s: cannot open /dev/net/tun: %s", name, strerror(errno));
	memcpy(ifr.ifr_name, name, strlen(name));
	memcpy(t->name, name, strlen(name));
	if (ioctl(t->fd, TUNSETIFF, &ifr))
		return err_set(err, -errno, "network device %s: cannot attach: %s", name,
			       errno == EBUSY ? "another program has it" :
			       errno == EINVAL ? "it is no TAP device with vnet_hdr" : strerror(errno));
	if (ioctl(t->fd, TUNSETVNETHDRSZ, &size))
		return err_set(err, -errno, "network device %s: cannot set the header size: %s", name, strerror(errno));
	if (ioctl(t->fd, TUNSETVNETLE, &little) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		return err_set(err, -errno, "network device %s: cannot set the byte order: %s", name, strerror(errno));
	if (ioctl(t->fd, TUNSETOFFLOAD, offloads | TUN_F_USO4 | TUN_F_USO6) && ioctl(t->fd, TUNSETOFFLOAD, offloads))
		log_warn("tap %s: no offloads: %s", name, strerror(errno));
	return 0;
}

void tap_free(struct tap *t)
{
	if (!t)
		return;
	loop_watch_remove(t->watch);
	scope_close(&t->fd);
	coalesce_free(t->coalesce);
	free(t->buffer);
	free(t);
}

int tap_open(struct loop *loop, const char *name, const struct tap_ops *ops, void *ctx, struct tap **out, struct err *err)
{
	struct tap *t;
	int rc = check_name(name, err);

	*out = NULL;
	if (rc)
		return rc;
	t = calloc(1, sizeof *t);
	if (!t)
		return err_set(err, -ENOMEM, "network device %s: out of memory", name);
	*t = (struct tap){ .ops = *ops, .ctx = ctx, .fd = -1, .buffer = malloc(COALESCE_HEADROOM + FRAME_MAX) };
	rc = t->buffer && !coalesce_create(hand_over, t, &t->coalesce) ? attach(t, name, err) :
		err_set(err, -ENOMEM, "network device %s: out of memory", name);
	if (!rc && (rc = loop_watch_add(loop, t->fd, EPOLLIN, on_readable, t, &t->watch)))
		err_set(err, rc, "network device %s: cannot wait for frames: %s", name, strerror(-rc));
	if (rc) {
		tap_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

/* ---- questions */

const char *tap_name(const struct tap *t)
{
	return t->name;
}

const struct tap_counters *tap_counters(const struct tap *t)
{
	return &t->counters;
}
