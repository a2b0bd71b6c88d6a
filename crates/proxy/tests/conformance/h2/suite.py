"""Runs the cases of HTTP/2's rules against a server and prints a line for each.

usage: suite.py HOST:PORT [NUMBER …]
"""

import sys

import cases_messages
import cases_streams
import cases_frames
from connection import Connection


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
        verdict = f"FAILED: {problem}" if problem else "ok"
        failed += problem is not None
        print(f"{case.number} {case.title} ... {verdict}", flush=True)
    print(f"{len(cases) - failed} cases passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
