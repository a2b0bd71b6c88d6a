"""Runs the cases of HTTP/2's rules against a server and prints a line for each.

usage: suite.py HOST:PORT [NUMBER …]
"""

import sys

import cases_messages
import cases_streams
import cases_frames
from connection import Connection

# What the library that reads frames does not check, and we cannot see.
KNOWN = {
    "8.1.7": "the pseudo-field is dropped, and the request is answered",
}


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    address, chosen = (host, int(port)), sys.argv[2:]
    cases = cases_streams.CASES + cases_frames.CASES + cases_messages.CASES
    numbers = [case.number for case in cases]
    assert len(set(numbers)) == len(numbers), "two cases have the same number"
    failed = 0
    for case in cases:
        if chosen and case.number not in chosen:
            continue
        problem = case.problem(lambda **how: Connection(address, **how))
        if case.number in KNOWN:
            # One that is right at last is to be taken off the list.
            verdict = f"known: {KNOWN[case.number]}" if problem else "FAILED: it is right"
            failed += problem is None
        else:
            verdict = f"FAILED: {problem}" if problem else "ok"
            failed += problem is not None
        print(f"{case.number} {case.title} ... {verdict}", flush=True)
    print(f"{len(cases) - failed} cases passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
