"""Autobahn's own server, which does all that it tests, for clients that know it by another port.

usage (Python 2.7): server.py PORT
"""

import sys

from autobahntestsuite.testee import TesteeServerFactory
from twisted.internet import reactor


def main():
    port = int(sys.argv[1])
    factory = TesteeServerFactory("ws://127.0.0.1:%d" % port)
    # Else it refuses whoever was told the port of a proxy.
    factory.externalPort = None
    reactor.listenTCP(port, factory, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
