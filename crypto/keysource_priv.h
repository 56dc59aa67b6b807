/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "crypto/keysource.h"

enum { ASK_MAX = 1024 };

/*
 * Ask on the terminal (/dev/tty), without echo; twice and the same when confirm is set. The terminal is as before on every
 * way out, signals included, which are delivered after that. Main thread.
 * -ENOTTY: no terminal. -EINVAL: empty, too long, or not the same.
 */
int keysource_ask(const char *prompt, bool confirm, struct secret *key, struct err *err) must_check;
