/* SPDX-License-Identifier: Apache-2.0 */
#include "csc/verbs.h"
#include <errno.h>
#include "csc/csc.h"

static int answer(json_t *made, json_t **ok, struct err *err)
{
	*ok = made;
	return made ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int run_status(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	return answer(csc_status(ctx), ok, err);
}

static int list(void *ctx, const json_t *request, bool relayed, json_t **ok, struct err *err)
{
	json_int_t from = json_integer_value(json_object_get(request, "from"));

	if (from < 0 || from > 1 << 30)
		return err_set(err, -EINVAL, "\"from\" is not 0 to %d", 1 << 30);
	return answer(csc_list(ctx, relayed, (unsigned)from), ok, err);
}

static int run_parked(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	return list(ctx, request, false, ok, err);
}

static int run_relayed(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	return list(ctx, request, true, ok, err);
}

const struct control_verb csc_verbs[] = {
	{ "status", run_status },
	{ "parked", run_parked },
	{ "relayed", run_relayed },
	{ NULL, NULL },
};
