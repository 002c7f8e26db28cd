#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Checks that the crates depend on each other only the way DESIGN.md draws it.

`MAY_USE` is the drawing: for every crate of the workspace its floor, and the
floors that it may depend on. An arrow only ever points down. Development
dependencies may in addition point to the own floor's siblings and to the guest
crates (a driver is the best test of a device), but never up to the VMM.
"""

import json
import subprocess
import sys

GUEST = "guest"
TOP = "top"

# crate: (its floor, the floors it may use)
MAY_USE = {
    "s390-hypercall": (0, set()),
    "s390-virtio-page": (0, set()),
    "s390-extint": (0, set()),
    "s390-vring": (0, set()),
    "s390-hypervisor": (1, {0}),
    "s390-sclp": (1, {0}),
    "s390-loader": (1, {0}),
    "s390-machine": (2, {0, 1}),
    "s390-cpu": (2, {0, 1}),
    "s390-kvm": (2, {0, 1}),
    "s390-virtio-devices": (3, {0, 1}),
    "s390-virtio-guest": (GUEST, {0}),
    "s390-vmm": (TOP, {0, 1, 2, 3}),
    "s390-fuzz-common": (TOP, {0, 1, 2, 3}),
}


def may_use(crate, dependency):
    """May `crate` name `dependency` (an entry of `cargo metadata`)?"""
    floor, allowed = MAY_USE[crate]
    target = MAY_USE[dependency["name"]][0]
    if dependency["kind"] == "dev":
        return target != TOP
    return target in allowed


def main():
    metadata = json.loads(
        subprocess.check_output(
            ["cargo", "metadata", "--format-version=1", "--no-deps", "--locked"]
        )
    )
    packages = metadata["packages"]
    problems = [
        f"{package['name']} is not in the table" for package in packages
        if package["name"] not in MAY_USE
    ]
    if not problems:
        problems = [
            f"{package['name']} must not depend on {dependency['name']}"
            for package in packages
            for dependency in package["dependencies"]
            if dependency["name"] in MAY_USE
            and not may_use(package["name"], dependency)
        ]
    for problem in problems:
        print(f"layers: {problem}", file=sys.stderr)
    if problems:
        sys.exit(1)
    print(f"layers: {len(packages)} crates, every arrow points down")


if __name__ == "__main__":
    main()
