"""Programs that run: their CPU time and memory, and who else uses the machine."""

import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

GATEWAY_CORE, LOAD_CORE = {0}, {1}
TICK = os.sysconf("SC_CLK_TCK")


class Running:
    """A started program: its process tree, its CPU time, its memory."""

    def __init__(self, cmd, cores, log, env=None):
        self.started = time.perf_counter()
        self.log = open(log, "ab")
        self.p = subprocess.Popen(
            cmd, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env={**os.environ, **(env or {})}, start_new_session=True,
            preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
        )

    def pids(self):
        parent = {}
        for d in os.listdir("/proc"):
            if d.isdigit():
                try:
                    with open(f"/proc/{d}/stat") as f:
                        parent[int(d)] = int(f.read().rsplit(")", 1)[1].split()[1])
                except OSError:
                    pass
        tree, todo = [], [self.p.pid]
        while todo:
            pid = todo.pop()
            if pid in parent:
                tree.append(pid)
                todo += [k for k, v in parent.items() if v == pid]
        return tree

    def cpu(self):
        """Seconds of CPU time of the whole tree: all of it, and the kernel's part."""
        user = kernel = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/stat") as f:
                    v = f.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            user, kernel = user + int(v[11]), kernel + int(v[12])
            if pid == self.p.pid:  # children that have ended
                user, kernel = user + int(v[13]), kernel + int(v[14])
        return (user + kernel) / TICK, kernel / TICK

    def workers(self):
        """Seconds of CPU time of each worker, be it a process or a thread."""
        busy = []
        for pid in self.pids():
            for stat in pathlib.Path(f"/proc/{pid}/task").glob("*/stat"):
                name, v = stat.read_text().rsplit(")", 1)
                child = len(self.pids()) > 1 and pid != self.p.pid
                if "(worker-" in name or child:
                    busy.append((stat.parent.name, (int(v.split()[11]) + int(v.split()[12])) / TICK))
        return [seconds for _, seconds in sorted(busy)]

    def memory(self, key):
        """KiB summed over the tree: VmRSS, VmHWM (status) or Pss (smaps_rollup)."""
        total = 0
        for pid in self.pids():
            name = "smaps_rollup" if key == "Pss" else "status"
            try:
                with open(f"/proc/{pid}/{name}") as f:
                    for line in f:
                        if line.startswith(key + ":"):
                            total += int(line.split()[1])
                            break
            except OSError:
                pass
        return total

    def reset_peak(self):
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/clear_refs", "w") as f:
                    f.write("5")
            except OSError:
                pass

    def stop(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(5)
            except subprocess.TimeoutExpired:
                for pid in self.pids():
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except OSError:
                        pass
                self.p.wait(5)
        self.log.close()


def wait_until_closed(ports, seconds=5):
    end = time.time() + seconds
    for port in ports:
        while time.time() < end:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) != 0:
                    break
            time.sleep(0.02)


def get(port, path="/orders", headers=(), timeout=5.0):
    """One HTTP/1.1 request over a fresh connection: status, headers, body."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
        lines += [f"{k}: {v}" for k, v in headers]
        s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        raw = b""
        while True:
            head, end, body = raw.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            if end and length and len(body) >= int(length[1]):
                break
            more = s.recv(65536)
            if not more:
                break
            raw += more
    first, *rest = head.decode("latin-1").split("\r\n")
    fields = {}
    for line in rest:
        k, _, v = line.partition(":")
        fields.setdefault(k.strip().lower(), v.strip())
    return int(first.split()[1]), fields, body


def calibrate():
    """Milliseconds for a fixed piece of work (system calls, hashing) on core 0."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, GATEWAY_CORE)
    a, b = socket.socketpair()
    block, text = bytes(1 << 20), bytes(1000)
    try:
        t = time.perf_counter()
        for _ in range(4000):
            a.send(text)
            b.recv(1000)
        for _ in range(8):
            hashlib.sha256(block).digest()
        return 1000 * (time.perf_counter() - t)
    finally:
        a.close()
        b.close()
        os.sched_setaffinity(0, mine)


def core_times():
    out = {}
    with open("/proc/stat") as f:
        for line in f:
            if re.match(r"cpu\d", line):
                k, *v = line.split()
                out[k] = [int(x) for x in v]
    return out


def share(a, b):
    d = [y - x for x, y in zip(a, b)]
    total = sum(d[:8])
    return 1 - (d[3] + d[4]) / total if total else 0.0


def other_programs(mine):
    """CPU seconds so far of every process that is none of ours, by pid."""
    out = {}
    for d in os.listdir("/proc"):
        if d.isdigit() and int(d) not in mine:
            try:
                with open(f"/proc/{d}/stat") as f:
                    v = f.read().rsplit(")", 1)[1].split()
                if int(v[1]) != os.getpid():
                    out[d] = (int(v[11]) + int(v[12])) / TICK
            except OSError:
                pass
    return out


def grown(a, b):
    return sum(v - a.get(k, 0.0) for k, v in b.items())


def wait_until_quiet(mine, limit, seconds=20):
    """Wait until all other programs together take less than this many percent of a core."""
    end = time.time() + seconds
    while time.time() < end:
        a = other_programs(mine)
        time.sleep(0.5)
        if 100 * grown(a, other_programs(mine)) / 0.5 <= limit:
            return


def steal(a, b):
    d = [sum(b[k][i] - a[k][i] for k in a) for i in range(8)]
    return 100 * d[7] / max(1, sum(d))


def append(path, record):
    with path.open("a") as f:
        f.write(json.dumps(record) + "\n")


