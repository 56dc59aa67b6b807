/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/netdev.h"
#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/log.h"

/* <linux/if.h> has it, and cannot stand beside <net/if.h> everywhere. */
enum { FLAG_LOWER_UP = 1 << 16, BUFFER = 65536 };

struct netdevs {
	struct loop *loop;
	loop_fn *changed;
	void *ctx;
	int fd;
	struct loop_watch *watch;
	unsigned count;
	struct netdev dev[NETDEVS];
	uint8_t buf[BUFFER];
};

/* ---- the table */

static struct netdev *by_index(struct netdevs *d, int index)
{
	for (unsigned i = 0; i < d->count; i++)
		if (d->dev[i].index == index)
			return d->dev + i;
	return NULL;
}

static void put(struct netdevs *d, const struct netdev *dev)
{
	struct netdev *old = by_index(d, dev->index);

	if (!old && d->count == NETDEVS) {
		log_limited(LOG_WARN, "more than %d network interfaces: the others are not looked at", NETDEVS);
		return;
	}
	if (!old)
		old = d->dev + d->count++;
	*old = *dev;
}

static void drop(struct netdevs *d, int index)
{
	struct netdev *old = by_index(d, index);

	if (old)
		*old = d->dev[--d->count];
}

/* ---- messages */

static uint32_t u32_of(const struct rtattr *a)
{
	uint32_t v = 0;

	if (RTA_PAYLOAD(a) >= sizeof v)
		memcpy(&v, RTA_DATA(a), sizeof v);
	return v;
}

static void text_of(const struct rtattr *a, char *text, size_t room)
{
	size_t n = strnlen(RTA_DATA(a), RTA_PAYLOAD(a));

	n = n < room ? n : room - 1;
	memcpy(text, RTA_DATA(a), n);
	text[n] = 0;
}

static void read_macvlan(struct rtattr *data, struct netdev *dev)
{
	int len = (int)RTA_PAYLOAD(data);

	for (struct rtattr *a = RTA_DATA(data); RTA_OK(a, len); a = RTA_NEXT(a, len))
		if (a->rta_type == IFLA_MACVLAN_MODE)
			dev->macvlan_mode = u32_of(a);
}

static void read_info(struct rtattr *info, struct netdev *dev)
{
	struct rtattr *data = NULL;
	int len = (int)RTA_PAYLOAD(info);

	for (struct rtattr *a = RTA_DATA(info); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		if (a->rta_type == IFLA_INFO_KIND)
			text_of(a, dev->kind, sizeof dev->kind);
		else if (a->rta_type == IFLA_INFO_DATA)
			data = a;
	}
	if (data && (!strcmp(dev->kind, "macvtap") || !strcmp(dev->kind, "macvlan")))
		read_macvlan(data, dev);
}

static void read_attribute(struct rtattr *a, struct netdev *dev)
{
	switch (a->rta_type & NLA_TYPE_MASK) {
	case IFLA_IFNAME: text_of(a, dev->name, sizeof dev->name); break;
	case IFLA_MASTER: dev->master = (int)u32_of(a); break;
	case IFLA_LINK: dev->lower = (int)u32_of(a); break;
	case IFLA_MTU: dev->mtu = u32_of(a); break;
	case IFLA_ADDRESS:
		if (RTA_PAYLOAD(a) == sizeof dev->mac)
			memcpy(dev->mac, RTA_DATA(a), sizeof dev->mac);
		break;
	case IFLA_LINKINFO: read_info(a, dev); break;
	default: break;
	}
}

static bool on_message(struct netdevs *d, const struct nlmsghdr *h)
{
	struct ifinfomsg *info = NLMSG_DATA(h);
	struct netdev dev = { .index = 0 };
	int len;

	if ((h->nlmsg_type != RTM_NEWLINK && h->nlmsg_type != RTM_DELLINK) || h->nlmsg_len < NLMSG_LENGTH(sizeof *info))
		return false;
	/* a bridge tells about its members in its own family; what is wanted comes in the common one, too */
	if (info->ifi_family != AF_UNSPEC)
		return false;
	if (h->nlmsg_type == RTM_DELLINK) {
		drop(d, info->ifi_index);
		return true;
	}
	dev.index = info->ifi_index;
	dev.up = info->ifi_flags & IFF_UP;
	dev.carrier = dev.up && info->ifi_flags & FLAG_LOWER_UP;
	len = (int)IFLA_PAYLOAD(h);
	for (struct rtattr *a = IFLA_RTA(info); RTA_OK(a, len); a = RTA_NEXT(a, len))
		read_attribute(a, &dev);
	put(d, &dev);
	return true;
}

/* What is there now. True: something was told. *done: the end of a dump was seen. -ENOBUFS: events were lost. */
static int receive(struct netdevs *d, int fd, bool *told, bool *done)
{
	ssize_t n = recv(fd, d->buf, sizeof d->buf, 0);
	size_t left;

	if (n < 0)
		return -errno;
	left = (size_t)n;
	for (struct nlmsghdr *h = (struct nlmsghdr *)d->buf; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			*done = true;
		else
			*told |= on_message(d, h);
	}
	return 0;
}

/* ---- all of them */

static int open_socket(uint32_t groups, int flags, struct err *err)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = groups };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE), rc;

	if (fd >= 0 && !bind(fd, (struct sockaddr *)&addr, sizeof addr))
		return fd;
	rc = err_set(err, -errno, "network interfaces: netlink: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

int netdevs_refresh(struct netdevs *d, struct err *err)
{
	struct { struct nlmsghdr h; struct ifinfomsg info; } ask = { .h = { .nlmsg_len = sizeof ask, .nlmsg_type = RTM_GETLINK,
		.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = 1 }, .info.ifi_family = AF_UNSPEC };
	int fd = open_socket(0, 0, err), rc = 0;
	bool done = false, told = false;

	if (fd < 0)
		return fd;
	d->count = 0;
	if (send(fd, &ask, sizeof ask, 0) != (ssize_t)sizeof ask)
		rc = -EIO;
	while (!rc && !done)
		rc = receive(d, fd, &told, &done);
	close(fd);
	return rc ? err_set(err, rc, "network interfaces: cannot be listed: %s", strerror(-rc)) : 0;
}

static void on_event(void *ctx, int fd, uint32_t events)
{
	struct netdevs *d = ctx;
	bool told = false, done = false;
	struct err err;
	int rc;

	do
		rc = receive(d, fd, &told, &done);
	while (!rc);
	if (rc != -EAGAIN && rc != -EINTR) {
		if (netdevs_refresh(d, &err))
			log_limited(LOG_ERROR, "%s", err.text);
		told = true;
	}
	if (told)
		d->changed(d->ctx);
}

int netdevs_create(struct loop *loop, loop_fn *changed, void *ctx, struct netdevs **devs, struct err *err)
{
	struct netdevs *d = calloc(1, sizeof *d);
	int rc;

	*devs = NULL;
	if (!d)
		return err_set(err, -ENOMEM, "network interfaces: out of memory");
	d->changed = changed;
	d->ctx = ctx;
	/* events first, then the list: what changes in between is told twice rather than never */
	d->fd = rc = open_socket(RTMGRP_LINK, SOCK_NONBLOCK, err);
	if (rc >= 0) {
		rc = loop_watch_add(loop, d->fd, EPOLLIN, on_event, d, &d->watch);
		if (rc)
			(void)err_set(err, rc, "network interfaces: %s", strerror(-rc));
	}
	rc = rc < 0 ? rc : netdevs_refresh(d, err);
	if (rc)
		netdevs_free(d);
	else
		*devs = d;
	return rc;
}

void netdevs_free(struct netdevs *d)
{
	if (!d)
		return;
	loop_watch_remove(d->watch);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}

const struct netdev *netdevs_find(const struct netdevs *d, const char *name)
{
	for (unsigned i = 0; i < d->count; i++)
		if (!strcmp(d->dev[i].name, name))
			return d->dev + i;
	return NULL;
}

const struct netdev *netdevs_at(const struct netdevs *d, unsigned i)
{
	return i < d->count ? d->dev + i : NULL;
}
