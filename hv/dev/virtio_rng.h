/* SPDX-License-Identifier: Apache-2.0 */
/* virtio entropy device (virtio 1.2 §5.4): buffers filled by getrandom(2), at a bounded rate. Under the device lock. */
#pragma once
#include "hv/dev/virtio_pci.h"

#define VIRTIO_RNG_REQUEST 4096		/* most bytes one buffer gets; a longer one is used short */
#define VIRTIO_RNG_ROUND 16384		/* most bytes in one go under the lock, then VIRTIO_RNG_PAUSE_NS go by */
#define VIRTIO_RNG_PAUSE_NS 1000000

struct virtio_rng;

int virtio_rng_create(struct virtio_rng **rng, const struct virtio_place *place, struct err *err) must_check;	/* -ENOMEM */
void virtio_rng_free(struct virtio_rng *rng);	/* NULL is fine */
/* The function to attach to a bus. */
struct pci_dev *virtio_rng_pci(struct virtio_rng *rng);
