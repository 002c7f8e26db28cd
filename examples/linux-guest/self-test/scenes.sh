# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# To be sourced by run.sh: the host's half of the self-test. A scene is one run of the VMM, in which
# the guest runs /lib/self-test/SCENE. The file SCENE.sh here has
#
#   prepare    makes the scene's files in $dir, where it runs, and adds to $options of the VMM
#   check      looks at what the guest has left, once the VMM has ended well
#
# Everything is in target/linux-guest/self-test/SCENE afterwards.

# image NAME SIZE: makes an empty NAME.img.
image() {
    truncate -s "$2" "$1.img"
}

# new_disk NAME SIZE: an empty image that is a disk of the guest from the start.
new_disk() {
    image "$1" "$2"
    disks+=("$dir/$1.img")
}

# For scenes whose devices, or whose requests to the peer, QEMU does not have.
need_vmm() {
    [ "$machine" = vmm ] || die "the scene $scene needs s390-vmm"
}

# new_tap NAME ADDRESS: another network, with the host at this address. It ends with the namespace.
new_tap() {
    ip tuntap add "$1" mode tap
    ip addr add "$2" dev "$1"
    ip link set "$1" up
}

# The guest has said a line that begins so.
said() {
    grep -q "^self-test: $*" console
}

# check_image NAME: the file system on NAME.img is clean, and has the files that the guest filled
# /dev/NAME with.
check_image() {
    local name=$1
    e2fsck -f -n "$name.img" || die "$scene: $name.img is not clean"
    mkdir "$name"
    debugfs -R "rdump / $name" "$name.img" 2>/dev/null
    (cd "$name" && sha256sum --check sums) || die "$scene: $name.img has other files"
    # It was the guest that said so, and not a disk left over.
    said "/dev/$name: $(wc -l <"$name/sums") files are as they were" ||
        die "$scene: the guest speaks of other files"
}

run_scene() {
    local dir=$out/self-test/$scene status=0 peer=("$here/self-test/peer.py" "$host") control=
    local options=()
    . "$here/self-test/$scene.sh"
    rm -rf "$dir"
    mkdir -p "$dir"
    cd "$dir"
    cp --sparse=always "$out/root.ext4" root.ext4
    disks=("$dir/root.ext4")
    cmdline+=" scene=$scene peer=$host"
    if [ "$machine" = vmm ]; then
        # In a short path: a socket's name has 107 characters at most.
        control=$(mktemp -d)
        options=(--control "$control/socket" --hotplug)
        peer+=("$control/socket" "$S390_VMM")
    fi
    prepare
    "${peer[@]}" &
    trap "kill $!; rm -rf '$control'" EXIT

    "$machine" "${options[@]}" "$@"
    # The options' paths are not those of here.
    env -C "$OLDPWD" timeout --foreground 900 "${command[@]}" </dev/null 2>&1 | tee console || status=$?
    [ $status -eq 0 ] || die "$scene: exit status $status"
    said passed && ! said failed || die "$scene: the guest failed"
    e2fsck -f -n root.ext4 || die "$scene: root.ext4 is not clean"
    check
    echo "self-test: $scene: the host agrees"
}

# self_test [SCENE...] [OPTIONS]: without a scene, all that belong to every change.
self_test() {
    local scene scenes=()
    while [ $# -gt 0 ] && [[ $1 != -* ]]; do
        [ -e "$here/self-test/$1.sh" ] || die "there is no scene $1"
        scenes+=("$1")
        shift
    done
    if [ ${#scenes[@]} -eq 0 ]; then
        scenes=(life devices)
    fi
    [ -n "$tap" ] || die "self-test: no network, no test"
    S390_VMM=${S390_VMM:+$(realpath "$S390_VMM")}
    for scene in "${scenes[@]}"; do
        (run_scene "$@")
    done
}
