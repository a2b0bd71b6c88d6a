"""A case: frames that are sent, and what may come of them."""

from connection import *


class Case:
    """One rule."""

    def __init__(self, number, title, act, allowed, how):
        self.number, self.title, self.act, self.allowed, self.how = number, title, act, allowed, how

    def problem(self, connect):
        """What is wrong, if anything."""
        connection = connect(**self.how)
        try:
            outcome = self.act(connection)
            if isinstance(outcome, str):
                return outcome
            if outcome is None or outcome is connection:
                outcome = connection.outcome(1)
            if any(is_it(outcome) for is_it in self.allowed):
                return None
            return f"{outcome} after {connection.events}"
        finally:
            connection.close()


def connection_error(*codes):
    """The connection is ended with one of these codes."""
    return lambda event: event.kind == "GOAWAY" and event.code in codes


def ended(code):
    """The connection is ended. The library that reads frames says PROTOCOL_ERROR where the RFC has
    a code that is more exact; h2spec counts any end of the connection."""
    return connection_error(code, PROTOCOL_ERROR)


def stream_error(*codes):
    """The stream is ended with one of these codes. The connection may be, too."""
    return lambda event: event.kind in ("RST_STREAM", "GOAWAY") and event.code in codes


def answered(*statuses):
    """There is an answer."""
    return lambda event: event.kind == "HEADERS" and event.status in (statuses or (200,))


def closed(event):
    """The connection is closed."""
    return event.kind == "CLOSED"


def alive(event):
    """Nothing has happened, and the connection is of use."""
    return event.kind == "PING_ACK"


class Cases(list):
    """A list of cases that grows by decorated functions and by bytes."""

    def add(self, number, title, *allowed, **how):
        """Adds a function that acts, and returns what came of it, a problem, or nothing."""

        def decorate(act):
            self.append(Case(number, title, act, allowed, how))
            return act

        return decorate

    def sends(self, number, title, pieces, *allowed, **how):
        """Adds a case that sends these bytes after the handshake, and looks at stream 1."""

        def act(connection):
            connection.send(*pieces)
            # Where only the connection is looked at, no answer is waited for.
            return connection.outcome() if alive in allowed else connection.outcome(1)

        self.append(Case(number, title, act, allowed, how))
