# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# The guest works on disk and network, reboots, and finds everything again.

prepare() {
    new_disk vdb 128M
    # To be added while the guest runs.
    [ "$machine" = qemu ] || image vdc 16M
}

check() {
    check_image vdb
    [ "$machine" = qemu ] || check_image vdc
}
