# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Every device that there is, in one boot, and everything that can happen to it.

prepare() {
    need_vmm
    image vdb 128M
    disks+=("$dir/vdb.img,block-size=4096")
    qemu-img create -q -f qcow2 vdc.qcow2 128M
    disks+=("$dir/vdc.qcow2,format=qcow2")
    image readonly 1M
    disks+=("$dir/readonly.img,readonly")
    # To be added while the guest runs.
    image vde 32M
    mkdir share
    echo "from the host" >share/from-host
    new_tap vm1 10.0.3.1/24
    options+=(--balloon --port "name=first,file=$dir/first" --port "name=second,file=$dir/second"
        --port "name=talk,socket=$control/talk" --share "path=$dir/share,tag=share")
}

check() {
    local clusters
    check_image vdb
    qemu-img check vdc.qcow2 || die "$scene: vdc.qcow2 is broken"
    # Of 64 KiB: those of the files that are left, and some for what is about them.
    clusters=$(qemu-img check --output=json vdc.qcow2 | sed -n 's/.*"allocated-clusters": \([0-9]*\).*/\1/p')
    [ "$clusters" -lt 400 ] || die "$scene: what was given up in vdc.qcow2 is still there"
    qemu-img convert -O raw vdc.qcow2 vdc.img
    check_image vdc
    check_image vde
    cmp readonly.img <(head -c 1M /dev/zero) || die "$scene: a read-only image was written"
}
