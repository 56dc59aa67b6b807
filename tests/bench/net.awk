# SPDX-License-Identifier: Apache-2.0
# The network benchmark's table out of its samples: `net FIGURE WHO KEY VALUE`.
# goal: `>N`, `<N` a bound for hull's value, `>rN` a lower bound for the ratio hull/peer
function median(list,   n, v, i, j, t) {
	n = split(list, v, " ")
	for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j] + 0 < v[j - 1] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
	return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
function value(figure, who, key) { return (figure, who, key) in s ? median(s[figure, who, key]) : "-" }
function show(v) { return v == "-" ? v : sprintf(v < 10 ? "%.3f" : v < 1000 ? "%.1f" : "%.0f", v) }
function line(title, h, p, goal,   ratio, met) {
	if (p == "-" && (title ~ /^  / || h == "-" && goal == "")) return
	ratio = h == "-" || p == "-" || p == 0 ? "-" : sprintf("%.2f", h / p)
	met = goal == "" ? "" : "no"
	if (goal ~ /^>r/) { if (ratio != "-" && ratio + 0 >= substr(goal, 3) + 0) met = "yes" }
	else if (goal ~ /^>/) { if (h != "-" && h + 0 >= substr(goal, 2) + 0) met = "yes" }
	else if (goal ~ /^</) { if (h != "-" && h + 0 <= substr(goal, 2) + 0) met = "yes" }
	sub(/^>r/, "ratio ", goal)
	printf "%-58s | %10s | %10s | %7s | %10s %s\n", title, show(h), show(p), ratio, goal, met
}
function row(title, figure, key, who, peer, goal) { line(title, value(figure, who, key), value(figure, peer, key), goal) }
function block(title, figure, key, own, openvpn, softether, bare,   h) {
	line(title, value(figure, "hull", key), "-", own)
	row("  cable", figure, key, "hull", "veth", "")
	row("  bare forwarder, TLS 1.3, super-frames", figure, key, "hull", "bare", bare)
	row("  bare forwarder, plain", figure, key, "hull", "bare-plain", "")
	row("  OpenVPN, UDP", figure, key, "hull", "openvpn-udp", openvpn)
	row("  OpenVPN, TCP", figure, key, "hull", "openvpn-tcp", "")
	row("  SoftEther", figure, key, "hull", "softether", softether)
	row("  hull join at both ends", figure, key, "hull", "join", "")
}
function added(title, who, peer, goal,   v, h, p) {
	v = value("pingpong", "veth", "p50_us"); h = value("pingpong", who, "p50_us"); p = value("pingpong", peer, "p50_us")
	line(title, v == "-" || h == "-" ? "-" : h - v, v == "-" || p == "-" ? "-" : p - v, goal)
}
{ s[$2, $3, $4] = s[$2, $3, $4] " " $5 }
$2 == "load" { loads = loads " " $5; if ($5 > worst) worst = $5 }
END {
	printf "%-58s | %10s | %10s | %7s | %s\n", "L2 link, TAP to TAP (medians); beside", "hull", "peer", "ratio", "goal, met"
	block("TCP, one flow, near to far, Gbit/s", "up", "gbit", ">7", ">r9", ">r3.5", ">r0.85")
	block("TCP, one flow, far to near, Gbit/s", "down", "gbit", ">7", ">r9", ">r3.5", ">r0.85")
	block("UDP of 64 bytes, delivered per second", "udp64", "pps", ">180000", "", "", "")
	added("TCP ping-pong of 64 bytes, added to the cable's, us; bare", "hull", "bare", "<20")
	added("  OpenVPN, UDP", "hull", "openvpn-udp", "")
	added("  SoftEther", "hull", "softether", "")
	block("ping while a TCP flow fills the link, median, ms", "loaded", "median_ms", "<1", "", "", "")
	row("  average, ms; bare forwarder, TLS 1.3", "loaded", "average_ms", "hull", "bare", "<1")
	block("processor time, both ends and iperf3, s/GB", "cpu", "s_gb", "<2.2", "", "", "")
	row("through the relay beside direct: near to far, Gbit/s", "up", "gbit", "hull-relay", "hull", ">r0.9")
	row("  far to near, Gbit/s", "down", "gbit", "hull-relay", "hull", ">r0.9")
	row("  UDP of 64 bytes, per second", "udp64", "pps", "hull-relay", "hull", "")
	row("  ping while a TCP flow fills the link, median, ms", "loaded", "median_ms", "hull-relay", "hull", "")
	row("  processor time, s/GB", "cpu", "s_gb", "hull-relay", "hull", "")
	row("  ping-pong, us", "pingpong", "p50_us", "hull-relay", "hull", "")
	if (loads != "") printf "other work on the machine during TCP: median %.2f, at most %.2f processors\n", median(loads), worst
}
