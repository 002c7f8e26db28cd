#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Boots the Linux guest, and builds first what is missing.
#
#   run.sh [OPTIONS]                to a shell; options are those of `s390-vmm boot`
#   run.sh --self-test [SCENE...]   unattended, exits with the result; scenes are in self-test/
#   run.sh --qemu ...               the same with qemu-system-s390x, whose devices are on channel paths
#
# The guest's eth0 is 10.0.2.15, on a tap device in a network namespace of its own, where the host
# is 10.0.2.1; not so if the options have a --net or the system does not let us.
#
# Environment:
#   S390_VMM   the VMM to use (default: built with cargo); and what build.sh looks at
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
. "$root/tools/debian-packages.sh"
out=$root/target/linux-guest
host=10.0.2.1

# has OPTION ARGUMENT...: is the option among the arguments, as a word or with "="?
has() {
    local option=$1 argument
    shift
    for argument; do
        [[ $argument != "$option" && $argument != "$option="* ]] || return 0
    done
    return 1
}

# Goes on in a network namespace with a tap device, if that can be had, and sets $tap.
tap=
enter_network() {
    local unshare=(unshare --net)
    if [ -n "${LINUX_GUEST_IN_NETWORK:-}" ]; then
        tap=vm0
        ip link set lo up
        ip tuntap add $tap mode tap
        ip addr add $host/24 dev $tap
        ip link set $tap up
        return
    fi
    [ "$(id -u)" = 0 ] || unshare+=(--map-root-user)
    if [ -r /dev/net/tun ] && [ -w /dev/net/tun ] && "${unshare[@]}" true 2>/dev/null; then
        LINUX_GUEST_IN_NETWORK=1 exec "${unshare[@]}" "$here/run.sh" "$@"
    fi
    echo "${0##*/}: no network, for that needs /dev/net/tun and a network namespace: try as root" >&2
}

# The commands that boot from $disks with the command line $cmdline, each into $command. $net is
# added to the options of the network.
vmm() {
    local disk
    command=("$S390_VMM" boot)
    for disk in "${disks[@]}"; do
        command+=(--disk "path=$disk")
    done
    [ -z "$tap" ] || command+=(--net "tap=$tap,mac=02:00:00:00:00:15${net:-}")
    has --kernel "$@" || command+=(--kernel "$out/image")
    # The kernel would say everything twice.
    has --sclp-console "$@" || command+=(--sclp-console none)
    has --cmdline "$@" || command+=(--cmdline "$cmdline")
    command+=("$@")
}

qemu() {
    local i
    command=(qemu-system-s390x -M s390-ccw-virtio -m 256M -display none -nodefaults
        -chardev "stdio,id=console,mux=on,signal=off" -mon console
        -device virtio-serial-ccw -device virtconsole,chardev=console -device virtio-rng-ccw
        -kernel "$out/image" -append "$cmdline")
    for i in "${!disks[@]}"; do
        command+=(-drive "if=none,id=disk$i,format=raw,file=${disks[i]}"
            -device "virtio-blk-ccw,drive=disk$i")
    done
    [ -z "$tap" ] || command+=(-netdev "tap,id=net,ifname=$tap,script=no,downscript=no"
        -device "virtio-net-ccw,netdev=net,mac=02:00:00:00:00:15")
    command+=("$@")
}

machine=vmm test=
arguments=("$@")
while [ $# -gt 0 ]; do
    case $1 in
    --self-test) test=1 ;;
    --qemu) machine=qemu ;;
    -h | --help)
        sed -n '3,10p' "$0" | cut -c3-
        exit
        ;;
    *) break ;;
    esac
    shift
done

if [ -z "${LINUX_GUEST_IN_NETWORK:-}" ]; then
    "$here/build.sh"
    # The scenes do not reach a mirror any more.
    [ -z "$test" ] || debian_need qemu-img:qemu-utils ip:iproute2 ping:iputils-ping python3:python3
    if [ "$machine" = vmm ] && [ -z "${S390_VMM:-}" ]; then
        cargo build --quiet --release --locked --manifest-path "$root/Cargo.toml" -p s390-vmm
        export S390_VMM=${CARGO_TARGET_DIR:-$root/target}/release/s390-vmm
    fi
fi
PATH=$PATH:/usr/sbin:/sbin
disks=("$out/root.ext4")
cmdline="root=/dev/vda rw console=hvc0"
if ! has --net "$@"; then
    enter_network "${arguments[@]}"
    [ -z "$tap" ] || cmdline+=" ip=10.0.2.15::$host:255.255.255.0:linux-guest:eth0:off"
fi

if [ -n "$test" ]; then
    . "$here/self-test/scenes.sh"
    self_test "$@"
else
    "$machine" "$@"
    exec "${command[@]}"
fi
