# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Ten reboots in a row: what the VMM holds does not grow.

prepare() {
    need_vmm
    new_disk vdb 64M
    # To be added while the guest runs.
    image vdc 64M
    new_tap vm1 10.0.3.1/24
    options+=(--balloon --port "name=first,file=$dir/first")
}

check() {
    check_image vdb
    check_image vdc
}
