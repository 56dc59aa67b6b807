/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/link/link_priv.h"

static int handshake(struct link *link)
{
	return 0;
}

static ssize_t result(struct link *link, ssize_t n)
{
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EINTR)
		return -EAGAIN;
	if (errno == ETIMEDOUT)
		return link_fail(link, -ETIMEDOUT, "the other side does not answer any more");
	return link_fail(link, errno == EPIPE ? -ECONNRESET : -errno, "%s", strerror(errno));
}

static ssize_t receive(struct link *link, void *data, size_t len)
{
	ssize_t n;

	if (link->dry)
		return -EAGAIN;
	n = recv(link->fd, data, len, 0);
	link->dry = link->config.gather && n > 0 && (size_t)n < len;
	return result(link, n);
}

static ssize_t transmit(struct link *link, const void *data, size_t len)
{
	return result(link, send(link->fd, data, len, MSG_NOSIGNAL));
}

static bool pending(const struct link *link)
{
	return false;
}

static int push(struct link *link)
{
	return 0;
}

static int end(struct link *link)
{
	shutdown(link->fd, SHUT_WR);	/* a peer that is gone shows when reading */
	return 0;
}

static void key_update(struct link *link)
{
}

static void rest(struct link *link)
{
}

const struct link_io link_io_plain = { handshake, receive, transmit, pending, push, end, key_update, rest, SIZE_MAX };
