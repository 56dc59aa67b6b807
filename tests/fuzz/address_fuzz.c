/* SPDX-License-Identifier: Apache-2.0 */
/* An address of any bytes: split; what is taken reads back as itself, and numbers are numbers to the resolver too. */
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/link/socket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char host[SOCKET_HOST], again[SOCKET_HOST], back[SOCKET_HOST + 16], *where = malloc(size + 1);
	struct addrinfo *list = NULL;
	struct err err = { .text = "" };
	uint16_t port, same;

	memcpy(where, data, size);
	where[size] = 0;
	if (socket_split(where, host, &port, &err)) {
		if (!err.text[0])
			abort();
	} else {
		snprintf(back, sizeof back, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
		if (socket_split(back, again, &same, &err) || strcmp(host, again) || port != same)
			abort();
		if (!socket_numeric(where, &list, &err))
			freeaddrinfo(list);
	}
	free(where);
	return 0;
}
