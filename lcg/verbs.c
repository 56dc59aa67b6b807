/* SPDX-License-Identifier: Apache-2.0 */
/* What may be asked for over the control socket. */
#include <errno.h>
#include "lcg/gateway_priv.h"
#include "lib/log.h"

static int from_of(const json_t *request, unsigned *from, struct err *err)
{
	const int most = LCG_LANS + LCG_SEGMENTS + LCG_NICS;
	const json_t *v = json_object_get(request, "from");

	*from = 0;
	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > most)
		return err_set(err, -EINVAL, "\"from\" is not 0 to %d", most);
	*from = (unsigned)json_integer_value(v);
	return 0;
}

static int do_status(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	unsigned from;
	int rc = from_of(request, &from, err);

	if (!rc && !(*ok = gateway_status(ctx, from)))
		rc = err_set(err, -ENOMEM, "out of memory");
	return rc;
}

static int do_counters(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	unsigned from;
	int rc = from_of(request, &from, err);

	if (!rc && !(*ok = gateway_counters(ctx, from)))
		rc = err_set(err, -ENOMEM, "out of memory");
	return rc;
}

static int do_reload(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	int rc = gateway_reload(ctx, err);

	if (rc)
		log_error("the new configuration is not taken, the old one stays: %s", err->text);
	else
		log_info("configuration read again");
	return rc;
}

const struct control_verb gateway_verbs[] = {
	{ "status", do_status }, { "counters", do_counters }, { "reload", do_reload }, { NULL, NULL },
};
