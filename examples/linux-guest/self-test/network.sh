# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Frames of every size, and TCP with offloads and without, at an MTU of 1500 and of 9000.

prepare() {
    need_vmm
    net=,mtu=9000
    ip link set "$tap" mtu 9000
}

check() {
    said "MTU 9000, offloads off, sent" || die "$scene: the guest has not come to its end"
}
