/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/lan.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "lcg/lan_priv.h"
#include "lcg/vlan.h"
#include "lib/bits.h"
#include "lib/l2/coalesce.h"
#include "lib/l2/offload.h"
#include "lib/log.h"
#include "lib/scope.h"

enum { MACS = 2 * FRAME_MAC };

static const struct lan_ops *const kinds[LAN_KINDS] = {
	[LAN_TAP] = &lan_tap_ops, [LAN_PACKET] = &lan_packet_ops, [LAN_MACVTAP] = &lan_macvtap_ops,
};

/* ---- does its cable work? */

static bool has_carrier(const struct netdevs *devs, const char *name)
{
	const struct netdev *d = netdevs_find(devs, name);

	return d && d->carrier;
}

/* Some other member's cable; a bridge without another member serves its machine alone, which is there. */
static bool bridge_works(const struct lan *lan, const struct netdev *self)
{
	const struct netdev *bridge = netdevs_find(lan->devs, lan->config.bridge), *d;
	unsigned others = 0;

	if (!bridge || !bridge->up || self->master != bridge->index)
		return false;
	for (unsigned i = 0; (d = netdevs_at(lan->devs, i)); i++) {
		if (d->master != bridge->index || d->index == self->index)
			continue;
		if (d->carrier)
			return true;
		others++;
	}
	return !others;
}

static bool look(const struct lan *lan, const struct netdev *self)
{
	if (lan->fd < 0 || !self || self->index != lan->index || !self->up || !self->carrier)
		return false;
	if (*lan->config.uplink)
		return has_carrier(lan->devs, lan->config.uplink);
	return *lan->config.bridge ? bridge_works(lan, self) : true;
}

static uint32_t find_mtu(const struct lan *lan, const struct netdev *self)
{
	const struct netdev *bridge = *lan->config.bridge ? netdevs_find(lan->devs, lan->config.bridge) : NULL;

	if (!self)
		return lan->mtu;
	return bridge && bridge->mtu < self->mtu ? bridge->mtu : self->mtu;
}

static void let_go(struct lan *lan)
{
	loop_watch_remove(lan->watch);
	lan->watch = NULL;
	lan->ops->close(lan);
	if (lan->fd >= 0)
		close(lan->fd);
	lan->fd = -1;
}

static void open_again(struct lan *lan)
{
	struct err err;

	if (lan->ops->open(lan, &err)) {
		log_limited(LOG_WARN, "lan.%s: %s", lan->config.name, err.text);
		let_go(lan);
	} else {
		log_info("lan.%s: %s is back", lan->config.name, lan->config.device);
	}
}

void lan_update(struct lan *lan)
{
	const struct netdev *self = netdevs_find(lan->devs, lan->config.device);
	bool works;

	if (lan->fd >= 0 && (!self || self->index != lan->index)) {
		log_warn("lan.%s: %s is gone", lan->config.name, lan->config.device);
		let_go(lan);
	}
	if (lan->fd < 0 && self) {
		open_again(lan);
		self = netdevs_find(lan->devs, lan->config.device);
	}
	works = look(lan, self);
	lan->mtu = find_mtu(lan, self);
	if (works == lan->works)
		return;
	lan->works = works;
	lan->counters.carrier_changes++;
	log_info("lan.%s: %s", lan->config.name, works ? "works" : "has no carrier");
	if (lan->started)
		lan->on_works(lan->ctx, works);
}

/* ---- in */

void lan_deliver(struct lan *lan, struct frame *f)
{
	lan->counters.in.frames++;
	lan->counters.in.bytes += f->len;
	f->hdr.num_buffers = 0;
	coalesce_frame(lan->coalesce, f);
}

void lan_end_batch(struct lan *lan)
{
	coalesce_flush(lan->coalesce);
	lan->counters.coalesced = coalesce_counters(lan->coalesce)->datagrams;
}

static void hand_on(void *ctx, struct frame *f)
{
	struct lan *lan = ctx;

	lan->frame(lan->ctx, f);
}

bool lan_read_failed(struct lan *lan, int code)
{
	if (code == -EINTR)
		return false;
	if (code == -EAGAIN)
		return true;
	/* down, or deleted: netdev.h tells when it is back. A descriptor that goes on being ready would keep the loop busy. */
	if (code != -ENETDOWN && code != -EBADFD && code != -ENODEV)
		log_limited(LOG_ERROR, "lan.%s: reading from %s failed: %s", lan->config.name, lan->config.device, strerror(-code));
	if (code == -EBADFD || code == -ENODEV)
		let_go(lan);
	return true;
}

int lan_watch(struct lan *lan, loop_fd_fn *fn, struct err *err)
{
	int rc = loop_watch_add(lan->loop, lan->fd, lan->started ? EPOLLIN : 0, fn, lan, &lan->watch);

	return rc ? err_set(err, rc, "%s: cannot be watched: %s", lan->config.device, strerror(-rc)) : 0;
}

/* ---- out */

/* One frame as the kernel shall see it: tagged without moving its bytes. */
struct out { struct virtio_net_hdr_v1 hdr; uint8_t tag[VLAN_TAG]; struct iovec iov[3]; unsigned n; };

static void lay_out(struct out *o, const struct frame *f, uint32_t tci)
{
	o->hdr = f->hdr;
	o->hdr.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	o->hdr.num_buffers = 0;
	if (tci == VLAN_NO_TCI) {
		o->iov[0] = (struct iovec){ f->data, f->len };
		o->n = 1;
		return;
	}
	put_be16(o->tag, VLAN_TPID);
	put_be16(o->tag + 2, (uint16_t)tci);
	o->iov[0] = (struct iovec){ f->data, MACS };
	o->iov[1] = (struct iovec){ o->tag, VLAN_TAG };
	o->iov[2] = (struct iovec){ f->data + MACS, f->len - MACS };
	o->n = 3;
	if (o->hdr.flags)
		o->hdr.csum_start = htole16((uint16_t)(le16toh(o->hdr.csum_start) + VLAN_TAG));
	if (o->hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		o->hdr.hdr_len = htole16((uint16_t)(le16toh(o->hdr.hdr_len) + VLAN_TAG));
}

static void count_failure(struct lan *lan, int code)
{
	struct lan_counters *c = &lan->counters;

	if (code == -EAGAIN || code == -ENOBUFS) {
		c->drop_full++;
	} else if (code == -EIO || code == -ENETDOWN || code == -ENODEV || code == -EBADFD || code == -ENXIO) {
		c->drop_down++;
	} else {
		c->drop_refused++;
		log_limited(LOG_WARN, "lan.%s: %s took a frame for none: %s", lan->config.name, lan->config.device, strerror(-code));
	}
}

static bool send_piece(void *ctx, const uint8_t *frame, size_t len)
{
	static const struct virtio_net_hdr_v1 none;
	struct lan *lan = ctx;
	struct iovec iov = { (void *)frame, len };
	int rc = lan->ops->send(lan, &none, &iov, 1);

	if (rc)
		count_failure(lan, rc);
	return rc != -EAGAIN && rc != -ENOBUFS;
}

/* For kernels that refuse a kind of segmentation: what they would have done. */
static void send_plain(struct lan *lan, const struct out *o)
{
	uint8_t frame[FRAME_MAX + VLAN_TAG];
	size_t len = net_iov_gather(o->iov, o->n, frame, FRAME_MAX);

	lan->counters.software++;
	if (!len || net_segment(&o->hdr, frame, len, send_piece, lan) < 0)
		lan->counters.drop_refused++;
}

/* Which kinds of segmentation the kernel refused, a bit each, tagged ones apart. */
static unsigned kind_bit(const struct out *o, bool tagged)
{
	return BIT((o->hdr.gso_type & 7u) + (tagged ? 8u : 0u));
}

void lan_send(struct lan *lan, const struct frame *f, uint32_t tci)
{
	bool tagged = tci != VLAN_NO_TCI || f->vid != FRAME_NO_VID, segments = f->hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE;
	struct out o;
	int rc;

	if (lan->fd < 0) {
		lan->counters.drop_down++;
		return;
	}
	lay_out(&o, f, tci);
	lan->counters.out.frames++;
	lan->counters.out.bytes += f->len;
	rc = segments && lan->plain & kind_bit(&o, tagged) ? -EINVAL : lan->ops->send(lan, &o.hdr, o.iov, o.n);
	if (rc == -EINVAL && segments) {
		if (!(lan->plain & kind_bit(&o, tagged)))
			log_info("lan.%s: %s takes no %ssuper-frames of kind %u: they are cut up here", lan->config.name, lan->config.device,
				tagged ? "tagged " : "", o.hdr.gso_type & 7u);
		lan->plain |= kind_bit(&o, tagged);
		send_plain(lan, &o);
	} else if (rc) {
		count_failure(lan, rc);
	}
}

/* ---- its life */

int lan_check(const struct lan_config *config, const struct netdevs *devs, struct err *err)
{
	const struct netdev *bridge = *config->bridge ? netdevs_find(devs, config->bridge) : NULL;

	if (*config->bridge && (!bridge || strcmp(bridge->kind, "bridge")))
		return err_set(err, -ENODEV, "lan.%s: %s is no bridge: make it with `ip link add %s type bridge`", config->name, config->bridge,
			config->bridge);
	if (*config->uplink && !netdevs_find(devs, config->uplink))
		return err_set(err, -ENODEV, "lan.%s.uplink: there is no network interface %s", config->name, config->uplink);
	return 0;
}

int lan_create(struct loop *loop, const struct lan_config *config, struct netdevs *devs, struct lan **lan, struct err *err)
{
	struct lan *l = calloc(1, sizeof *l);
	int rc;

	*lan = NULL;
	if (!l)
		return err_set(err, -ENOMEM, "lan.%s: out of memory", config->name);
	rc = lan_check(config, devs, err);
	if (rc) {
		free(l);
		return rc;
	}
	*l = (struct lan){ .ops = kinds[config->kind], .config = *config, .loop = loop, .devs = devs, .fd = -1 };
	rc = coalesce_create(hand_on, l, &l->coalesce) ? err_set(err, -ENOMEM, "out of memory") : l->ops->open(l, err);
	if (rc) {
		rc = err_prefix(err, "lan.%s", config->name);
		lan_free(l);
		return rc;
	}
	/* its own interface may be one that open made */
	if (netdevs_refresh(devs, err))
		log_warn("%s", err->text);
	lan_update(l);
	*lan = l;
	return 0;
}

void lan_start(struct lan *lan, lan_frame_fn *frame, lan_works_fn *works, void *ctx)
{
	lan->frame = frame;
	lan->on_works = works;
	lan->ctx = ctx;
	lan->started = true;
	if (lan->watch && loop_watch_set(lan->watch, EPOLLIN))
		log_error("lan.%s: the event loop refused the device", lan->config.name);
	works(ctx, lan->works);
}

void lan_free(struct lan *lan)
{
	if (!lan)
		return;
	let_go(lan);
	coalesce_free(lan->coalesce);
	free(lan);
}

bool lan_is_same(const struct lan *lan, const struct lan_config *config)
{
	return lan->config.kind == config->kind && !strcmp(lan->config.device, config->device);
}

void lan_rename(struct lan *lan, const struct lan_config *config)
{
	bool moved = strcmp(lan->config.bridge, config->bridge);
	struct err err;

	bug_on(!lan_is_same(lan, config));
	lan->config = *config;
	if (moved && lan->fd >= 0 && lan_tap_join(lan, &err))
		log_error("lan.%s: %s", lan->config.name, err.text);
	lan_update(lan);
}

bool lan_works(const struct lan *lan) { return lan->works; }
uint32_t lan_mtu(const struct lan *lan) { return lan->mtu; }
const struct lan_config *lan_config(const struct lan *lan) { return &lan->config; }

const struct lan_counters *lan_counters(struct lan *lan)
{
	if (lan->ops->count)
		lan->ops->count(lan);
	return &lan->counters;
}
