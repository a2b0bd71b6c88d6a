"""RFC 9113 sections 6 and 7: each type of frame, and codes of errors."""

from case import *
from cases_streams import DEPENDENCY, GET, OPEN, finished, get

CASES = Cases()

# DATA.
CASES.sends("6.1.1", "DATA on stream 0", [OPEN, raw(DATA, END_STREAM, 0, b"test")], connection_error(PROTOCOL_ERROR))
CASES.sends("6.1.2", "DATA on a stream that is half closed", [GET, raw(DATA, END_STREAM, 1, b"test")], stream_error(STREAM_CLOSED), ended(STREAM_CLOSED))
CASES.sends("6.1.3", "DATA with padding that is longer than it", [OPEN, raw(DATA, END_STREAM | PADDED, 1, b"\x06test")], connection_error(PROTOCOL_ERROR))
CASES.sends("6.1.4", "DATA with padding", [OPEN, raw(DATA, END_STREAM | PADDED, 1, b"\x03test\0\0\0")], answered())
CASES.sends("6.1.5", "DATA of padding alone", [OPEN, raw(DATA, PADDED, 1, b"\x03\0\0\0"), raw(DATA, END_STREAM, 1)], answered())
CASES.sends("6.1.6", "DATA with the padding flag and nothing in it", [OPEN, raw(DATA, END_STREAM | PADDED, 1)], connection_error(FRAME_SIZE_ERROR, PROTOCOL_ERROR))

# HEADERS.
CASES.sends("6.2.1", "HEADERS and then PRIORITY where CONTINUATION belongs", [raw(HEADERS, END_STREAM, 1, plain(head())), raw(PRIORITY, 0, 1, DEPENDENCY)], connection_error(PROTOCOL_ERROR))
CASES.sends("6.2.2", "HEADERS on stream 0", [raw(HEADERS, END_STREAM | END_HEADERS, 0, plain(head()))], connection_error(PROTOCOL_ERROR))
CASES.sends("6.2.3", "HEADERS with padding that is longer than they", [raw(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, b"\xff" + plain(head()))], connection_error(PROTOCOL_ERROR))
CASES.sends("6.2.4", "HEADERS with padding and priority", [raw(HEADERS, END_STREAM | END_HEADERS | PADDED | PRIORITIZED, 1, b"\x02" + DEPENDENCY + plain(head()) + b"\0\0")], answered())
CASES.sends("6.2.5", "HEADERS whose priority does not fit", [raw(HEADERS, END_STREAM | END_HEADERS | PRIORITIZED, 1, b"\0\0")], connection_error(FRAME_SIZE_ERROR, PROTOCOL_ERROR))

# PRIORITY.
CASES.sends("6.3.1", "PRIORITY on stream 0", [raw(PRIORITY, 0, 0, DEPENDENCY)], connection_error(PROTOCOL_ERROR))
CASES.sends("6.3.2", "PRIORITY of another length than 5", [OPEN, raw(PRIORITY, 0, 1, b"\x80\0\0\x01")], stream_error(FRAME_SIZE_ERROR), ended(FRAME_SIZE_ERROR))

# RST_STREAM.
CASES.sends("6.4.1", "RST_STREAM on stream 0", [raw(RST_STREAM, 0, 0, number(CANCEL))], connection_error(PROTOCOL_ERROR))
CASES.sends("6.4.2", "RST_STREAM on an idle stream", [raw(RST_STREAM, 0, 1, number(CANCEL))], connection_error(PROTOCOL_ERROR))
CASES.sends("6.4.3", "RST_STREAM of another length than 4", [OPEN, raw(RST_STREAM, 0, 1, b"\0\0\0")], ended(FRAME_SIZE_ERROR))

# SETTINGS.
CASES.sends("6.5.1", "SETTINGS that acknowledge and say something", [raw(SETTINGS, ACK, 0, b"\0")], ended(FRAME_SIZE_ERROR))
CASES.sends("6.5.2", "SETTINGS on a stream", [raw(SETTINGS, 0, 1, setting((MAX_STREAMS, 100)))], connection_error(PROTOCOL_ERROR))
CASES.sends("6.5.3", "SETTINGS whose length is no multiple of 6", [raw(SETTINGS, 0, 0, b"\0\x03\0")], ended(FRAME_SIZE_ERROR))
for number_, title, pair, code in [
    ("6.5.2.1", "ENABLE_PUSH above 1", (ENABLE_PUSH, 2), PROTOCOL_ERROR),
    ("6.5.2.2", "INITIAL_WINDOW_SIZE above 2^31-1", (INITIAL_WINDOW, 1 << 31), FLOW_CONTROL_ERROR),
    ("6.5.2.3", "MAX_FRAME_SIZE below 2^14", (MAX_FRAME, (1 << 14) - 1), PROTOCOL_ERROR),
    ("6.5.2.4", "MAX_FRAME_SIZE above 2^24-1", (MAX_FRAME, 1 << 24), PROTOCOL_ERROR),
]:
    CASES.sends(number_, title, [raw(SETTINGS, 0, 0, setting(pair))], ended(code))
CASES.sends("6.5.2.5", "a setting that nobody knows", [raw(SETTINGS, 0, 0, setting((0xFF, 1))), GET], answered())
CASES.sends("6.5.2.6", "ENABLE_CONNECT_PROTOCOL of a client is ignored", [raw(SETTINGS, 0, 0, setting((8, 1))), GET], answered())


@CASES.add("6.5.3.1", "of two values the last one counts", lambda event: event.kind == "DATA" and len(event.payload) == 1)
def last_value(connection):
    connection.send(raw(SETTINGS, 0, 0, setting((INITIAL_WINDOW, 100), (INITIAL_WINDOW, 1))), GET)
    return connection.wait(lambda event: event.kind == "DATA") or Event("SILENCE")


@CASES.add("6.5.3.2", "settings are acknowledged", lambda event: event.kind == "SETTINGS_ACK")
def acknowledged(connection):
    connection.send(raw(SETTINGS, 0, 0, setting((INITIAL_WINDOW, 100))))
    return connection.wait(lambda event: event.kind == "SETTINGS_ACK") or Event("SILENCE")


@CASES.add("6.5.4", "a header table of no size is respected", answered())
def no_table(connection):
    connection.decoder.max_allowed_table_size = 0
    connection.send(raw(SETTINGS, 0, 0, setting((HEADER_TABLE_SIZE, 0))))
    connection.wait(lambda event: event.kind == "SETTINGS_ACK")
    connection.send(GET)
    if not finished(connection):
        return "there is no answer"
    connection.send(get(3))
    return connection.outcome(3)


# PUSH_PROMISE.
CASES.sends("6.6.1", "PUSH_PROMISE of a client", [GET, raw(PUSH_PROMISE, END_HEADERS, 1, number(2) + plain(head()))], connection_error(PROTOCOL_ERROR))


# PING.
@CASES.add("6.7.1", "a ping is answered with what it had", lambda event: event.payload == b"whatever")
def ping(connection):
    connection.send(raw(PING, 0, 0, b"whatever"))
    return connection.wait(lambda event: event.kind == "PING_ACK") or Event("SILENCE")


@CASES.add("6.7.2", "the answer to a ping that nobody sent is ignored", alive)
def unasked_pong(connection):
    connection.send(raw(PING, ACK, 0, b"unasked!"))
    outcome = connection.outcome()
    echoed = [event for event in connection.events if event.payload == b"unasked!"]
    return "it was answered" if echoed else outcome


CASES.sends("6.7.3", "PING on a stream", [raw(PING, 0, 1, b"\0" * 8)], connection_error(PROTOCOL_ERROR))
CASES.sends("6.7.4", "PING of another length than 8", [raw(PING, 0, 0, b"\0" * 6)], ended(FRAME_SIZE_ERROR))

# GOAWAY.
CASES.sends("6.8.1", "GOAWAY on a stream", [raw(GOAWAY, 0, 1, number(0) + number(0))], connection_error(PROTOCOL_ERROR))
CASES.sends("6.8.2", "GOAWAY that is too short", [raw(GOAWAY, 0, 0, b"\0" * 7)], ended(FRAME_SIZE_ERROR))


@CASES.add("6.8.3", "a request that was sent before GOAWAY is answered", answered())
def answered_after_goaway(connection):
    connection.send(GET, raw(GOAWAY, 0, 0, number(0) + number(0) + b"bye"))
    return connection.wait(lambda event: event.kind in ("HEADERS", "CLOSED", "RST_STREAM")) or Event("SILENCE")


# WINDOW_UPDATE.
CASES.sends("6.9.1", "WINDOW_UPDATE of 0", [raw(WINDOW_UPDATE, 0, 0, number(0))], connection_error(PROTOCOL_ERROR))
CASES.sends("6.9.2", "WINDOW_UPDATE of 0 on a stream", [OPEN, raw(WINDOW_UPDATE, 0, 1, number(0))], stream_error(PROTOCOL_ERROR))
CASES.sends("6.9.3", "WINDOW_UPDATE of another length than 4", [raw(WINDOW_UPDATE, 0, 0, b"\0\0\x01")], ended(FRAME_SIZE_ERROR))


@CASES.add("6.9.1.1", "a window of one byte is respected", lambda event: event.kind == "DATA" and len(event.payload) == 1)
def one_byte(connection):
    connection.send(raw(SETTINGS, 0, 0, setting((INITIAL_WINDOW, 1))), GET)
    return connection.wait(lambda event: event.kind == "DATA") or Event("SILENCE")


CASES.sends("6.9.1.2", "a connection's window above 2^31-1", [raw(WINDOW_UPDATE, 0, 0, number((1 << 31) - 1)) * 2], connection_error(FLOW_CONTROL_ERROR))
CASES.sends("6.9.1.3", "a stream's window above 2^31-1", [OPEN, raw(WINDOW_UPDATE, 0, 1, number((1 << 31) - 1)) * 2], stream_error(FLOW_CONTROL_ERROR))


@CASES.add("6.9.1.4", "content beyond the windows that the server opened", stream_error(FLOW_CONTROL_ERROR))
def beyond_the_window(connection):
    connection.request(flags=END_HEADERS, method="POST", path="/unread")
    # More than the kernel holds for a backend that does not read.
    for _ in range(2000):
        connection.send(raw(DATA, 0, 1, b"a" * 16384))
    return connection.outcome()


@CASES.add("6.9.2.1", "a window that is changed while a stream waits", lambda event: event.kind == "DATA" and len(event.payload) == 1)
def changed_window(connection):
    connection.send(raw(SETTINGS, 0, 0, setting((INITIAL_WINDOW, 0))), GET)
    if not connection.wait(lambda event: event.kind == "HEADERS"):
        return "there is no answer"
    connection.send(raw(SETTINGS, 0, 0, setting((INITIAL_WINDOW, 1))))
    return connection.wait(lambda event: event.kind == "DATA" and event.payload) or Event("SILENCE")


@CASES.add("6.9.2.2", "a window that becomes negative", lambda event: event.kind == "DATA" and len(event.payload) == 1)
def negative_window(connection):
    connection.send(raw(SETTINGS, 0, 0, setting((INITIAL_WINDOW, 3))), GET)
    if not connection.wait(lambda event: event.kind == "DATA" and len(event.payload) == 3):
        return "three bytes were allowed"
    connection.send(raw(SETTINGS, 0, 0, setting((INITIAL_WINDOW, 2))), raw(WINDOW_UPDATE, 0, 1, number(2)))
    return connection.wait(lambda event: event.kind == "DATA" and event.payload) or Event("SILENCE")


@CASES.add("6.9.2.3", "a setting that takes a stream's window above 2^31-1", connection_error(FLOW_CONTROL_ERROR))
def setting_overflows(connection):
    connection.send(OPEN, raw(WINDOW_UPDATE, 0, 1, number(1 << 30)), raw(SETTINGS, 0, 0, setting((INITIAL_WINDOW, (1 << 31) - 1))))
    return connection.outcome()


# CONTINUATION.
def in_pieces(count, flags=END_STREAM):
    block = plain(head(extra=[("a", "b" * 100)]))
    step = len(block) // count + 1
    pieces = [block[at : at + step] for at in range(0, len(block), step)]
    last = len(pieces) - 1
    for at, piece in enumerate(pieces):
        kind = CONTINUATION if at else HEADERS
        yield raw(kind, (0 if at else flags) | (END_HEADERS if at == last else 0), 1, piece)


CASES.sends("6.10.1", "a header block in two pieces", list(in_pieces(2)), answered())
CASES.sends("6.10.2", "a header block in five pieces", list(in_pieces(5)), answered())
CASES.sends("6.10.9", "a header block in many pieces, which nobody sends, may be too much", list(in_pieces(50)), answered(), connection_error(ENHANCE_YOUR_CALM))
CASES.sends("6.10.3", "DATA within a header block", list(in_pieces(3))[:2] + [raw(DATA, END_STREAM, 1, b"test")], connection_error(PROTOCOL_ERROR))
CASES.sends("6.10.4", "CONTINUATION on stream 0", list(in_pieces(3))[:1] + [raw(CONTINUATION, END_HEADERS, 0)], connection_error(PROTOCOL_ERROR))
CASES.sends("6.10.5", "CONTINUATION on another stream", list(in_pieces(3))[:1] + [raw(CONTINUATION, END_HEADERS, 3)], connection_error(PROTOCOL_ERROR))
CASES.sends("6.10.6", "CONTINUATION after the end of HEADERS", [OPEN, raw(CONTINUATION, END_HEADERS, 1)], connection_error(PROTOCOL_ERROR))
CASES.sends("6.10.7", "CONTINUATION after the end of CONTINUATION", list(in_pieces(2, 0)) + [raw(CONTINUATION, END_HEADERS, 1)], connection_error(PROTOCOL_ERROR))
CASES.sends("6.10.8", "CONTINUATION after DATA", [OPEN, raw(DATA, 0, 1, b"test"), raw(CONTINUATION, END_HEADERS, 1)], connection_error(PROTOCOL_ERROR))

# Codes of errors that nobody knows mean nothing.
CASES.sends("7.1", "GOAWAY with an unknown code", [raw(GOAWAY, 0, 0, number(0) + number(0xFF))], alive, closed, connection_error(NO_ERROR))


@CASES.add("7.2", "RST_STREAM with an unknown code", answered())
def unknown_reset(connection):
    connection.send(OPEN, raw(RST_STREAM, 0, 1, number(0xFF)), get(3))
    return connection.outcome(3)
