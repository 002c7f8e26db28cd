#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Writes the seeds: short inputs that reach what random bytes would take long to.

Each is what a guest (or a kernel file) does right, or nearly, in the language of
its target; see `common/src/`. Findings lie beside them, named after the bug.
"""

import pathlib
import struct

INPUTS = pathlib.Path(__file__).resolve().parent / "common" / "inputs"

BLOCK, NET, CONSOLE, RNG, BALLOON = range(5)
# Queues are numbered through all devices: disk, net (3), console (6), entropy, balloon (3).
DISK_QUEUE, NET_RX, NET_TX, NET_CONTROL, CONSOLE_RX, CONSOLE_TX, CONTROL_RX, CONTROL_TX = range(8)
PORT_RX, PORT_TX, RNG_QUEUE, INFLATE, DEFLATE, STATISTICS = range(8, 14)
NEXT, WRITE, INDIRECT = 1, 2, 4


def notify(queue):
    return bytes([0, queue])


def reset(device):
    return bytes([1, device])


def status(device, value):
    return bytes([2, device, value])


def store(addr, data):
    """Into RAM, at a multiple of 16."""
    return struct.pack(">BBHB", 5, 0, addr // 16, len(data)) + data


def ram(addr):
    return bytes([addr >> 12, addr >> 4 & 0xFF])


def desc(queue, index, addr, length, flags, following):
    size = bytes([0xF0, length // 512]) if length >= 0xF0 else bytes([length])
    return bytes([6, queue, index]) + ram(addr) + size + bytes([flags, following])


def avail(queue, head):
    return bytes([7, queue, head])


RUN = bytes([9, 0])
MACHINE_RESET = bytes([12, 0])


def features(device, word):
    return bytes([10, device]) + struct.pack(">I", word)


def token(device, queue, value):
    return bytes([11, device, queue]) + struct.pack(">Q", value)


def incoming(data):
    return bytes([13, len(data)]) + data


def config_changed(device):
    return bytes([14, device])


def probe(device, queues, word=0):
    """As Linux does, up to DRIVER_OK."""
    return (
        reset(device) + status(device, 1) + status(device, 3) + features(device, word)
        + b"".join(token(device, q, 0x8000 + 0x100 * device + 0x10 * q) for q in range(queues))
        + status(device, 7)
    )


def block_request(kind, sector, flags=WRITE):
    return (
        store(0x1000, struct.pack(">IIQ", kind, 0, sector))
        + desc(DISK_QUEUE, 0, 0x1000, 16, NEXT, 1)
        + desc(DISK_QUEUE, 1, 0x2000, 512, NEXT | flags, 2)
        + desc(DISK_QUEUE, 2, 0x3000, 1, WRITE, 0)
        + avail(DISK_QUEUE, 0) + notify(DISK_QUEUE) + RUN
    )


def table(entries):
    return b"".join(struct.pack(">QIHH", *entry) for entry in entries)


RINGS = {
    "disk-read": probe(BLOCK, 1) + block_request(0, 1),
    "disk-write": probe(BLOCK, 1) + block_request(1, 3, 0),
    "disk-flush-and-id": probe(BLOCK, 1, 0x200) + block_request(4, 0) + block_request(8, 0),
    "disk-beyond-the-end": probe(BLOCK, 1) + block_request(0, 1 << 54),
    "disk-early-kick": reset(BLOCK) + status(BLOCK, 1) + status(BLOCK, 3)
    + token(BLOCK, 0, 0x8000) + block_request(0, 1) + status(BLOCK, 7),
    "disk-event-index": probe(BLOCK, 1, 0x2000_0000) + block_request(0, 1) * 3,
    "disk-indirect": probe(BLOCK, 1, 0x1000_0000)
    + store(0x1000, struct.pack(">IIQ", 0, 0, 2))
    + store(0x4000, table([(0x1000, 16, NEXT, 1), (0x2000, 512, NEXT | WRITE, 2), (0x3000, 1, WRITE, 0)]))
    + desc(DISK_QUEUE, 0, 0x4000, 48, INDIRECT, 0) + avail(DISK_QUEUE, 0) + notify(DISK_QUEUE) + RUN,
    "disk-loop": probe(BLOCK, 1) + desc(DISK_QUEUE, 0, 0x1000, 16, NEXT, 0)
    + avail(DISK_QUEUE, 0) + notify(DISK_QUEUE) + RUN + reset(BLOCK),
    "disk-failed": probe(BLOCK, 1) + status(BLOCK, 0x87) + block_request(0, 1) + status(BLOCK, 0x83),
    "net-receive": probe(NET, 3) + desc(NET_RX, 0, 0x5000, 1536, WRITE, 0) + avail(NET_RX, 0)
    + notify(NET_RX) + RUN + incoming(bytes(60)) + RUN,
    "net-transmit": probe(NET, 3) + desc(NET_TX, 0, 0x5000, 10, NEXT, 1)
    + desc(NET_TX, 1, 0x6000, 60, 0, 0) + avail(NET_TX, 0) + notify(NET_TX) + RUN,
    "net-control": probe(NET, 3, 0x6_0000) + store(0x5000, bytes([0, 0])) + store(0x5010, bytes([1]))
    + desc(NET_CONTROL, 0, 0x5000, 2, NEXT, 1) + desc(NET_CONTROL, 1, 0x5010, 1, NEXT, 2)
    + desc(NET_CONTROL, 2, 0x5020, 1, WRITE, 0) + avail(NET_CONTROL, 0) + notify(NET_CONTROL) + RUN,
    "console": probe(CONSOLE, 2, 1) + desc(CONSOLE_RX, 0, 0x5000, 64, WRITE, 0) + avail(CONSOLE_RX, 0)
    + notify(CONSOLE_RX) + incoming(b"typed") + RUN + desc(CONSOLE_TX, 0, 0x6000, 32, 0, 0)
    + avail(CONSOLE_TX, 0) + notify(CONSOLE_TX) + RUN + config_changed(CONSOLE),
    "console-ports": probe(CONSOLE, 6, 2)
    + b"".join(desc(CONTROL_RX, n, 0x5000 + 64 * n, 64, WRITE, 0) + avail(CONTROL_RX, n) for n in range(4))
    + store(0x6000, struct.pack(">IHH", 0xFFFFFFFF, 0, 1)) + store(0x6010, struct.pack(">IHH", 1, 3, 1))
    + store(0x6020, struct.pack(">IHH", 1, 6, 1))
    + b"".join(desc(CONTROL_TX, n, 0x6000 + 16 * n, 8, 0, 0) + avail(CONTROL_TX, n) for n in range(3))
    + notify(CONTROL_TX) + RUN + desc(PORT_TX, 0, 0x7000, 16, 0, 0) + avail(PORT_TX, 0) + notify(PORT_TX)
    + desc(PORT_RX, 0, 0x7000, 16, WRITE, 0) + avail(PORT_RX, 0) + notify(PORT_RX) + RUN,
    "entropy": probe(RNG, 1) + desc(RNG_QUEUE, 0, 0x5000, 64, WRITE, 0) + avail(RNG_QUEUE, 0)
    + notify(RNG_QUEUE) + RUN,
    "balloon": probe(BALLOON, 3, 2)
    + store(0x5000, struct.pack(">IIII", 0x20, 0x21, 0x100, 0xFFFFFFFF))
    + desc(INFLATE, 0, 0x5000, 16, 0, 0) + avail(INFLATE, 0) + notify(INFLATE) + RUN
    + desc(DEFLATE, 0, 0x5000, 8, 0, 0) + avail(DEFLATE, 0) + notify(DEFLATE) + RUN,
    "balloon-statistics": probe(BALLOON, 3, 2)
    + store(0x5000, struct.pack(">HQHQ", 0, 77, 5, 88))
    + desc(STATISTICS, 0, 0x5000, 20, 0, 0) + avail(STATISTICS, 0) + notify(STATISTICS) + RUN,
    "machine-reset": probe(BLOCK, 1) + block_request(0, 1) + MACHINE_RESET + probe(BLOCK, 1)
    + block_request(0, 2),
}

PLAIN = 2  # DIAG 2,4,0x500 in supervisor state, with a small subcode
KNOWN = PLAIN | 1 << 2


def diagnose(subcode, operand):
    return bytes([KNOWN, 0, subcode]) + operand


HYPERCALLS = {
    "notify": diagnose(0, bytes([2, 0])),
    "reset-and-status": diagnose(1, bytes([0, 0])) + diagnose(2, bytes([0, 0])),
    "text": diagnose(0, bytes([64, 0, 20]) + b"Linux version 2.6.26"),
    "end-of-ram": diagnose(0, bytes([128, 3])),
    "unknown": diagnose(3, bytes([0, 0])) + diagnose(7, bytes([0, 0])),
    "problem-state": bytes([0x80 | KNOWN, 0, 0, 0, 0]),
    "encoded": bytes([1 | 1 << 2, 0x24]) + struct.pack(">I", 0x0500_0000) + bytes([0, 0, 0, 0]),
}


def service_call(command, contents, address=0):
    contents = struct.pack(">H", len(contents) + 2) + contents
    return bytes([3, 0, command, address]) + struct.pack(">H", len(contents)) + contents


def header(function=0):
    return bytes([function, 0, 0, 0, 0, 0])


def event(event_type, data):
    return header() + struct.pack(">HBBH", 6 + len(data), event_type, 0, 0) + data


MESSAGE = (
    b"\x00\x5a\x00\x01\xd4\xc4\xc2\x40\x00\x00\x00\x01"
    + b"\x00\x38\x00\x01" + bytes(0x34)
    + b"\x00\x16\x00\x04\x10\x00\x00\x00\x00\x00" + b"\xc8\x85\x93\x93\x96" + bytes(7)
)
MASK = header() + bytes([0, 0, 0, 4]) + b"\xff" * 8 + bytes(8)
BOTH = bytes([3, 0])

SCCB = {
    "read-information": BOTH + service_call(0, header() + bytes(4000)) + service_call(2, header() + bytes(4000)),
    "read-cpu-information": BOTH + service_call(2, header() + bytes(2000)),
    "mask": BOTH + service_call(3, MASK),
    "vt220": BOTH + service_call(4, event(0x1A, b"hello")),
    "message": BOTH + service_call(4, event(0x02, MESSAGE)),
    "input": BOTH + service_call(3, MASK) + bytes([0, 0, 4]) + b"ls\r\n" + service_call(5, header() + bytes(400)),
    "shutdown": BOTH + service_call(3, MASK) + bytes([1, 0]) + service_call(5, header() + bytes(100)) + bytes([2, 0]),
    "sdias": BOTH + service_call(4, event(0x1C, bytes(20))),
}


def elf(entry, segments):
    phdrs = b""
    data = b""
    offset = 64 + 56 * len(segments)
    for addr, contents, mem_size in segments:
        phdrs += struct.pack(">IIQQQQQQ", 1, 7, offset + len(data), addr, addr, len(contents), mem_size, 4096)
        data += contents
    head = b"\x7fELF\x02\x02\x01" + bytes(9)
    head += struct.pack(">HHIQQQIHHHHHH", 2, 22, 1, entry, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    return head + phdrs + data


def raw():
    image = bytearray(0x10600)
    image[:8] = struct.pack(">II", 0x00080000, 0x80010000)
    image[0x10008:0x1000e] = b"S390EP"
    return bytes(image)


LOADER = {
    "elf": bytes([0, 0, 0, 0]) + elf(0x10000, [(0x10000, b"\x07\xfe" * 40, 0x2000)]),
    "elf-initrd-and-line": bytes([1, 9, 9, 4]) + b"ro x" + elf(0x10000, [(0x10000, b"\x07\xfe" * 400, 0x2000)]),
    "elf-overlap": bytes([0, 0, 0, 0]) + elf(0x10000, [(0x10000, bytes(64), 64), (0x10020, bytes(64), 64)]),
    "elf-too-large": bytes([0, 0, 0, 0]) + elf(0x10000, [(0x10000, bytes(64), 1 << 40)]),
    "raw": bytes([0, 3, 7, 4]) + b"ro x" + raw(),
}


def main():
    for target, seeds in [("rings", RINGS), ("hypercalls", HYPERCALLS), ("sccb", SCCB), ("loader", LOADER)]:
        folder = INPUTS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, seed in seeds.items():
            (folder / name).write_bytes(seed)


if __name__ == "__main__":
    main()
