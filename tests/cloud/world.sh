# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The world of the demo and of tests with a cloud VM, on tests/net/topology.sh, which is sourced before this: a data center, the internet, a cloud.
#
#   client           lan (the data center)         internet                  cloud (the provider)
#   eth0 ────────── lan0 | wan0 ───────────────── west | east ───────────── wan0 | vms ─────────── vm0, the cloud VM's NIC
#   192.0.2.50  192.0.2.1  203.0.113.10        tests/tools/wan.c      203.0.113.20 NAT 10.20.0.1   10.20.0.5
#
#   world_make [FIGURE=VALUE…]   all of it; FIGUREs as wan's
#   $world_nic                   the cloud VM's NIC, for tests/cloud/vm --nic, which must run in the namespace `cloud`

world_router=192.0.2.1 world_client=192.0.2.50
world_lan=203.0.113.10 world_cloud=203.0.113.20
world_vm=10.20.0.5 world_vm_router=10.20.0.1
world_nic=tap,ifname=vm0,script=no,downscript=no

world_make() {
	net_space client lan cloud && net_internet "$@" && net_uplink lan west $world_lan/24 && net_uplink cloud east $world_cloud/24 &&
		net_cable client eth0 lan port1 && net_bridge lan lan0 port1 && net_address lan lan0 $world_router/24 &&
		net_address client eth0 $world_client/24 && net_ip client route add default via $world_router && world_provider
}
# The cloud VM has a private address, and the way out is translated.
world_provider() {
	net_ip cloud tuntap add vm0 mode tap vnet_hdr && net_bridge cloud vms vm0 && net_address cloud vms $world_vm_router/24 &&
		ns cloud sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward' &&
		ns cloud nft 'add table ip provider; add chain ip provider out { type nat hook postrouting priority srcnat; };
			add rule ip provider out oifname "wan0" masquerade'
}
