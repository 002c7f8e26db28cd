#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Writes the seeds: short inputs that reach what random bytes would take long to.

Each is what a guest (or a kernel file) does right, or nearly, in the language of
its target; see `common/src/`. Findings lie beside them, named after the bug.
"""

import pathlib
import struct

INPUTS = pathlib.Path(__file__).resolve().parent / "common" / "inputs"

BLOCK, NET, CONSOLE, RNG, BALLOON, SHARE, ADDED = range(7)
# Queues are numbered through all devices: disk, net (3), console (6), entropy, balloon (3), share,
# and the first of what is added.
DISK_QUEUE, NET_RX, NET_TX, NET_CONTROL, CONSOLE_RX, CONSOLE_TX, CONTROL_RX, CONTROL_TX = range(8)
PORT_RX, PORT_TX, RNG_QUEUE, INFLATE, DEFLATE, STATISTICS, SHARE_QUEUE, ADDED_QUEUE = range(8, 16)
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


PAUSE = RESUME = bytes([16, 0])
INSPECT = bytes([25, 0])
ALL_OF_IT = 0


def resize_disk(size):
    return bytes([17, 0, size >> 9])


def limit(disk, net):
    return bytes([18, 0, disk | net << 1])


def link(up):
    return bytes([19, up])


def resize_console(columns, rows):
    return bytes([20, rows]) + struct.pack(">H", columns)


def balloon_target(pages):
    return bytes([21, 0, pages])


ASK_FOR_STATISTICS = bytes([22, 0])
LARGE_DISK, THREADED_DISK, SLOW_NET, THREADED_SHARE = range(4)


def add(what):
    return bytes([23, what])


def look_at_config(device):
    return bytes([24, device])


def into_port(data):
    return bytes([26, len(data)]) + data


def probe(device, queues, word=0):
    """As Linux does, up to DRIVER_OK."""
    return (
        reset(device) + status(device, 1) + status(device, 3) + features(device, word)
        + b"".join(token(device, q, 0x8000 + 0x100 * device + 0x10 * q) for q in range(queues))
        + status(device, 7)
    )


def block_request(kind, sector, flags=WRITE, queue=DISK_QUEUE):
    return (
        store(0x1000, struct.pack(">IIQ", kind, 0, sector))
        + desc(queue, 0, 0x1000, 16, NEXT, 1)
        + desc(queue, 1, 0x2000, 512, NEXT | flags, 2)
        + desc(queue, 2, 0x3000, 1, WRITE, 0)
        + avail(queue, 0) + notify(queue) + RUN
    )


def large_requests(kind, flags):
    """Most of RAM a hundred times over in each of forty requests."""
    buffers = 100
    return (
        store(0x1000, struct.pack(">IIQ", kind, 0, 8))
        + desc(ADDED_QUEUE, 0, 0x1000, 16, NEXT, 1)
        + b"".join(
            bytes([6, ADDED_QUEUE, n]) + ram(0) + bytes([0xFF]) + struct.pack(">I", 0xF0000)
            + bytes([NEXT | flags, n + 1])
            for n in range(1, buffers + 1)
        )
        + desc(ADDED_QUEUE, buffers + 1, 0x3000, 1, WRITE, 0)
        + avail(ADDED_QUEUE, 0) * 40 + notify(ADDED_QUEUE) + RUN
    )


def ranges(kind, queue, *of):
    """Discards (11) or zeroes (13) ranges of sectors."""
    data = b"".join(struct.pack("<QII", *each, kind == 13) for each in of)
    return (
        store(0x1000, struct.pack(">IIQ", kind, 0, 0)) + store(0x2000, data)
        + desc(queue, 0, 0x1000, 16, NEXT, 1)
        + desc(queue, 1, 0x2000, len(data), NEXT, 2)
        + desc(queue, 2, 0x3000, 1, WRITE, 0)
        + avail(queue, 0) + notify(queue) + RUN
    )


def text(name):
    return struct.pack("<H", len(name)) + name


def p9(kind, body, queue=SHARE_QUEUE):
    message = struct.pack("<IBH", 7 + len(body), kind, 1) + body
    return (
        store(0x5000, message)
        + desc(queue, 0, 0x5000, len(message), NEXT, 1)
        + desc(queue, 1, 0x6000, 1024, WRITE, 0)
        + avail(queue, 0) + notify(queue) + RUN
    )


def attach(queue=SHARE_QUEUE):
    """A session whose root is fid 0."""
    return (
        p9(100, struct.pack("<I", 8192) + text(b"9P2000.L"), queue)
        + p9(104, struct.pack("<II", 0, 0xFFFFFFFF) + text(b"") + text(b"") + struct.pack("<I", 0), queue)
    )


def walk(fid, new, *names, queue=SHARE_QUEUE):
    return p9(110, struct.pack("<IIH", fid, new, len(names)) + b"".join(map(text, names)), queue)


def fid(number):
    return struct.pack("<I", number)


def at(number, offset, count):
    return struct.pack("<IQI", number, offset, count)


def open_file(number, flags=0):
    return p9(12, struct.pack("<II", number, flags))


def read_file(number):
    return open_file(number) + p9(116, at(number, 0, 512))


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
    "disk-grows-and-shrinks": probe(BLOCK, 1) + resize_disk(32 << 10) + block_request(0, 40)
    + resize_disk(4 << 10) + block_request(0, 1) + block_request(0, 40) + resize_disk(ALL_OF_IT),
    "disk-limited": probe(BLOCK, 1) + limit(True, False) + block_request(0, 1) * 3 + limit(False, False) + RUN,
    "disk-ranges": probe(BLOCK, 1, 0x6000) + ranges(11, DISK_QUEUE, (0, 8), (16, 8))
    + ranges(13, DISK_QUEUE, (0, 32)) + ranges(13, DISK_QUEUE, (30, 3)),
    "disk-write-through": probe(BLOCK, 1, 0xA00) + bytes([3, 0]) + struct.pack(">HB", 69, 1) + b"\0"
    + look_at_config(BLOCK) + block_request(1, 3, 0),
    "large-disk": add(LARGE_DISK) + probe(ADDED, 1, 0x6000) + large_requests(0, WRITE) + large_requests(1, 0)
    + ranges(13, ADDED_QUEUE, (0, 0x10000)),
    "threaded-disk": add(THREADED_DISK) + probe(ADDED, 1, 0x6000) + large_requests(0, WRITE) + PAUSE + RESUME + RUN
    + large_requests(1, 0) + reset(ADDED),
    "threaded-share": add(THREADED_SHARE) + probe(ADDED, 1) + attach(ADDED_QUEUE)
    + walk(0, 1, b"file", queue=ADDED_QUEUE) + PAUSE + RESUME + RUN,
    "slow-net": add(SLOW_NET) + probe(ADDED, 3) + desc(ADDED_QUEUE + 1, 0, 0x5000, 10, NEXT, 1)
    + desc(ADDED_QUEUE + 1, 1, 0x6000, 60, 0, 0) + avail(ADDED_QUEUE + 1, 0) * 3 + notify(ADDED_QUEUE + 1) + RUN,
    "pause": probe(BLOCK, 1) + PAUSE + block_request(0, 1) + incoming(b"typed") + config_changed(BLOCK)
    + reset(CONSOLE) + RUN + RESUME + RUN,
    "pause-and-machine-reset": probe(BLOCK, 1) + PAUSE + block_request(0, 1) + MACHINE_RESET + RESUME + RUN,
    "added-to-one-that-knows": probe(BLOCK, 1, 0x2000_0000) + add(SLOW_NET),
    "link": probe(NET, 3, 0x1_0000) + link(False) + incoming(bytes(60)) + RUN + link(True) + RUN,
    "net-limited": probe(NET, 3) + limit(False, True) + desc(NET_TX, 0, 0x5000, 70, 0, 0) + avail(NET_TX, 0) * 3
    + notify(NET_TX) + RUN + limit(False, False) + RUN,
    "console-resized": probe(CONSOLE, 6, 3) + resize_console(132, 50) + RUN + into_port(b"typed") + RUN,
    "balloon-target": probe(BALLOON, 3, 2) + balloon_target(16) + ASK_FOR_STATISTICS + RUN,
    "inspect": INSPECT + bytes([3, 0]) + struct.pack(">HB", 0, 8) + b"\xff" * 8 + INSPECT,
    "share-read": probe(SHARE, 1) + attach() + walk(0, 1, b"file") + p9(24, fid(1) + b"\xff" * 8)
    + read_file(1) + p9(120, fid(1)) + p9(8, fid(0)),
    "share-write": probe(SHARE, 1) + attach() + walk(0, 1)
    + p9(14, fid(1) + text(b"new") + struct.pack("<III", 2, 0o644, 0))
    + p9(118, at(1, 100, 5) + b"hello") + p9(50, fid(1) + fid(0)) + p9(116, at(1, 0, 512))
    + p9(26, fid(1) + struct.pack("<IIIIQQQQQ", 0x1FF, 0o600, 1, 1, 10, 0, 0, 0, 0)) + p9(122, fid(1)),
    "share-directory": probe(SHARE, 1) + attach() + walk(0, 1) + open_file(1) + p9(40, at(1, 0, 900))
    + p9(72, fid(0) + text(b"made") + struct.pack("<II", 0o755, 0))
    + p9(74, fid(0) + text(b"made") + fid(0) + text(b"moved")) + p9(76, fid(0) + text(b"moved") + fid(0x200)),
    "share-links": probe(SHARE, 1) + attach() + walk(0, 1, b"out") + p9(22, fid(1)) + read_file(1)
    + p9(16, fid(0) + text(b"sym") + text(b"../secret") + fid(0)) + walk(0, 2, b"sym") + read_file(2)
    + walk(0, 3, b"file") + p9(70, fid(0) + fid(3) + text(b"hard")) + p9(20, fid(3) + fid(0) + text(b"moved")),
    "share-escape": probe(SHARE, 1) + attach() + walk(0, 1, b"..", b"secret") + walk(0, 2, b"up", b"secret")
    + walk(0, 3, b"dir", b"..", b"..", b"secret") + walk(0, 4, b"../secret")
    + b"".join(map(read_file, range(1, 5))) + p9(18, fid(0) + text(b"null") + struct.pack("<IIII", 0o20666, 1, 3, 0)),
    "share-flush-and-locks": probe(SHARE, 1) + attach() + p9(108, struct.pack("<H", 1)) + walk(0, 1, b"file")
    + open_file(1) + p9(52, fid(1) + struct.pack("<BIQQI", 1, 0, 0, 0, 1) + text(b"guest"))
    + p9(54, fid(1) + struct.pack("<BQQI", 1, 0, 0, 1) + text(b"guest")) + p9(30, fid(1) + fid(2) + text(b"")),
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
