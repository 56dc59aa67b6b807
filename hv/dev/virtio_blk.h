/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio block device (virtio 1.2 §5.2): read, write, flush, identify, discard, write zeroes; one queue, every entry of it
 * may be in flight, completions in any order. Ends in a struct block. Under the device lock.
 */
#pragma once
#include "hv/block/block.h"
#include "hv/dev/virtio_pci.h"

struct virtio_blk;

/*
 * The disk is the first one of the place's environment node; block must hold its size and serve its sectors. The block stays
 * the caller's and outlives the device. -EINVAL with a message when the two do not fit, -ENOMEM.
 */
int virtio_blk_create(struct virtio_blk **blk, const struct virtio_place *place, struct block *block, struct err *err) must_check;
/* Drains the block; requests in flight are carried out, nobody is told. NULL is fine. */
void virtio_blk_free(struct virtio_blk *blk);
/* The function to attach to a bus. */
struct pci_dev *virtio_blk_pci(struct virtio_blk *blk);
