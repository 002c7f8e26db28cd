#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Sets up what the tests need, then runs all of them: on this machine, for s390x
# under qemu-user, and the guests. Root is needed once, to install packages.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/s390x-toolchain.sh
rust-vmm-ci/run.py test
