/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/duration.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int duration_parse(const char *what, const char *text, uint32_t min, uint32_t max, uint32_t *seconds, struct err *err)
{
	static const char units[] = "smhd";
	static const uint32_t factor[] = { 1, 60, 3600, 86400 };
	unsigned long long n;
	const char *unit;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : units;
	if (text[0] < '0' || text[0] > '9' || errno || !unit || (*end && end[1]))
		return err_set(err, -EINVAL, "%s \"%.40s\": is not a number and s, m, h or d", what, text);
	if (__builtin_mul_overflow(n, factor[unit - units], &n) || n < min || n > max)
		return err_set(err, -EINVAL, "%s \"%.40s\": is not %u to %u seconds", what, text, min, max);
	*seconds = (uint32_t)n;
	return 0;
}
