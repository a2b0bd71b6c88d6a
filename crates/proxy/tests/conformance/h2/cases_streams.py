"""RFC 9113 sections 3 to 5 and RFC 7541: how a connection begins, frames and streams in general."""

from case import *

CASES = Cases()
GET = raw(HEADERS, END_STREAM | END_HEADERS, 1, plain(head()))
OPEN = raw(HEADERS, END_HEADERS, 1, plain(head(method="POST")))
DEPENDENCY = number(0) + b"\x0f"


def get(stream, **parts):
    return raw(HEADERS, END_STREAM | END_HEADERS, stream, plain(head(**parts)))


def finished(connection, stream=1):
    """Waits for the end of a stream's answer."""
    ends = lambda event: event.stream == stream and event.flags & END_STREAM
    return connection.wait(lambda event: event.kind in ("DATA", "HEADERS", "TRAILERS") and ends(event))


# The beginning.
CASES.sends("3.4.1", "a client's preface and settings", [GET], answered())
CASES.sends("3.4.2", "a request before the server's settings have arrived", [raw(SETTINGS, 0, 0), GET], answered(), shake_hands=False)
CASES.sends("3.4.3", "a preface that breaks off into something else", [b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"], closed, connection_error(PROTOCOL_ERROR), shake_hands=False, preface=b"")
CASES.sends("3.4.4", "another frame than SETTINGS first", [GET], connection_error(PROTOCOL_ERROR), shake_hands=False)


@CASES.add("3.4.5", "the server's settings come first", alive)
def server_settings(connection):
    first = connection.events[0].kind
    return connection.outcome() if first == "SETTINGS" else f"{first} came first"


# Frames.
CASES.sends("4.1.1", "a frame of an unknown type is ignored", [raw(0xFF, 0, 0, b"unknown"), GET], answered())
CASES.sends("4.1.2", "undefined flags are ignored", [raw(PING, 0xFE, 0, b"flagged!"), GET], answered())
CASES.sends("4.1.3", "the reserved bit is ignored", [raw(PING, 0, 1 << 31, b"reserved"), GET], answered())
CASES.sends("4.2.1", "a frame of 2^14 bytes", [raw(HEADERS, END_HEADERS, 1, plain(head(method="POST"))), raw(DATA, END_STREAM, 1, b"a" * 16384)], answered())
CASES.sends("4.2.2", "DATA that is larger than allowed", [OPEN, raw(DATA, END_STREAM, 1, b"a" * 16385)], stream_error(FRAME_SIZE_ERROR))
CASES.sends("4.2.3", "HEADERS that are larger than allowed", [raw(HEADERS, END_STREAM | END_HEADERS, 1, plain(head(extra=[("a", "b" * 16384)])))], connection_error(FRAME_SIZE_ERROR))
CASES.sends("4.2.4", "a frame of an unknown type that is larger than allowed", [raw(0xFF, 0, 0, b"a" * 16385)], connection_error(FRAME_SIZE_ERROR))
CASES.sends("4.3.1", "a header block that cannot be decoded", [raw(HEADERS, END_STREAM | END_HEADERS, 1, b"\x00\x00\x00\x00\x00")], ended(COMPRESSION_ERROR), stream_error(PROTOCOL_ERROR))
CASES.sends("4.3.2", "PRIORITY within a header block", [raw(HEADERS, END_STREAM, 1, plain(head())), raw(PRIORITY, 0, 1, DEPENDENCY)], connection_error(PROTOCOL_ERROR))
CASES.sends("4.3.3", "HEADERS of another stream within a header block", [raw(HEADERS, END_STREAM, 1, plain(head())), get(3)], connection_error(PROTOCOL_ERROR))
CASES.sends("4.3.4", "an empty header block", [raw(HEADERS, END_STREAM | END_HEADERS, 1)], stream_error(PROTOCOL_ERROR))

# States of streams.
CASES.sends("5.1.1", "idle: DATA", [raw(DATA, END_STREAM, 1, b"test")], connection_error(PROTOCOL_ERROR, STREAM_CLOSED))
CASES.sends("5.1.2", "idle: RST_STREAM", [raw(RST_STREAM, 0, 1, number(CANCEL))], connection_error(PROTOCOL_ERROR))
CASES.sends("5.1.3", "idle: WINDOW_UPDATE", [raw(WINDOW_UPDATE, 0, 1, number(100))], connection_error(PROTOCOL_ERROR))
CASES.sends("5.1.4", "idle: CONTINUATION", [raw(CONTINUATION, END_HEADERS, 1, plain(head()))], connection_error(PROTOCOL_ERROR))
CASES.sends("5.1.5", "half closed: DATA", [GET, raw(DATA, END_STREAM, 1, b"test")], stream_error(STREAM_CLOSED), ended(STREAM_CLOSED))
CASES.sends("5.1.6", "half closed: HEADERS", [GET, GET], stream_error(STREAM_CLOSED), ended(STREAM_CLOSED))
CASES.sends("5.1.7", "half closed: CONTINUATION", [GET, raw(CONTINUATION, END_HEADERS, 1, plain(head()))], stream_error(STREAM_CLOSED, PROTOCOL_ERROR))


@CASES.add("5.1.8", "closed by us: DATA, which may be on its way, or STREAM_CLOSED", stream_error(STREAM_CLOSED), alive)
def data_after_reset(connection):
    connection.send(OPEN, raw(RST_STREAM, 0, 1, number(CANCEL)), raw(DATA, END_STREAM, 1, b"test"))
    return connection.outcome()


@CASES.add("5.1.9", "closed by us: HEADERS", stream_error(STREAM_CLOSED, PROTOCOL_ERROR))
def headers_after_reset(connection):
    connection.send(OPEN, raw(RST_STREAM, 0, 1, number(CANCEL)), GET)
    return connection.outcome()


@CASES.add("5.1.10", "closed by us: CONTINUATION", stream_error(STREAM_CLOSED, PROTOCOL_ERROR))
def continuation_after_reset(connection):
    connection.send(OPEN, raw(RST_STREAM, 0, 1, number(CANCEL)), raw(CONTINUATION, END_HEADERS, 1))
    return connection.outcome()


def after_the_end(frame):
    def act(connection):
        connection.send(GET)
        if not finished(connection):
            return "there is no answer"
        connection.send(frame)
        return connection.outcome()

    return act


for number_, title, frame, allowed in [
    ("5.1.11", "closed: DATA", raw(DATA, END_STREAM, 1, b"test"), [stream_error(STREAM_CLOSED)]),
    ("5.1.12", "closed: HEADERS", GET, [stream_error(STREAM_CLOSED, PROTOCOL_ERROR)]),
    ("5.1.13", "closed: CONTINUATION", raw(CONTINUATION, END_HEADERS, 1), [stream_error(STREAM_CLOSED, PROTOCOL_ERROR)]),
    ("5.1.14", "closed: PRIORITY is ignored", raw(PRIORITY, 0, 1, DEPENDENCY), [alive]),
    ("5.1.15", "closed: WINDOW_UPDATE is ignored", raw(WINDOW_UPDATE, 0, 1, number(1)), [alive]),
    ("5.1.16", "closed: RST_STREAM is ignored", raw(RST_STREAM, 0, 1, number(CANCEL)), [alive]),
]:
    CASES.add(number_, title, *allowed)(after_the_end(frame))

CASES.sends("5.1.17", "idle: PRIORITY", [raw(PRIORITY, 0, 1, DEPENDENCY), GET], answered())
CASES.sends("5.1.18", "half closed: WINDOW_UPDATE", [GET, raw(WINDOW_UPDATE, 0, 1, number(1))], answered())
CASES.sends("5.1.19", "half closed: PRIORITY", [GET, raw(PRIORITY, 0, 1, DEPENDENCY)], answered())


@CASES.add("5.1.20", "half closed: RST_STREAM", alive)
def reset_half_closed(connection):
    connection.send(GET, raw(RST_STREAM, 0, 1, number(CANCEL)))
    return connection.outcome()


CASES.sends("5.1.1.1", "a stream with an even number", [get(2)], connection_error(PROTOCOL_ERROR))


@CASES.add("5.1.1.2", "a stream with a smaller number than one before", connection_error(PROTOCOL_ERROR), stream_error(STREAM_CLOSED))
def smaller_number(connection):
    connection.send(get(5))
    if not finished(connection, 5):
        return "there is no answer"
    connection.send(get(3))
    return connection.outcome()


@CASES.add("5.1.2.1", "more streams than the server allows", stream_error(PROTOCOL_ERROR, REFUSED_STREAM))
def too_many_streams(connection):
    most = connection.settings.get(MAX_STREAMS)
    if most is None:
        return "the server does not say how many streams there may be"
    connection.send(*[raw(HEADERS, END_HEADERS, 2 * n + 1, plain(head(method="POST"))) for n in range(most + 1)])
    return connection.outcome()


CASES.sends("5.3.1", "HEADERS that depend on their own stream (RFC 7540; RFC 9113 has no such rule)", [raw(HEADERS, END_STREAM | END_HEADERS | PRIORITIZED, 1, number(1) + b"\xff" + plain(head()))], stream_error(PROTOCOL_ERROR), answered())
CASES.sends("5.3.2", "PRIORITY that depends on its own stream (RFC 7540; RFC 9113 has no such rule)", [raw(PRIORITY, 0, 1, number(1) + b"\xff"), GET], stream_error(PROTOCOL_ERROR), answered())
CASES.sends("5.3.3", "PRIORITY of the highest weight, exclusive, on a stream to come", [raw(PRIORITY, 0, 9, number(1 << 31 | 7) + b"\xff"), GET], answered())


@CASES.add("5.4.1.1", "an error of the connection ends it", closed)
def an_error_ends_the_connection(connection):
    connection.send(raw(PING, 0, 3, b"\0" * 8))
    if not connection.wait(lambda event: event.kind == "GOAWAY"):
        return "there is no GOAWAY"
    return connection.wait(lambda event: event.kind == "CLOSED") or Event("SILENCE")


@CASES.add("5.4.1.2", "GOAWAY names the last stream", lambda event: event.kind == "GOAWAY" and event.stream == 1)
def goaway_names_the_last_stream(connection):
    connection.send(GET)
    if not finished(connection):
        return "there is no answer"
    connection.send(raw(PING, 0, 3, b"\0" * 8))
    return connection.outcome()


@CASES.add("5.4.2", "no error of a stream is answered to RST_STREAM", alive)
def no_reset_for_a_reset(connection):
    connection.send(OPEN, raw(RST_STREAM, 0, 1, number(CANCEL)), raw(RST_STREAM, 0, 1, number(CANCEL)))
    return connection.outcome()


CASES.sends("5.5.1", "an unknown frame on a stream is ignored", [OPEN, raw(0xFE, 0xFF, 1, b"unknown"), raw(DATA, END_STREAM, 1, b"a")], answered())
CASES.sends("5.5.2", "an unknown frame within a header block", [raw(HEADERS, END_STREAM, 1, plain(head())), raw(0xFE, 0, 1, b"unknown"), raw(CONTINUATION, END_HEADERS, 1)], connection_error(PROTOCOL_ERROR))

# RFC 7541.
INDEXED = b"\x82\x86\x84"  # GET, http, /


def block(rest, title, code, *allowed):
    CASES.sends(code, title, [raw(HEADERS, END_STREAM | END_HEADERS, 1, rest)], *allowed)


HOST_FIELD = b"\x41\x06a.test"
FULL = INDEXED + HOST_FIELD
block(FULL, "fields by their index", "7541.6.1.1", answered())
block(INDEXED + b"\x01\x06a.test", "a literal that is not indexed", "7541.6.2.2", answered())
block(INDEXED + b"\x11\x06a.test", "a literal that is never indexed", "7541.6.2.3", answered())
block(FULL + b"\x40\x01a\x01b\xbe", "a new name that is indexed, and used again", "7541.6.2.1", answered())
block(INDEXED + b"\x41" + hpack.Encoder().encode([(":authority", HOST)], huffman=True)[1:], "Huffman's code", "7541.5.2.0", answered())
block(b"\x20\x3f\xe1\x1f" + FULL, "two changes of the table's size", "7541.6.3.1", answered())
block(FULL + b"\xbf", "an index beyond the table", "7541.2.3.3", ended(COMPRESSION_ERROR))
block(FULL + b"\x20", "a change of the table's size after fields", "7541.4.2", ended(COMPRESSION_ERROR))
block(FULL + b"\x00\x01a\x82\x1f\xff", "Huffman's code padded by more than 7 bits", "7541.5.2.1", ended(COMPRESSION_ERROR))
block(FULL + b"\x00\x01a\x81\x18", "Huffman's code padded by zeros", "7541.5.2.2", ended(COMPRESSION_ERROR))
block(FULL + b"\x00\x01a\x84\xff\xff\xff\xff", "the end of strings within Huffman's code", "7541.5.2.3", ended(COMPRESSION_ERROR))
block(FULL + b"\x80", "the index 0", "7541.6.1.2", ended(COMPRESSION_ERROR))
block(b"\x3f\xe2\x1f" + FULL, "a table that is larger than allowed", "7541.6.3.2", ended(COMPRESSION_ERROR))
block(FULL + b"\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "an integer that no counter holds", "7541.5.1", ended(COMPRESSION_ERROR))
block(FULL + b"\x00\x7f", "a literal that breaks off", "7541.5.2.4", ended(COMPRESSION_ERROR))
