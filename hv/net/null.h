/* SPDX-License-Identifier: Apache-2.0 */
/* A NIC that is not cabled (carrier false), or cabled to a switch that forwards nothing (carrier true). */
#pragma once
#include "hv/net/port.h"

int net_null_create(bool carrier, struct net_port **port) must_check;	/* -ENOMEM */
