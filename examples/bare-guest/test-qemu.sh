#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Boots the image under qemu-system-s390x, which has no device page: proof that it is a program
# for any s390 machine. Succeeds if every boot prints and ends as it should.
#
#   test-qemu.sh [IMAGE]
set -euo pipefail
image=${1:-$(dirname "$0")/bare-guest.elf}

# boot STATUS LINE [COMMAND-LINE]: the exit status, and a line that must be printed.
boot() {
    local output status=0
    output=$(timeout 120 qemu-system-s390x -M s390-ccw-virtio -m 64M -nographic -no-reboot \
        -action panic=exit-failure -kernel "$image" -append "${3-}" </dev/null) || status=$?
    if [ $status -ne "$1" ] || ! grep -qxE "$2" <<<"$output"; then
        printf '%s\n' "exit status $status, not $1, or no line \"$2\":" "$output" >&2
        exit 1
    fi
}

boot 0 "devices: no device page"
boot 0 "ram: 64 MiB"
boot 0 "command line: ip=10.0.2.15 quiet" "ip=10.0.2.15 quiet"
boot 1 "fail: cannot read pings=x" "pings=x"
boot 1 "program check 0x0001, PSW 0000000180000000 [0-9a-f]{16}" "crash=program"
boot 1 "panic: asked for" "crash=panic"
echo "bare-guest boots under QEMU"
