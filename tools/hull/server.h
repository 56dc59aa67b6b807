/* SPDX-License-Identifier: Apache-2.0 */
/* Inside `hull server`: what a file of its own shows. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

void server_show_net(const json_t *ok);
