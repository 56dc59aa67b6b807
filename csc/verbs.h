/* SPDX-License-Identifier: Apache-2.0 */
/* What can be asked over the control socket (csc/README.md); ctx is the relay. */
#pragma once
#include "lib/control.h"

extern const struct control_verb csc_verbs[];
