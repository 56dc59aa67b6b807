/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/mss.h"
#include <string.h>
#include "lib/bits.h"
#include "lib/l2/checksum.h"
#include "lib/l2/offload.h"

enum { SYN = 2, CSUM = 16, OPTION_END = 0, OPTION_NOP = 1, OPTION_MSS = 2, IP_ICMP = 1, IP_ICMP6 = 58, MIN4 = 576, MIN6 = 1280 };

/* Replace 16 bits at a place of the packet that may be odd. RFC 1624: HC' = ~(~HC + ~m + m') */
static void replace(uint8_t *tcp, size_t at, uint16_t value, bool complete)
{
	uint16_t old = get_be16(tcp + at), new = value;
	uint32_t sum;

	put_be16(tcp + at, value);
	/* What is still to be summed up holds the pseudo header only. */
	if (!complete)
		return;
	if (at & 1) {
		old = __builtin_bswap16(old);
		new = __builtin_bswap16(new);
	}
	sum = (uint16_t)~get_be16(tcp + CSUM) + (uint32_t)(uint16_t)~old + new;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	put_be16(tcp + CSUM, (uint16_t)~sum);
}

bool mss_clamp(struct frame *f, unsigned v4, unsigned v6)
{
	unsigned limit = f->type == NET_ETH_IPV6 ? v6 : v4;
	uint8_t *tcp = f->data + f->l4;
	size_t at = 20, end = f->payload - (size_t)f->l4;

	if (f->proto != NET_IP_TCP || !f->l4 || !(tcp[13] & SYN) || !limit)
		return false;
	while (at < end && tcp[at] != OPTION_END) {
		if (tcp[at] == OPTION_NOP) {
			at++;
			continue;
		}
		if (at + 2 > end || tcp[at + 1] < 2 || at + tcp[at + 1] > end)
			return false;
		if (tcp[at] == OPTION_MSS && tcp[at + 1] == 4) {
			if (get_be16(tcp + at + 2) <= limit)
				return false;
			replace(tcp, at + 2, (uint16_t)limit, !(f->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM));
			return true;
		}
		at += tcp[at + 1];
	}
	return false;
}

bool mss_exceeds(const struct frame *f, unsigned mtu)
{
	size_t size = le16toh(f->hdr.gso_size);

	if (f->hdr.gso_type && f->payload)
		return f->payload - (size_t)f->l3 + size > mtu && f->end - f->l3 > mtu;
	return (f->l3 ? f->end - f->l3 : f->len - f->body) > mtu;
}

static bool is_error(const struct frame *f, bool v6)
{
	uint8_t type;

	if (f->proto != (v6 ? IP_ICMP6 : IP_ICMP) || !f->l4)
		return false;
	type = f->data[f->l4];
	return v6 ? type < 128 : type != 0 && type != 8 && type != 13 && type != 14;
}

static size_t reply4(const struct frame *f, unsigned mtu, uint8_t *ip)
{
	const uint8_t *old = f->data + f->l3;
	size_t quote = f->end - f->l3 < MIN4 - 28 ? f->end - f->l3 : MIN4 - 28;

	memset(ip, 0, 28);
	ip[0] = 0x45;
	put_be16(ip + 2, (uint16_t)(28 + quote));
	ip[8] = 64;
	ip[9] = IP_ICMP;
	memcpy(ip + 12, old + 16, 4);
	memcpy(ip + 16, old + 12, 4);
	net_sum_store(ip + 10, (uint16_t)~net_sum_fold(net_sum(0, ip, 20)));
	ip[20] = 3;
	ip[21] = 4;
	put_be16(ip + 26, (uint16_t)(mtu > 0xffff ? 0xffff : mtu));
	memcpy(ip + 28, old, quote);
	net_sum_store(ip + 22, (uint16_t)~net_sum_fold(net_sum(0, ip + 20, 8 + quote)));
	return 28 + quote;
}

static size_t reply6(const struct frame *f, unsigned mtu, uint8_t *ip)
{
	const uint8_t *old = f->data + f->l3;
	size_t quote = f->end - f->l3 < MIN6 - 48 ? f->end - f->l3 : MIN6 - 48;

	memset(ip, 0, 48);
	ip[0] = 0x60;
	put_be16(ip + 4, (uint16_t)(8 + quote));
	ip[6] = IP_ICMP6;
	ip[7] = 64;
	memcpy(ip + 8, old + 24, 16);
	memcpy(ip + 24, old + 8, 16);
	ip[40] = 2;
	put_be32(ip + 44, mtu);
	memcpy(ip + 48, old, quote);
	net_sum_store(ip + 42, (uint16_t)~net_sum_fold(net_sum(net_sum_be16(net_sum_pseudo(ip, 1, IP_ICMP6), (uint16_t)(8 + quote)),
		ip + 40, 8 + quote)));
	return 48 + quote;
}

size_t mss_reply(const struct frame *f, unsigned mtu, uint8_t buf[MSS_REPLY_MAX])
{
	bool v6 = f->type == NET_ETH_IPV6;
	const uint8_t *ip = f->data + f->l3;
	size_t at = f->l3;

	if (!f->l3 || f->fragment || is_error(f, v6) || at > MSS_REPLY_MAX - MIN6 || frame_is_multicast(f))
		return 0;
	if (v6 ? mtu < MIN6 : mtu < 68 || !(ip[6] & 0x40))
		return 0;
	/* Nobody's and groups' addresses get no errors (RFC 1122 §3.2.2, RFC 4443 §2.4). */
	if (v6 ? ip[8] == 0xff || ip[24] == 0xff || !(get_be64(ip + 8) | get_be64(ip + 16)) :
	    ip[12] >= 224 || ip[16] >= 224 || !get_be32(ip + 12))
		return 0;
	memcpy(buf, f->data, at);
	memcpy(buf, frame_src(f), FRAME_MAC);
	memcpy(buf + FRAME_MAC, frame_dst(f), FRAME_MAC);
	return at + (v6 ? reply6(f, mtu, buf + at) : reply4(f, mtu, buf + at));
}
