# SPDX-License-Identifier: Apache-2.0
# Read by the crash tests: orders for the crash guest and what it said. They set $work.

# Once before the first run: the bytes that sectors are filled with, and the sequence of records.
crash_begin() {
	head -c 33264 /dev/urandom >"$work/payload"
	seed=$((RANDOM << 15 | RANDOM))
}

# crash_orders DISK: $work/orders for the next run on DISK (vda or sda). What earlier runs reported is in $work/DISK.flushed.
crash_orders() {
	local kind=0

	[ "$1" = vda ] || kind=1
	{
		cat "$work/payload"
		printf '%s\n%s\n' "$seed" "$kind"
		cat "$work/$1.flushed"
	} >"$work/orders"
}

# crash_lines FILE: its whole lines; a kill may cut the last one short.
crash_lines() { tr -d '\r' <"$1" | { [ -z "$(tail -c 1 "$1")" ] && cat || sed '$d'; }; }

# crash_note DISK FILE: take down what the run whose console is FILE reported flushed; prints the guest's complaint, if any
crash_note() {
	local last

	last=$(crash_lines "$2" | sed -n 's/^F \([0-9][0-9]*\)$/\1/p' | tail -n 1)
	echo "${last:-0}" >>"$work/$1.flushed"
	crash_lines "$2" | grep -m 1 '^E '
}
crash_sum() { awk '{ n += $1 } END { print n + 0 }' "$work/$1.flushed"; }
# crash_dice N: 0 … N - 1
crash_dice() { echo $(((RANDOM << 15 | RANDOM) % $1)); }
