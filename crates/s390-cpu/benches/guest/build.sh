#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Builds `compute` anew. It is kept beside its source so that measuring needs no cross compiler.
cd "$(dirname "$0")" || exit
exec s390x-linux-gnu-gcc -march=z10 -O2 -Wall -Wextra -ffreestanding -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fno-pie -no-pie -nostdlib -static -s \
	-Wl,-Ttext-segment=0x20000,--build-id=none -o compute start.S compute.c
