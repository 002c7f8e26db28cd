#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# build-root.sh PACKAGE-FILES IMAGE: makes an ext4 image of the packages' files and of root/.
set -euo pipefail
packages=$1 image=$2
here=$(dirname "$(realpath "$0")")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

for package in $packages; do
    # Through tar: dpkg-deb puts a directory in the place of a link.
    dpkg-deb --fsys-tarfile "$package" | tar x -C "$tree" --keep-directory-symlink \
        --no-same-owner --exclude='./usr/share/*'
done
mkdir -p "$tree"/{bin,sbin,dev,proc,sys,run,tmp,mnt,root,etc,var/lib}
# Links to the other commands of busybox are made by the first boot.
ln -s /bin/busybox "$tree/bin/sh"
ln -s /bin/busybox "$tree/sbin/init"
cp -R "$here/root/." "$tree"
chmod -R u=rwX,go=rX "$tree"
find "$tree" -exec touch -h -d @0 {} +

# The same files make the same image. Its owner is root, whoever runs this.
export E2FSPROGS_FAKE_TIME=1 PATH=$PATH:/usr/sbin:/sbin
id=5a390000-0000-4000-8000-000000000000
rm -f "$image"
truncate -s 128M "$image"
as_root=()
[ "$(id -u)" = 0 ] || as_root=(unshare -r)
"${as_root[@]}" mke2fs -q -t ext4 -b 4096 -L root -U $id -E "hash_seed=$id,root_owner=0:0" \
    -d "$tree" "$image"
# These times it takes from the tree, where nobody can set them.
find "$tree" -printf 'sif "/%P" ctime @0\nsif "/%P" atime @0\n' | debugfs -w -f - "$image" >/dev/null 2>&1
