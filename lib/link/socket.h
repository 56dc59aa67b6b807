/* SPDX-License-Identifier: Apache-2.0 */
/* Stream sockets by HOST:PORT ([HOST]:PORT for IPv6), and how links want them. Any thread. */
#pragma once
#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/err.h"

enum { SOCKET_HOST = 256 };

/* The two parts; the host without brackets, perhaps empty. -EINVAL: no address, or a host of letters no host has. */
int socket_split(const char *where, char host[SOCKET_HOST], uint16_t *port, struct err *err) must_check;
/* An address to listen on (passive) or to dial, which names a host and a port that is not 0. */
int socket_check(const char *where, bool passive, struct err *err) must_check;
/* 0: numbers, which ask nobody, and *list as of socket_resolve; 1: a name to be looked up. */
int socket_numeric(const char *where, struct addrinfo **list, struct err *err) must_check;
/* Asks the resolver, which may take its time; numbers don't. passive: to listen on. The caller frees with freeaddrinfo. */
int socket_resolve(const char *where, bool passive, struct addrinfo **list, struct err *err) must_check;
/* A non-blocking socket that is connected or connecting to one address. */
int socket_connect(const struct addrinfo *to, int *fd, struct err *err) must_check;
/* A non-blocking listening socket; name (SOCKET_HOST bytes): the address with the port it got. */
int socket_listen(const char *where, int *fd, char *name, struct err *err) must_check;
/*
 * Non-blocking, close-on-exec; TCP: no delay, keepalive, and an error after dead_s without any acknowledgement; unsent_max bytes at
 * most wait in the socket to be sent (0: what the kernel likes).
 */
int socket_prepare(int fd, uint32_t dead_s, uint32_t unsent_max, struct err *err) must_check;
void socket_name_peer(int fd, char *name, size_t len);
