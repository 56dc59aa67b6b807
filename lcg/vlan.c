/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/vlan.h"
#include <string.h>
#include "lib/bits.h"

enum { MACS = 2 * FRAME_MAC };

uint32_t vlan_tci(const struct frame *f)
{
	if (f->len < MACS + VLAN_TAG + 2 || get_be16(f->data + MACS) != VLAN_TPID)
		return VLAN_NO_TCI;
	return get_be16(f->data + MACS + 2);
}

/* A header that says less than the tag's length is a lie, which frame_parse finds. */
static void move_offsets(struct frame *f, int by)
{
	if (f->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		f->hdr.csum_start = htole16((uint16_t)(le16toh(f->hdr.csum_start) + by));
	if (f->hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE && f->hdr.hdr_len)
		f->hdr.hdr_len = htole16((uint16_t)(le16toh(f->hdr.hdr_len) + by));
}

void vlan_pop(struct frame *f)
{
	memmove(f->data + VLAN_TAG, f->data, MACS);
	f->data += VLAN_TAG;
	f->len -= VLAN_TAG;
	move_offsets(f, -VLAN_TAG);
}

void vlan_push(struct frame *f, uint16_t tpid, uint16_t tci)
{
	f->data -= VLAN_TAG;
	f->len += VLAN_TAG;
	memmove(f->data, f->data + VLAN_TAG, MACS);
	put_be16(f->data + MACS, tpid);
	put_be16(f->data + MACS + 2, tci);
	move_offsets(f, VLAN_TAG);
}
