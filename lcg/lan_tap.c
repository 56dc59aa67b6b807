/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TAP device. As a bridge's member it may be made here: it is connected to something then, and goes when the gateway does.
 * Without a bridge it must be there, for a fresh one would be a LAN with nobody on it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lcg/lan_priv.h"
#include "lib/log.h"
#include "lib/scope.h"

static void set_name(struct ifreq *r, const char *name)
{
	memset(r, 0, sizeof *r);
	memcpy(r->ifr_name, name, strnlen(name, IFNAMSIZ - 1));
}

static int attach(struct lan *lan, struct err *err)
{
	const char *name = lan->config.device;
	struct ifreq r;

	if (!*lan->config.bridge && !if_nametoindex(name))
		return err_set(err, -ENODEV, "network device %s does not exist: make it with `ip tuntap add dev %s mode tap vnet_hdr`, "
			"or let it be made as a member of a bridge (tap:%s,bridge:BRIDGE)", name, name, name);
	set_name(&r, name);
	r.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	if (!ioctl(lan->fd, TUNSETIFF, &r))
		return 0;
	switch (errno) {
	case EPERM:
		return err_set(err, -EPERM, "network device %s: not permitted: run with CAP_NET_ADMIN, or give the device to this user with "
			"`ip tuntap add … user`", name);
	case EBUSY:
		return err_set(err, -EBUSY, "network device %s is in use by another program", name);
	case EINVAL:
		return err_set(err, -EINVAL, "network device %s is not a TAP device that can carry offload headers (mode tap vnet_hdr)", name);
	default:
		return err_set(err, -errno, "network device %s: cannot attach: %m", name);
	}
}

/* The machine itself has nothing to say on this wire: its neighbour discovery would come out in the server's segment. */
static void silence(const char *name)
{
	char path[64 + IFNAMSIZ];
	auto_close int fd = -1;

	snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1", 1) != 1)
		log_debug("%s: %m", path);
}

static int control(int fd, const char *name, unsigned long request, struct ifreq *r, const char *what, struct err *err)
{
	if (!ioctl(fd, request, r))
		return 0;
	return err_set(err, -errno, "network device %s: %s: %m", name, what);
}

static int bring_up(int fd, const struct lan *lan, struct err *err)
{
	const char *name = lan->config.device;
	struct ifreq r;
	int rc;

	set_name(&r, name);
	rc = control(fd, name, SIOCGIFFLAGS, &r, "flags", err);
	if (rc || r.ifr_flags & IFF_UP)
		return rc;
	r.ifr_flags |= IFF_UP;
	return control(fd, name, SIOCSIFFLAGS, &r, "cannot be brought up", err);
}

/* A member with the default MTU would cut a bridge of jumbo frames down. */
static int copy_mtu(int fd, const struct lan *lan, struct err *err)
{
	const struct netdev *bridge = netdevs_find(lan->devs, lan->config.bridge);
	struct ifreq r;

	if (!bridge)
		return err_set(err, -ENODEV, "bridge %s is gone", lan->config.bridge);
	set_name(&r, lan->config.device);
	r.ifr_mtu = (int)bridge->mtu;
	return control(fd, lan->config.device, SIOCSIFMTU, &r, "MTU", err);
}

static int leave(int fd, const struct lan *lan, int master, struct err *err)
{
	struct ifreq r = { .ifr_ifindex = lan->index };

	if (!if_indextoname((unsigned)master, r.ifr_name))
		return 0;
	return control(fd, lan->config.device, SIOCBRDELIF, &r, "cannot leave its bridge", err);
}

int lan_tap_join(struct lan *lan, struct err *err)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const struct netdev *self, *bridge;
	struct ifreq r;
	int rc = fd < 0 ? err_set(err, -errno, "socket: %m") : netdevs_refresh(lan->devs, err);

	if (rc)
		return rc;
	self = netdevs_find(lan->devs, lan->config.device);
	bridge = netdevs_find(lan->devs, lan->config.bridge);
	if (self && self->master && (!bridge || self->master != bridge->index))
		rc = leave(fd, lan, self->master, err);
	if (!rc && *lan->config.bridge && !(self && bridge && self->master == bridge->index)) {
		rc = copy_mtu(fd, lan, err);
		set_name(&r, lan->config.bridge);
		r.ifr_ifindex = lan->index;
		silence(lan->config.device);
		if (!rc)
			rc = control(fd, lan->config.bridge, SIOCBRADDIF, &r, "does not take the TAP device in", err);
		if (!rc)
			rc = bring_up(fd, lan, err);
	}
	return rc;
}

static int open_tap(struct lan *lan, struct err *err)
{
	int rc;

	lan->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (lan->fd < 0)
		return err_set(err, -errno, "/dev/net/tun: %m%s", errno == ENOENT || errno == ENODEV ? ": load the kernel module tun" : "");
	rc = attach(lan, err);
	if (rc)
		return rc;
	lan->index = (int)if_nametoindex(lan->config.device);
	if (*lan->config.bridge)
		rc = lan_tap_join(lan, err);
	return rc ? rc : lan_tun_start(lan, err);
}

const struct lan_ops lan_tap_ops = { .name = "tap", .open = open_tap, .send = lan_tun_send, .close = lan_tun_stop };
