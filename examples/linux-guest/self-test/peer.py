#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The host that the guest's self-test talks to.

    peer.py ADDRESS [SOCKET DISK VMM]     listens on port 5000

A connection carries one line of request; the answer ends with the connection:

    time            hundredths of a second since 1970
    ping            how many of 3 pings the guest answers
    send N          N random bytes
    sum             the SHA-256 of the bytes sent last
    fetch PORT      the SHA-256 of what the guest sends on this port of its own

With the control socket of the VMM, an image for a disk, and the VMM's program:

    add-disk        gives the running guest the disk
    grow-disk SIZE  makes it larger
    power-button    presses it
    idle SECONDS    waits, and says how much of one host CPU the VMM used, in 1/100 %
"""

import hashlib
import os
import re
import socket
import socketserver
import struct
import subprocess
import sys
import time


def connect(address):
    """Connects to the guest, which may not listen yet."""
    for _ in range(100):
        try:
            return socket.create_connection(address, timeout=60)
        except OSError:
            time.sleep(0.1)
    raise OSError(f"nobody listens on {address}")


def processor_time(pid):
    """Seconds of user and system time of a process and all its threads."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Vmm:
    """The VMM behind a control socket."""

    def __init__(self, path, disk, program):
        self.path, self.disk, self.program = path, disk, program

    def control(self, *words):
        """What `s390-vmm ctl` says, on one line."""
        command = [self.program, "ctl", "--control", self.path, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return " ".join((done.stdout + done.stderr).split()) or f"exit status {done.returncode}"

    def pid(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.path)
            return struct.unpack("iII", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]

    def idle(self, seconds):
        time.sleep(1)
        pid = self.pid()
        start, used = time.monotonic(), processor_time(pid)
        time.sleep(seconds)
        return round(10000 * (processor_time(pid) - used) / (time.monotonic() - start))


class Handler(socketserver.StreamRequestHandler):
    last_sum = ""
    vmm = None

    def answer(self, request, *argument):
        if request == "time":
            return int(time.time() * 100)
        if request == "ping":
            ping = subprocess.run(
                ["ping", "-c", "3", self.client_address[0]], capture_output=True, text=True
            )
            return re.search(r"(\d+)( packets)? received", ping.stdout)[1]
        if request == "send":
            left, digest = int(argument[0]), hashlib.sha256()
            while left:
                block = os.urandom(min(left, 1 << 20))
                digest.update(block)
                self.wfile.write(block)
                left -= len(block)
            Handler.last_sum = digest.hexdigest()
            return None
        if request == "sum":
            return Handler.last_sum
        if request == "fetch":
            digest = hashlib.sha256()
            with connect((self.client_address[0], int(argument[0]))) as guest:
                while block := guest.recv(1 << 20):
                    digest.update(block)
            return digest.hexdigest()
        if self.vmm is None:
            return "no VMM to control"
        if request == "add-disk":
            return self.vmm.control("add-disk", f"path={self.vmm.disk}")
        if request == "grow-disk":
            return self.vmm.control("resize-disk", self.vmm.disk, argument[0])
        if request == "power-button":
            return self.vmm.control("power-button")
        if request == "idle":
            return self.vmm.idle(int(argument[0]))
        return f"no request {request}"

    def handle(self):
        answer = self.answer(*self.rfile.readline().decode().split())
        if answer is not None:
            self.wfile.write(f"{answer}\n".encode())


def main():
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer.daemon_threads = True
    if len(sys.argv) > 2:
        Handler.vmm = Vmm(*sys.argv[2:])
    with socketserver.ThreadingTCPServer((sys.argv[1], 5000), Handler) as server:
        server.serve_forever()


main()
