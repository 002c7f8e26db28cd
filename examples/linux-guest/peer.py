#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The host that the guest's self-test talks to.

    peer.py ADDRESS     listens on port 5000

A connection carries one line of request; the answer ends with the connection:

    time            seconds since 1970
    ping            how many of 3 pings the guest answers
    send N          N random bytes
    sum             the SHA-256 of the bytes sent last
    fetch PORT      the SHA-256 of what the guest sends on this port of its own
"""

import hashlib
import os
import re
import socketserver
import subprocess
import sys
import time
import socket


def connect(address):
    """Connects to the guest, which may not listen yet."""
    for _ in range(100):
        try:
            return socket.create_connection(address, timeout=60)
        except OSError:
            time.sleep(0.1)
    raise OSError(f"nobody listens on {address}")


class Handler(socketserver.StreamRequestHandler):
    last_sum = ""

    def answer(self, request, *argument):
        if request == "time":
            return str(int(time.time()))
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
        return f"no request {request}"

    def handle(self):
        answer = self.answer(*self.rfile.readline().decode().split())
        if answer is not None:
            self.wfile.write(f"{answer}\n".encode())


def main():
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer((sys.argv[1], 5000), Handler) as server:
        server.serve_forever()


main()
