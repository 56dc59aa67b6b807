/* SPDX-License-Identifier: Apache-2.0 */
/* What the environment's NICs end in: the placement's nic.* keys (docs/placement.md), and who this server is on its segments. */
#pragma once
#include "hv/credentials.h"
#include "hv/net/port.h"
#include "lib/env/env.h"

struct machine;

struct wires {
	struct credentials *credentials;	/* NULL: no NIC has l2 */
	char *words[ENV_MAX_PCI];		/* lists of relays, cut into words */
};

/* Takes over the volume agent, if it runs. Before slots. */
int wires_create(struct machine *m, struct err *err) must_check;
void wires_free(struct machine *m);	/* after slots_free */
/* Does any NIC need a certificate? */
bool wires_secret(struct machine *m);
/* A NIC's wire; errors name the key. */
int wires_open(struct machine *m, const struct env_pci *nic, struct net_port **wire, struct err *err) must_check;
