"""RFC 9113 section 8: requests and answers. How heads that break a rule are kept from the backend
is in the table of this RFC; here it is what their client is told."""

from case import *
from cases_streams import OPEN, finished

CASES = Cases()
MALFORMED = stream_error(PROTOCOL_ERROR)
REFUSED = answered(400)


def exchange(number_, title, frames, expected):
    """Adds a case that compares the whole answer."""

    @CASES.add(number_, title, alive)
    def act(connection):
        connection.send(*frames)
        if not finished(connection):
            return f"there is no whole answer: {connection.events}"
        parts = [event for event in connection.events if event.stream == 1]
        status = [event.status for event in parts if event.kind == "HEADERS"]
        content = b"".join(event.payload for event in parts if event.kind == "DATA")
        seen = (status, content)
        return connection.outcome() if seen == expected else f"{seen} instead of {expected}"


POST = raw(HEADERS, END_HEADERS, 1, plain(head(method="POST", path="/echo")))
TRAILERS = raw(HEADERS, END_STREAM | END_HEADERS, 1, plain([("x-sum", "1")]))
exchange("8.1.1", "GET", [raw(HEADERS, END_STREAM | END_HEADERS, 1, plain(head(path="/echo")))], ([200], b"GET /echo "))
exchange("8.1.2", "HEAD", [raw(HEADERS, END_STREAM | END_HEADERS, 1, plain(head(method="HEAD", path="/echo")))], ([200], b""))
exchange("8.1.3", "POST", [POST, raw(DATA, 0, 1, b"te"), raw(DATA, END_STREAM, 1, b"st")], ([200], b"POST /echo test"))
exchange("8.1.4", "POST with trailers", [POST, raw(DATA, 0, 1, b"test"), TRAILERS], ([200], b"POST /echo test"))
exchange("8.1.5", "an answer that is longer than the first window allows at once", [raw(HEADERS, END_STREAM | END_HEADERS, 1, plain(head(path="/big/60000")))], ([200], b"x" * 60000))
CASES.sends("8.1.6", "a second HEADERS that does not end the stream", [OPEN, raw(HEADERS, END_HEADERS, 1, plain([("x-sum", "1")]))], MALFORMED)


def heads(section, rows):
    for at, (title, parts, *allowed) in enumerate(rows, 1):
        frame = raw(HEADERS, END_STREAM | END_HEADERS, 1, plain(head(**parts)))
        CASES.sends(f"{section}.{at}", title, [frame], *allowed)


def extra(*fields):
    return {"extra": fields}


heads("8.2.1", [
    ("a name in upper case", extra(("X-TEST", "a")), MALFORMED),
    ("a name with a space", extra(("x test", "a")), MALFORMED),
    ("a name above ASCII", extra((b"x\xff", b"a")), MALFORMED),
    ("a name with a colon", extra(("x:", "a")), MALFORMED),
    ("a value with NUL", extra(("a", "b\0")), MALFORMED),
    ("a value with CR", extra(("a", "b\rc")), MALFORMED),
    ("a value with LF", extra(("a", "b\nc")), MALFORMED),
    ("a value with space before it", extra(("a", " b")), MALFORMED, REFUSED),
    ("a value with a tab after it", extra(("a", "b\t")), MALFORMED, REFUSED),
    ("a value with a tab in it", extra(("a", "b\tc")), answered()),
])
heads("8.2.2", [
    ("connection", extra(("connection", "keep-alive")), MALFORMED),
    ("proxy-connection", extra(("proxy-connection", "keep-alive")), MALFORMED),
    ("keep-alive", extra(("keep-alive", "timeout=1")), MALFORMED),
    ("transfer-encoding", extra(("transfer-encoding", "chunked")), MALFORMED),
    ("upgrade", extra(("upgrade", "h2c")), MALFORMED),
    ("te other than trailers", extra(("te", "trailers, deflate")), MALFORMED),
    ("te: trailers", extra(("te", "trailers")), answered()),
])
heads("8.2.3", [("cookies in crumbs", extra(("cookie", "a=1"), ("cookie", "b=2")), answered())])
heads("8.3", [
    ("an unknown pseudo-field", extra((":test", "a")), MALFORMED),
    ("a pseudo-field of answers", extra((":status", "200")), MALFORMED),
    ("a pseudo-field after a field", extra(("a", "b"), (":authority", HOST)), MALFORMED),
])
heads("8.3.1", [
    ("no method", {"method": None}, MALFORMED),
    ("no scheme", {"scheme": None}, MALFORMED),
    ("no path", {"path": None}, MALFORMED),
    ("an empty path", {"path": ""}, MALFORMED),
    ("two methods", extra((":method", "GET")), MALFORMED),
    ("two schemes", extra((":scheme", "http")), MALFORMED),
    ("two paths", extra((":path", "/")), MALFORMED),
    ("two authorities", extra((":authority", HOST)), MALFORMED),
    ("Host that is not :authority", extra(("host", "b.test")), MALFORMED, REFUSED),
    ("user information", {"authority": "user@a.test"}, MALFORMED, REFUSED),
    ("a path that does not begin with a slash", {"path": "a"}, MALFORMED, REFUSED),
    ("OPTIONS *", {"method": "OPTIONS", "path": "*"}, answered()),
])


@CASES.add("8.1.7", "a pseudo-field in trailers", MALFORMED)
def pseudo_in_trailers(connection):
    connection.send(OPEN, raw(DATA, 0, 1, b"test"), raw(HEADERS, END_STREAM | END_HEADERS, 1, plain([(":method", "GET")])))
    return connection.outcome(1)


def length(claimed):
    return raw(HEADERS, END_HEADERS, 1, plain(head(method="POST", extra=[("content-length", claimed)])))


CASES.sends("8.1.1.1", "a length that is more than the content", [length("5"), raw(DATA, END_STREAM, 1, b"test")], MALFORMED, REFUSED)
CASES.sends("8.1.1.2", "a length that is less than the content", [length("3"), raw(DATA, END_STREAM, 1, b"test")], MALFORMED, REFUSED)
CASES.sends("8.1.1.3", "a length that is not that of several frames", [length("5"), raw(DATA, 0, 1, b"te"), raw(DATA, END_STREAM, 1, b"st")], MALFORMED, REFUSED)
CASES.sends("8.1.1.4", "a length of content that does not come", [raw(HEADERS, END_STREAM | END_HEADERS, 1, plain(head(method="POST", extra=[("content-length", "1")])))], MALFORMED, REFUSED)
CASES.sends("8.1.1.5", "a length that is no number", [length("a"), raw(DATA, END_STREAM, 1)], MALFORMED, REFUSED)
CASES.sends("8.4.1", "a push of a client", [OPEN, raw(PUSH_PROMISE, END_HEADERS, 1, number(2) + plain(head()))], connection_error(PROTOCOL_ERROR))
CASES.sends("8.5.1", "CONNECT with a scheme and a path", [raw(HEADERS, END_HEADERS, 1, plain(head(method="CONNECT")))], MALFORMED, REFUSED)
CASES.sends("8.5.2", "CONNECT without an authority", [raw(HEADERS, END_HEADERS, 1, plain([(":method", "CONNECT")]))], MALFORMED, answered(400, 501))
