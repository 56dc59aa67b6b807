/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/link/socket.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "lib/scope.h"

enum { BACKLOG = 512, PROBES = 3 };

int socket_split(const char *where, char host[SOCKET_HOST], uint16_t *port, struct err *err)
{
	const char *colon = strrchr(where, ':'), *digits = colon ? colon + 1 : "";
	size_t len = colon ? (size_t)(colon - where) : 0, n = strlen(digits);
	unsigned long number;

	if (!n || n > 5 || strspn(digits, "0123456789") != n || len >= SOCKET_HOST)
		return err_set(err, -EINVAL, "address \"%.80s\": is not HOST:PORT", where);
	number = strtoul(digits, NULL, 10);
	if (number > UINT16_MAX)
		return err_set(err, -EINVAL, "address \"%.80s\": a port is at most 65535", where);
	if (len >= 2 && where[0] == '[' && where[len - 1] == ']') {
		where++;
		len -= 2;
	} else if (memchr(where, ':', len)) {
		return err_set(err, -EINVAL, "address \"%.80s\": an IPv6 host stands in brackets, [HOST]:PORT", where);
	}
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)where[i]) && !strchr(":.-_%", where[i]))
			return err_set(err, -EINVAL, "address \"%.80s\": no host has such a name", where);
	memcpy(host, where, len);
	host[len] = 0;
	*port = (uint16_t)number;
	return 0;
}

int socket_check(const char *where, bool passive, struct err *err)
{
	char host[SOCKET_HOST];
	uint16_t port;
	int rc = socket_split(where, host, &port, err);

	if (!rc && !host[0] && !passive)
		return err_set(err, -EINVAL, "address \"%.80s\": names no host", where);
	if (!rc && !port && !passive)
		return err_set(err, -EINVAL, "address \"%.80s\": names no port", where);
	return rc;
}

/* getaddrinfo's own code; the address has been checked. */
static int ask(const char *where, int flags, struct addrinfo **list)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags };
	char host[SOCKET_HOST], digits[8];
	uint16_t port = 0;

	if (socket_split(where, host, &port, NULL))
		return EAI_NONAME;
	snprintf(digits, sizeof digits, "%u", port);
	return getaddrinfo(host[0] ? host : NULL, digits, &want, list);
}

static int trouble(const char *where, int code, struct err *err)
{
	return err_set(err, code == EAI_SYSTEM ? -errno : -EHOSTUNREACH, "address \"%.80s\": %s", where, gai_strerror(code));
}

int socket_resolve(const char *where, bool passive, struct addrinfo **list, struct err *err)
{
	int rc = socket_check(where, passive, err);

	*list = NULL;
	if (rc)
		return rc;
	rc = ask(where, passive ? AI_PASSIVE : 0, list);
	return rc ? trouble(where, rc, err) : 0;
}

int socket_numeric(const char *where, struct addrinfo **list, struct err *err)
{
	int rc = socket_check(where, false, err);

	*list = NULL;
	if (rc)
		return rc;
	rc = ask(where, AI_NUMERICHOST, list);
	return rc == EAI_NONAME ? 1 : rc ? trouble(where, rc, err) : 0;
}

int socket_connect(const struct addrinfo *to, int *out, struct err *err)
{
	auto_close int fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*out = -1;
	if (fd < 0)
		return err_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	if (connect(fd, to->ai_addr, to->ai_addrlen) && errno != EINPROGRESS)
		return err_set(err, -errno, "cannot connect: %s", strerror(errno));
	*out = take_fd(fd);
	return 0;
}

static void name_address(const struct sockaddr *addr, socklen_t alen, char *name, size_t len)
{
	char host[INET6_ADDRSTRLEN], port[8];

	if (addr->sa_family == AF_UNIX)
		snprintf(name, len, "unix");
	else if (getnameinfo(addr, alen, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(name, len, "unknown");
	else
		snprintf(name, len, addr->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

void socket_name_peer(int fd, char *name, size_t len)
{
	struct sockaddr_storage addr;
	socklen_t alen = sizeof addr;

	if (getpeername(fd, (struct sockaddr *)&addr, &alen))
		snprintf(name, len, "unknown");
	else
		name_address((struct sockaddr *)&addr, alen, name, len);
}

int socket_listen(const char *where, int *out, char *name, struct err *err)
{
	struct addrinfo *list;
	struct sockaddr_storage addr;
	socklen_t alen = sizeof addr;
	auto_close int fd = -1;
	int rc = socket_resolve(where, true, &list, err), one = 1;

	*out = -1;
	if (rc)
		return rc;
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) || bind(fd, list->ai_addr, list->ai_addrlen) ||
	    listen(fd, BACKLOG) || getsockname(fd, (struct sockaddr *)&addr, &alen))
		rc = err_set(err, -errno, "cannot listen on %.80s: %s", where, strerror(errno));
	freeaddrinfo(list);
	if (rc)
		return rc;
	name_address((struct sockaddr *)&addr, alen, name, SOCKET_HOST);
	*out = take_fd(fd);
	return 0;
}

static int set_tcp(int fd, uint32_t dead_s)
{
	int one = 1, third = (int)(dead_s / (PROBES + 1)), probes = PROBES;
	unsigned ms = dead_s * 1000;

	third = third ? third : 1;
	return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) ||
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) ||
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &third, sizeof third) ||
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &third, sizeof third) ||
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes) ||
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms) ? -errno : 0;
}

int socket_prepare(int fd, uint32_t dead_s, uint32_t unsent_max, struct err *err)
{
	int flags = fcntl(fd, F_GETFL), protocol = 0, rc = 0;
	socklen_t len = sizeof protocol;

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC) ||
	    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len))
		rc = -errno;
	if (!rc && protocol == IPPROTO_TCP)
		rc = set_tcp(fd, dead_s);
	if (!rc && protocol == IPPROTO_TCP && unsent_max &&
	    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_max, sizeof unsent_max))
		rc = -errno;
	return rc ? err_set(err, rc, "socket: cannot be set up: %s", strerror(-rc)) : 0;
}
