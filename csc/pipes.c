/* SPDX-License-Identifier: Apache-2.0 */
#include "csc/pipes.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct pipes {
	struct pipe kept[PIPES_KEPT];	/* empty ones; large ones are taken first, so they lie last */
	unsigned count, taken, large;	/* large: there are, taken or kept */
};

int pipes_create(struct pipes **out, struct err *err)
{
	*out = calloc(1, sizeof **out);
	return *out ? 0 : err_set(err, -ENOMEM, "pipes: out of memory");
}

static void drop(struct pipes *p, const struct pipe *pipe)
{
	p->large -= pipe->size >= PIPES_LARGE;
	close(pipe->in);
	close(pipe->out);
}

void pipes_free(struct pipes *p)
{
	if (!p)
		return;
	bug_on(p->taken);
	while (p->count)
		drop(p, &p->kept[--p->count]);
	free(p);
}

/* What the kernel allows: a user without privilege gets less when he has much already. */
static int make(struct pipes *p, struct pipe *pipe)
{
	int fd[2], size;

	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	if (p->large < PIPES_LARGE_MAX)
		(void)!fcntl(fd[1], F_SETPIPE_SZ, PIPES_LARGE);
	size = fcntl(fd[1], F_GETPIPE_SZ);
	*pipe = (struct pipe){ .in = fd[1], .out = fd[0], .size = size > 0 ? (size_t)size : 4096 };
	p->large += pipe->size >= PIPES_LARGE;
	return 0;
}

int pipes_take(struct pipes *p, struct pipe *pipe)
{
	int rc = 0;

	if (p->count)
		*pipe = p->kept[--p->count];
	else
		rc = make(p, pipe);
	p->taken += !rc;
	return rc;
}

void pipes_give(struct pipes *p, struct pipe *pipe, bool empty)
{
	unsigned at = p->count;

	p->taken--;
	if (!empty || p->count == PIPES_KEPT) {
		drop(p, pipe);
		return;
	}
	if (pipe->size < PIPES_LARGE)	/* below the large ones */
		for (at = 0; at < p->count && p->kept[at].size < PIPES_LARGE; at++)
			;
	memmove(&p->kept[at + 1], &p->kept[at], (p->count - at) * sizeof *pipe);
	p->kept[at] = *pipe;
	p->count++;
}

unsigned pipes_taken(const struct pipes *p)
{
	return p->taken;
}
