/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/hull/hull.h"

const struct command pki_commands[] = {
	{ NULL },
};
