#!/usr/bin/env python3
"""Load over many connections of which few are busy: each in turn has one request, OUTSTANDING at a time.

  rotate.py PORT PATH TOKEN_FILE CONNECTIONS OUTSTANDING SECONDS

wrk keeps all its connections busy, or thinks with a timer for each that it searches one by one. Says READY when every
connection has had an answer, begins when it is told so by a line, prints one line of JSON after the word RESULT, and closes
its connections at the end of its input: opening and closing are not part of what is measured.
"""

import collections
import json
import select
import socket
import sys
import time


class Connections:
    def __init__(self, port, call, count):
        self.call, self.poll, self.open = call, select.epoll(), {}
        self.idle, self.began = collections.deque(), {}
        for _ in range(count):
            s = socket.create_connection(("127.0.0.1", port), 10)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.open[s.fileno()] = s
            self.poll.register(s.fileno(), select.EPOLLIN)
            self.idle.append(s.fileno())

    def send(self):
        at = self.idle.popleft()
        self.began[at] = time.perf_counter()
        self.open[at].sendall(self.call)

    def answers(self):
        """Microseconds of each answer that is there, and whether it is a 200. Answers are small: one read has all."""
        for at, _ in self.poll.poll(5):
            text = self.open[at].recv(65536)
            if not text:
                raise RuntimeError("a connection was closed")
            self.idle.append(at)
            yield 1e6 * (time.perf_counter() - self.began[at]), text.startswith(b"HTTP/1.1 200")


def main():
    port, path, tokens, count, outstanding, seconds = sys.argv[1:]
    with open(tokens) as f:
        token = f.readline().strip()
    call = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    connections = Connections(int(port), call, int(count))

    def run(requests, end):
        took, refused = [], 0
        for _ in range(int(outstanding)):
            connections.send()
        while len(took) < requests and time.perf_counter() < end:
            for micros, is_good in connections.answers():
                took.append(micros)
                refused += not is_good
                connections.send()
        while len(connections.idle) < int(count):
            for micros, is_good in connections.answers():
                took.append(micros)
                refused += not is_good
        return sorted(took), refused

    run(int(count), float("inf"))
    print("READY", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    took, refused = run(float("inf"), began + float(seconds))
    at = lambda q: int(took[min(len(took) - 1, int(len(took) * q))])
    print("RESULT", json.dumps({
        "requests": len(took), "seconds": time.perf_counter() - began, "refused": refused, "socket_errors": 0,
        "p50_us": at(.5), "p90_us": at(.9), "p99_us": at(.99), "p999_us": at(.999), "max_us": int(took[-1])}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
