/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "hv/block/nbd_priv.h"
#include "lib/bits.h"
#include "lib/scope.h"

#define LOOK_MS 100		/* how often a thread that connects looks whether it is still wanted */
#define PARTING_MS 1000
#define MOST_BYTES (8u << 20)	/* of one command's data */

static struct nbd_api api;

int nbd_link_load(const struct nbd_api **out, struct err *err)
{
	static const char *const names[] = {
#define F(name) "nbd_" #name,
		NBD_FUNCTIONS(F)
#undef F
	};
	void *library, *to[] = {
#define F(name) &api.name,
		NBD_FUNCTIONS(F)
#undef F
	};

	*out = &api;
	if (api.create)
		return 0;
	library = dlopen("libnbd.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return err_set(err, -ENOENT, "NBD volumes need libnbd.so.0 (Debian package libnbd0): %s", dlerror());
	/* nbd_create, whose pointer says that all is there, comes first in the table and is set last. */
	for (size_t i = array_len(names); i-- > 0;) {
		void *function = dlsym(library, names[i]);

		if (!function) {
			dlclose(library);
			return err_set(err, -ENOENT, "libnbd.so.0 has no %s: version 1.14 or later is needed", names[i]);
		}
		memcpy(to[i], &function, sizeof function);
	}
	return 0;
}

/* ---- what the server says of itself */

static int read_sizes(struct nbd_handle *h, struct nbd_facts *f, struct err *err)
{
	int64_t size = api.get_size(h), min = api.get_block_size(h, LIBNBD_SIZE_MINIMUM);
	int64_t preferred = api.get_block_size(h, LIBNBD_SIZE_PREFERRED), max = api.get_block_size(h, LIBNBD_SIZE_MAXIMUM);

	if (size < 0)
		return err_set(err, -EIO, "the server does not say how large the volume is");
	f->size = (uint64_t)size;
	f->min = min < 512 ? 512 : (uint32_t)min;
	if (min > 65536 || !bits_is_pow2(f->min))
		return err_set(err, -ENOTSUP, "the server wants blocks of at least %lld bytes; powers of two up to 65536 can be served",
			       (long long)min);
	f->preferred = preferred > 512 && preferred <= 65536 && bits_is_pow2((uint64_t)preferred) ? (uint32_t)preferred : 4096;
	if (f->preferred < f->min)
		f->preferred = f->min;
	f->max = max <= 0 || max > MOST_BYTES ? MOST_BYTES : (uint32_t)max & ~(f->min - 1);
	if (f->max < 4096 || f->max < f->min)
		return err_set(err, -ENOTSUP, "the server takes no more than %lld bytes at a time", (long long)max);
	return 0;
}

static int read_facts(struct nbd_handle *h, struct nbd_facts *f, struct err *err)
{
	*f = (struct nbd_facts){
		.readonly = api.is_read_only(h) > 0, .flush = api.can_flush(h) > 0, .fua = api.can_fua(h) > 0,
		.trim = api.can_trim(h) > 0, .zero = api.can_zero(h) > 0, .multi_conn = api.can_multi_conn(h) > 0,
	};
	return read_sizes(h, f, err);
}

/* ---- connecting */

static int failed(struct err *err)
{
	int code = api.get_errno();

	return err_set(err, code > 0 ? -code : -EIO, "%s", api.get_error());
}

static int negotiate(struct nbd_handle *h, const char *uri, uint64_t end_ns, const atomic_bool *stop, struct err *err)
{
	if (api.set_uri_allow_transports(h, LIBNBD_ALLOW_TRANSPORT_TCP | LIBNBD_ALLOW_TRANSPORT_UNIX) < 0 ||
	    api.aio_connect_uri(h, uri) < 0)
		return failed(err);
	while (!api.aio_is_ready(h)) {
		if (api.aio_is_dead(h) || api.aio_is_closed(h))
			return err_set(err, -ECONNRESET, "the server closed the connection");
		if (stop && atomic_load(stop))
			return err_set(err, -ECANCELED, "no longer wanted");
		if (loop_now_ns() > end_ns)
			return err_set(err, -ETIMEDOUT, "the server does not answer");
		if (api.poll(h, LOOK_MS) < 0)
			return failed(err);
	}
	return 0;
}

static int connect_link(const char *uri, unsigned timeout_ms, const atomic_bool *stop, struct nbd_link *link, struct err *err)
{
	uint64_t end_ns = loop_now_ns() + timeout_ms * 1000000ull;
	int r;

	link->h = api.create();
	if (!link->h)
		return failed(err);
	r = negotiate(link->h, uri, end_ns, stop, err);
	r = r ? r : read_facts(link->h, &link->facts, err);
	if (r)
		nbd_link_close(link, false);
	return r;
}

int nbd_link_open(const char *uri, unsigned timeout_ms, struct nbd_link *link, struct err *err)
{
	return connect_link(uri, timeout_ms, NULL, link, err);
}

void nbd_link_close(struct nbd_link *link, bool politely)
{
	uint64_t end_ns = loop_now_ns() + PARTING_MS * 1000000ull;

	if (!link->h)
		return;
	if (politely && api.aio_is_ready(link->h) && !api.aio_disconnect(link->h, 0)) {
		while (!api.aio_is_closed(link->h) && !api.aio_is_dead(link->h) && loop_now_ns() < end_ns)
			if (api.poll(link->h, LOOK_MS) < 0)
				break;
	}
	api.close(link->h);
	link->h = NULL;
}

/* ---- connecting on a thread of its own */

struct nbd_dial {
	char *uri;
	unsigned timeout_ms;
	int fd;			/* eventfd: the attempt is over */
	atomic_bool stop;
	atomic_uint owners;	/* the thread and who started it */
	/* the thread's until fd is readable */
	struct nbd_link link;
	struct err err;
	int result;
};

static void put_dial(struct nbd_dial *d)
{
	if (atomic_fetch_sub(&d->owners, 1) > 1)
		return;
	nbd_link_close(&d->link, false);
	close(d->fd);
	free(d->uri);
	free(d);
}

static void *dial_thread(void *arg)
{
	struct nbd_dial *d = arg;
	uint64_t one = 1;

	pthread_setname_np(pthread_self(), "nbd");
	d->result = connect_link(d->uri, d->timeout_ms, &d->stop, &d->link, &d->err);
	while (write(d->fd, &one, sizeof one) < 0 && errno == EINTR)
		;
	put_dial(d);
	return NULL;
}

static int start_thread(struct nbd_dial *d)
{
	sigset_t all, old;
	pthread_t thread;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&thread, NULL, dial_thread, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return r;
	pthread_detach(thread);
	return 0;
}

int nbd_dial_start(const char *uri, unsigned timeout_ms, struct nbd_dial **dial)
{
	struct nbd_dial *d = calloc(1, sizeof *d);
	int r;

	if (!d)
		return -ENOMEM;
	d->timeout_ms = timeout_ms;
	d->uri = strdup(uri);
	d->fd = eventfd(0, EFD_CLOEXEC);
	atomic_store(&d->owners, 2);
	r = d->fd < 0 ? -errno : !d->uri ? -ENOMEM : start_thread(d);
	if (r) {
		scope_close(&d->fd);
		free(d->uri);
		free(d);
		return r;
	}
	*dial = d;
	return 0;
}

int nbd_dial_fd(const struct nbd_dial *d)
{
	return d->fd;
}

int nbd_dial_take(struct nbd_dial *d, struct nbd_link *link, struct err *err)
{
	uint64_t count;
	int r;

	/* Also orders what the thread wrote before what is read here. */
	while (read(d->fd, &count, sizeof count) < 0 && errno == EINTR)
		;
	r = d->result;
	*link = d->link;
	d->link.h = NULL;
	if (r)
		err_set(err, r, "%s", d->err.text);
	put_dial(d);
	return r;
}

void nbd_dial_abandon(struct nbd_dial *d)
{
	struct pollfd p;

	if (!d)
		return;
	atomic_store(&d->stop, true);
	p = (struct pollfd){ .fd = d->fd, .events = POLLIN };
	poll(&p, 1, PARTING_MS);
	put_dial(d);
}
