"""A client of HTTP/2 that sends exactly the frames it is told, and says what came back."""

import socket
import struct
import time

import hpack

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITIZED = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME = 1, 2, 3, 4, 5

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 5, 6, 7, 8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HOST = "a.test"
# How long anything may take.
PATIENCE = 10.0
# How long an error may come after a ping that was sent behind its cause is answered.
SOON = 0.5


def raw(kind, flags, stream, payload=b"", length=None):
    """The bytes of a frame, whatever they mean; `length` is what it claims to have."""
    length = len(payload) if length is None else length
    return struct.pack(">BHBBL", length >> 16, length & 0xFFFF, kind, flags, stream) + payload


def setting(*pairs):
    """The payload of a SETTINGS frame."""
    return b"".join(struct.pack(">HL", name, value) for name, value in pairs)


def number(value):
    """Four bytes."""
    return struct.pack(">L", value)


def head(method="GET", path="/", extra=(), scheme="http", authority=HOST):
    """The fields of a request; one that is None is left out."""
    pseudo = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
    return [(name, value) for name, value in pseudo if value is not None] + list(extra)


def plain(fields):
    """A header block of literals that are not indexed, and not in Huffman's code."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder.encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields], huffman=False)


class Event:
    """Something that came back."""

    def __init__(self, kind, stream=0, code=None, status=None, payload=b"", flags=0, fields=()):
        self.kind, self.stream, self.code, self.status = kind, stream, code, status
        self.payload, self.flags, self.fields = payload, flags, fields

    def __repr__(self):
        detail = self.status if self.code is None else self.code
        return f"{self.kind}({self.stream}{'' if detail is None else f', {detail}'})"


class Connection:
    """A connection, with all that came back over it."""

    def __init__(self, address, settings=(), shake_hands=True, preface=PREFACE):
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.decoder = hpack.Decoder()
        self.decoder.max_allowed_table_size = 65536
        self.pending = b""
        self.events = []
        self.settings = {}
        self.ended = False
        self.block = b""
        self.send(preface)
        if shake_hands:
            self.send(raw(SETTINGS, 0, 0, setting(*settings)))
            self.wait(lambda event: event.kind == "SETTINGS")
            self.wait(lambda event: event.kind == "SETTINGS_ACK")

    def close(self):
        self.socket.close()

    def send(self, *pieces):
        """Sends bytes; what the other side does not take any more is told by what comes back."""
        try:
            self.socket.sendall(b"".join(pieces))
        except (ConnectionError, TimeoutError):
            pass

    def request(self, stream=1, flags=END_STREAM | END_HEADERS, **parts):
        """Sends a request's HEADERS."""
        self.send(raw(HEADERS, flags, stream, plain(head(**parts))))

    def wait(self, is_it, patience=PATIENCE):
        """The next event that is meant; none if the connection ends or nothing comes before."""
        deadline = time.monotonic() + patience
        while not self.ended:
            event = self.next(deadline)
            if event is None:
                return None
            self.events.append(event)
            if is_it(event):
                return event
        return None

    def outcome(self, *streams):
        """What comes of what was sent: an error, an answer, or a sign of life."""
        self.send(raw(PING, 0, 0, b"survived"))

        def is_error(event):
            if event.kind == "RST_STREAM":
                # After a whole answer it only says that the rest of the request is not needed.
                return event.code != NO_ERROR and (not streams or event.stream in streams)
            return event.kind in ("GOAWAY", "CLOSED")

        def is_answer(event):
            return event.kind == "HEADERS" and event.stream in streams

        def is_alive(event):
            return event.kind == "PING_ACK" and event.payload == b"survived"

        event = self.wait(lambda event: is_error(event) or is_alive(event))
        if event is None or is_error(event):
            return event or Event("SILENCE")
        seen = next((event for event in reversed(self.events) if is_answer(event)), event)
        patience = PATIENCE if streams and seen is event else SOON
        later = self.wait(lambda event: is_error(event) or is_answer(event), patience)
        return later or seen

    def next(self, deadline):
        """Reads a frame."""
        header = self.read(9, deadline)
        if header is None:
            return None
        if header == b"":
            return Event("CLOSED")
        length = int.from_bytes(header[:3], "big")
        kind, flags, stream = header[3], header[4], int.from_bytes(header[5:9], "big") & 0x7FFFFFFF
        payload = self.read(length, deadline) if length else b""
        if payload is None:
            return None
        if length and payload == b"":
            return Event("CLOSED")
        return self.understand(kind, flags, stream, payload)

    def understand(self, kind, flags, stream, payload):
        """What a frame says."""
        if kind in (HEADERS, CONTINUATION):
            self.block += payload
            if not flags & END_HEADERS:
                return Event("PART", stream)
            fields, self.block = self.decoder.decode(self.block), b""
            status = next((int(value) for name, value in fields if name == ":status"), None)
            name = "TRAILERS" if status is None else "HEADERS"
            return Event(name, stream, status=status, flags=flags, fields=fields)
        if kind == SETTINGS and not flags & ACK:
            self.settings.update(struct.iter_unpack(">HL", payload))
            self.send(raw(SETTINGS, ACK, 0))
            return Event("SETTINGS")
        if kind == PING and not flags & ACK:
            self.send(raw(PING, ACK, 0, payload))
            return Event("PING")
        if kind == RST_STREAM:
            return Event("RST_STREAM", stream, code=int.from_bytes(payload, "big"))
        if kind == GOAWAY:
            return Event("GOAWAY", int.from_bytes(payload[:4], "big"), code=int.from_bytes(payload[4:8], "big"))
        names = {DATA: "DATA", SETTINGS: "SETTINGS_ACK", PING: "PING_ACK", WINDOW_UPDATE: "WINDOW_UPDATE"}
        return Event(names.get(kind, f"FRAME_{kind}"), stream, payload=payload, flags=flags)

    def read(self, count, deadline):
        """So many bytes; none after the deadline, nothing at the end."""
        while len(self.pending) < count:
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                more = self.socket.recv(65536)
            except TimeoutError:
                return None
            except OSError:
                more = b""
            if not more:
                self.ended = True
                return b""
            self.pending += more
        result, self.pending = self.pending[:count], self.pending[count:]
        return result

