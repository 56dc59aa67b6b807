/* SPDX-License-Identifier: Apache-2.0 */
/* A message between hull-hv and its agent, from either side; what passes must be safe to use. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "crypto/luks/agent.h"

/* What goes beside a message as an identity's public half. */
static void unpack(const struct agent_message *m, const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	struct err err = { .text = "" };
	struct identity id = { 0 };

	if (fd < 0 || write(fd, data, size) != (ssize_t)size || fcntl(fd, F_ADD_SEALS, 0xf))
		abort();
	if (!agent_unpack_identity(m, fd, &id, &err) && (!id.cert || !id.ca || !id.key))
		abort();
	identity_drop(&id);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct agent_message m;
	struct err err = { .text = "" };
	size_t len = size;

	/* Short inputs stand for the head of a whole message, so that the fuzzer need not find its length. */
	memset(&m, 0, sizeof m);
	memcpy(&m, data, size < sizeof m ? size : sizeof m);
	if (size && data[size - 1] != 0xff)
		len = sizeof m;
	for (int from_agent = 0; from_agent < 2; from_agent++) {
		int rc = agent_message_check(&m, len, from_agent, &err);

		if (rc && (!err.text[0] || strchr(err.text, '\n')))
			abort();
		if (rc)
			continue;
		if (len != sizeof m || !memchr(m.volume, 0, sizeof m.volume) || !memchr(m.text, 0, sizeof m.text))
			abort();
		if (m.kind == AGENT_OPENED && (m.key_len > AGENT_KEY || m.layout.segment_count > 2 || !m.layout.segment[0].sector))
			abort();
	}
	if (size && data[0] & 1) {
		m.key_len = size < AGENT_KEY ? (uint32_t)size : AGENT_KEY;
		memcpy(m.key, data + (size - m.key_len), m.key_len);
		unpack(&m, data + 1, size - 1);
	}
	return 0;
}
