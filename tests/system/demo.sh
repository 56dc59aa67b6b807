#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The main job, whole: scripts/demo builds dc-web01, runs it at home, boots its disk from an encrypted volume in the test cloud, uses it
# from its old LAN, and compares.
# Usage: tests/system/demo.sh [O]
set -u
cd "$(dirname "$0")/../.." || exit 2
O=${1:-build}
mkdir -p "$O/check"
log=$O/check/demo.out
scripts/demo "$O" >"$log" 2>&1
status=$?
failed=0
verdict() {	# verdict NAME COMMAND…
	local name=$1

	shift
	if "$@"; then echo "PASS $name"; else echo "FAIL $name: see $log"; failed=1; fi
}
facts=$(sed -n 's/^\([0-9]*\) facts compared, .*/\1/p' "$log")
verdict "demo ends with status 0" [ $status -eq 0 ]
verdict "the disk's own boot loader, kernel and getty ran in the cloud" grep -q 'login prompt' "$log"
verdict "every ping to the old address came back" grep -qE 'client: ping +192.0.2.10: 5 of 5' "$log"
verdict "the old address has the old MAC" grep -q 'client: arp .* is at 3c:ec:ef:12:34:56' "$log"
verdict "nginx answers at the server's old address" grep -q 'client: curl .* 200 OK' "$log"
verdict "a client logs in, and knows the host key" grep -q 'client: ssh .*root@dc-web01' "$log"
verdict "a file goes there by scp and comes back the same" grep -q 'client: scp .*came back as it went' "$log"
verdict "the internet carried nothing but TLS 1.3" grep -q 'application_bytes [0-9]\{7,\} .*findings 0$' "$log"
verdict "nobody on the LAN saw the cloud VM" grep -q 'on the LAN: .* 0 of the cloud VM' "$log"
verdict "nothing of the disk is found in the cloud's volume" grep -q 'result: nothing found, the volume is noise' "$log"
verdict "at least 150 facts were compared" [ "${facts:-0}" -ge 150 ]
verdict "no fact differs" grep -q '^[0-9]* facts compared, 0 differences$' "$log"
verdict "the last line tells the time" grep -qE '^demo: done in [0-9.]+ s$' <(tail -n 1 "$log")
exit $failed
