#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The host that the guest's self-test talks to.

    peer.py ADDRESS [SOCKET VMM]          listens on port 5000

A connection carries one line of request; the answer, one line unless said otherwise, ends with the
connection. It begins with "error:" if something went wrong.

    time              hundredths of a second since 1970
    ping [ADDRESS]    how many of 3 pings the guest answers, there or where it asks from
    pings FIRST LAST  how many pings of all these sizes, none of which may be fragmented, come back
                      from the guest as they were
    send N            N random bytes
    sum               the SHA-256 of the bytes sent last
    fetch PORT        the SHA-256 of what the guest sends on this port of its own
    get PORT FILE     the same by HTTP
    allocated FILE    bytes that a file takes on the host's disk
    serial FILE       serial number of a disk on this image
    sha256 FILE       the SHA-256 of a file

With the control socket of the VMM, and the VMM's program:

    ctl WORD...       what "s390-vmm ctl" says, on one line
    counter NAME...   one of its counters: the device, and the names inside
    balloon NAME...   one of the numbers of "s390-vmm ctl balloon-statistics"
    cache DISK        the disk's cache mode
    resident          KiB of memory that the VMM takes
    holds             what the VMM holds, as "NAME NUMBER" one after the other
    rings             where the rings of all queues are
    pause SECONDS     holds the machine, and says whether "nothing moved" meanwhile
    talk WORD...      what the program in the guest answers that reads the port "talk"
    processor-time    of the VMM, in hundredths of a second
    idle SECONDS      waits, and says how much of one host CPU the VMM used, in 1/100 %

Paths are those of the directory that this runs in.
"""

import functools
import hashlib
import json
import os
import pathlib
import re
import socket
import socketserver
import struct
import subprocess
import sys
import time
import urllib.request


def connect(address):
    """Connects to the guest, which may not listen yet."""
    for _ in range(100):
        try:
            return socket.create_connection(address, timeout=60)
        except OSError:
            time.sleep(0.1)
    raise OSError(f"nobody listens on {address}")


def checksum(data):
    """Of the Internet (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ping_sizes(address, sizes):
    """How many pings with so many bytes come back unchanged. They must not be fragmented."""
    answered = 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
        # Linux: IP_MTU_DISCOVER, IP_PMTUDISC_DO.
        icmp.setsockopt(socket.IPPROTO_IP, 10, 2)
        icmp.settimeout(10)
        icmp.connect((address, 0))
        for size in sizes:
            message = struct.pack(">BBHHH", 8, 0, 0, 0x5390, size) + os.urandom(size)
            message = message[:2] + struct.pack(">H", checksum(message)) + message[4:]
            icmp.send(message)
            answer = b""
            # The guest's own pings pass by here.
            while answer[4:8] != message[4:8] or answer[0] != 0:
                packet = icmp.recv(1 << 16)
                answer = packet[(packet[0] & 15) * 4 :]
            answered += answer[4:] == message[4:] and checksum(answer) == 0
    return answered


class Vmm:
    """The VMM behind a control socket."""

    def __init__(self, path, program):
        self.path, self.program = path, program

    def run(self, command, *words):
        """What `s390-vmm COMMAND` prints."""
        command = [self.program, command, "--control", self.path, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(done.stderr or f"exit status {done.returncode}")
        return done.stdout

    def ctl(self, *words):
        return self.run("ctl", *words)

    def number(self, command, *names):
        """What a command of `s390-vmm ctl` says under these names, each inside the one before."""
        value = json.loads(self.ctl(command))
        for name in names:
            value = value[int(name) if isinstance(value, list) else name]
        return value

    def disk_counters(self):
        """What only the guest's CPUs and its disks can change."""
        counters = json.loads(self.ctl("counters"))
        return {name: counter for name, counter in counters.items() if "net" not in name}

    @functools.cached_property
    def proc(self):
        """The process in /proc."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.path)
            peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return pathlib.Path("/proc", str(struct.unpack("iII", peer)[0]))

    def processor_time(self):
        """Seconds of user and system time of the process and all its threads."""
        fields = (self.proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self):
        return int(re.search(r"VmRSS:\s+(\d+)", (self.proc / "status").read_text())[1])

    def holds(self):
        files = [os.readlink(file) for file in (self.proc / "fd").iterdir()]
        infos = [file.read_text() for file in (self.proc / "fdinfo").iterdir()]
        # The kernel's own threads for io_uring come and go.
        threads = [(task / "comm").read_text() for task in (self.proc / "task").iterdir()]
        threads = [name for name in threads if not name.startswith("iou-")]
        # The guest's memory is the guest's affair.
        ram = self.number("info", "memory") >> 10
        sizes = re.findall(r"^Size: +(\d+).*?^Anonymous: +(\d+)", (self.proc / "smaps").read_text(), re.M | re.S)
        return {
            "files": len(files),
            "eventfds": sum("[eventfd]" in file for file in files),
            "watched": sum(info.count("tfd:") for info in infos),
            "threads": len(threads),
            # One that is on its way to the guest is none that stays.
            "pending": min(self.pending() for _ in range(5)),
            "anonymous": sum(int(anonymous) for size, anonymous in sizes if int(size) < ram),
        }

    def pending(self):
        time.sleep(0.05)
        return self.number("info", "pending-interruptions")

    def rings(self):
        return re.findall(r"entries at (\w+)", self.run("inspect"))

    def pause(self, seconds):
        self.ctl("pause")
        before, used = self.disk_counters(), self.processor_time()
        state = self.number("info", "state")
        time.sleep(seconds)
        moved = before != self.disk_counters() or self.processor_time() - used > seconds / 10
        self.ctl("resume")
        return f"{state}, and something moved" if moved or state != "paused" else "nothing moved"

    def idle(self, seconds):
        time.sleep(1)
        start, used = time.monotonic(), self.processor_time()
        time.sleep(seconds)
        return round(10000 * (self.processor_time() - used) / (time.monotonic() - start))


class Handler(socketserver.StreamRequestHandler):
    """One request: the method of its name."""

    last_sum = ""
    vmm = None

    def handle(self):
        words = self.rfile.readline().decode().split()
        try:
            answer = getattr(self, f"do_{words[0].replace('-', '_')}")(*words[1:])
        except Exception as error:  # pylint: disable=broad-except
            answer = f"error: {words}: {error!r}"
        if answer is not None:
            self.wfile.write(f"{' '.join(str(answer).split())}\n".encode())

    def do_time(self):
        return int(time.time() * 100)

    def do_ping(self, address=None):
        ping = subprocess.run(
            ["ping", "-c", "3", address or self.client_address[0]], capture_output=True, text=True
        )
        return re.search(r"(\d+)( packets)? received", ping.stdout)[1]

    def do_pings(self, first, last):
        return ping_sizes(self.client_address[0], range(int(first), int(last) + 1))

    def do_send(self, length):
        left, digest = int(length), hashlib.sha256()
        while left:
            block = os.urandom(min(left, 1 << 20))
            digest.update(block)
            self.wfile.write(block)
            left -= len(block)
        Handler.last_sum = digest.hexdigest()

    def do_sum(self):
        return Handler.last_sum

    def do_fetch(self, port):
        digest = hashlib.sha256()
        with connect((self.client_address[0], int(port))) as guest:
            while block := guest.recv(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def do_get(self, port, file):
        digest = hashlib.sha256()
        with urllib.request.urlopen(f"http://{self.client_address[0]}:{port}/{file}", timeout=60) as answer:
            while block := answer.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def do_allocated(self, file):
        return os.stat(file).st_blocks * 512

    def do_serial(self, file):
        status = os.stat(file)
        return f"{status.st_dev:x}-{status.st_ino:x}"[:20]

    def do_sha256(self, file):
        with open(file, "rb") as content:
            return hashlib.sha256(content.read()).hexdigest()

    def do_ctl(self, *words):
        return self.vmm.ctl(*words)

    def do_counter(self, *names):
        return self.vmm.number("counters", *names)

    def do_balloon(self, *names):
        return self.vmm.number("balloon-statistics", *names)

    def do_cache(self, disk):
        devices = self.vmm.number("info", "devices")
        return next(device["cache"] for device in devices if device["id"] == disk)

    def do_resident(self):
        return self.vmm.resident()

    def do_holds(self):
        return " ".join(f"{name} {number}" for name, number in self.vmm.holds().items())

    def do_rings(self):
        return " ".join(self.vmm.rings())

    def do_pause(self, seconds):
        return self.vmm.pause(float(seconds))

    def do_talk(self, *words):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(os.path.join(os.path.dirname(self.vmm.path), "talk"))
            client.sendall(f"{' '.join(words)}\n".encode())
            return client.makefile().readline()

    def do_processor_time(self):
        return round(self.vmm.processor_time() * 100)

    def do_idle(self, seconds):
        return self.vmm.idle(int(seconds))


def main():
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer.daemon_threads = True
    address, *vmm = sys.argv[1:]
    if vmm:
        Handler.vmm = Vmm(*vmm)
    with socketserver.ThreadingTCPServer((address, 5000), Handler) as server:
        server.serve_forever()


main()
