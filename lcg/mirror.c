/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/mirror.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include "lib/l2/offload.h"
#include "lib/l2/pcap.h"
#include "lib/log.h"
#include "lib/scope.h"

struct mirror {
	enum mirror_kind kind;
	char *to;
	struct pcap_writer *pcap;
	int fd;
	struct mirror_counters counters;
};

/* ---- a TAP device */

static int bring_up(const char *name, struct err *err)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { .ifr_name = "" };

	strncpy(r.ifr_name, name, IFNAMSIZ - 1);
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &r))
		return err_set(err, -errno, "%s: %m", name);
	r.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &r) ? err_set(err, -errno, "%s: cannot be brought up: %m", name) : 0;
}

static int open_tap(struct mirror *m, struct err *err)
{
	struct ifreq r = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) };
	int size = sizeof(struct virtio_net_hdr_v1);

	strncpy(r.ifr_name, m->to, IFNAMSIZ - 1);
	m->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (m->fd < 0 || ioctl(m->fd, TUNSETIFF, &r) < 0 || ioctl(m->fd, TUNSETVNETHDRSZ, &size) < 0)
		return err_set(err, -errno, "tap:%s: %m", m->to);
	return bring_up(m->to, err);
}

static void lose(struct mirror *m, int code)
{
	m->counters.drop_device++;
	log_limited(LOG_WARN, "mirror tap:%s: takes no copy: %s", m->to, strerror(code));
}

static bool write_plain(void *ctx, const uint8_t *frame, size_t len)
{
	static const struct virtio_net_hdr_v1 none;
	struct iovec iov[2] = { { (void *)&none, sizeof none }, { (void *)frame, len } };
	struct mirror *m = ctx;
	bool ok = writev(m->fd, iov, 2) >= 0;

	if (!ok)
		lose(m, errno);
	return ok;
}

static void write_tap(struct mirror *m, const struct frame *f)
{
	struct virtio_net_hdr_v1 hdr = f->hdr;
	struct iovec iov[2] = { { &hdr, sizeof hdr }, { f->data, f->len } };

	hdr.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr.num_buffers = 0;
	if (writev(m->fd, iov, 2) >= 0)
		return;
	if (errno != EINVAL || hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		lose(m, errno);
	else if (net_segment(&f->hdr, f->data, f->len, write_plain, m) < 0)
		lose(m, EINVAL);
}

/* ---- all of it */

int mirror_create(enum mirror_kind kind, const char *to, struct mirror **mirror, struct err *err)
{
	struct mirror *m = calloc(1, sizeof *m);
	int rc = 0;

	*mirror = NULL;
	if (!m || !(m->to = strdup(to))) {
		free(m);
		return err_set(err, -ENOMEM, "mirror: out of memory");
	}
	m->kind = kind;
	m->fd = -1;
	rc = kind == MIRROR_TAP ? open_tap(m, err) : pcap_writer_create(&(struct pcap_config){ .path = m->to }, &m->pcap, err);
	if (rc) {
		mirror_free(m);
		return err_prefix(err, "mirror");
	}
	*mirror = m;
	return 0;
}

void mirror_free(struct mirror *m)
{
	if (!m)
		return;
	pcap_writer_free(m->pcap);
	if (m->fd >= 0)
		close(m->fd);
	free(m->to);
	free(m);
}

bool mirror_is_same(const struct mirror *m, enum mirror_kind kind, const char *to)
{
	return m && m->kind == kind && !strcmp(m->to, to);
}

void mirror_frame(struct mirror *m, const struct frame *f)
{
	struct timespec now;

	m->counters.frames++;
	if (m->kind == MIRROR_TAP) {
		write_tap(m, f);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	pcap_writer_frame(m->pcap, f, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
}

void mirror_counters(struct mirror *m, struct mirror_counters *counters)
{
	struct pcap_counters p;

	*counters = m->counters;
	if (!m->pcap)
		return;
	pcap_writer_counters(m->pcap, &p);
	counters->drop_busy = p.drop_busy;
	counters->drop_disk = p.drop_disk;
}
