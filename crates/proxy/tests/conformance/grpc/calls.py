"""Calls of gRPC through a proxy to the server beside this file, which it starts.

usage: calls.py PROXY_HOST:PORT SERVER_PORT [NAME …]
"""

import json
import os
import subprocess
import sys
import threading
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE = "/roadbed.Conformance/"
PATIENCE = 20
CASES = {}


def case(function):
    CASES[function.__name__.replace("_", " ")] = function
    return function


class Server:
    """The server as a process."""

    def __init__(self, port):
        self.port = port
        self.start()

    def start(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.py")
        words = [sys.executable, "-B", script, str(self.port)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n", "the server does not start"

    def stop(self):
        self.process.kill()
        self.process.wait()


class Peer:
    """A channel to the proxy."""

    def __init__(self, edge, options=(), host="a.test"):
        everything = [
            ("grpc.default_authority", host),
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        self.channel = grpc.insecure_channel(edge, options=everything + list(options))

    def unary(self, name):
        return self.channel.unary_unary(SERVICE + name)

    def failure(self, name, request, **how):
        """The failure of a call that must not succeed."""
        try:
            answer = self.unary(name)(request, **how)
        except grpc.RpcError as error:
            return error
        raise AssertionError(f"{answer!r} in place of a failure")


@case
def unary(peer, server):
    assert peer.unary("Unary")(b"hello", timeout=PATIENCE) == b"hello"
    assert peer.unary("Unary")(b"", timeout=PATIENCE) == b""


@case
def many_calls_at_once(peer, server):
    calls = [peer.unary("Unary").future(str(n).encode(), timeout=PATIENCE) for n in range(500)]
    assert [call.result() for call in calls] == [str(n).encode() for n in range(500)]


@case
def stream_of_the_server(peer, server):
    call = peer.channel.unary_stream(SERVICE + "ServerStream")
    messages = list(call(b"1000 100", timeout=PATIENCE))
    assert [int.from_bytes(message[:4], "big") for message in messages] == list(range(1000))
    assert list(call(b"0 0", timeout=PATIENCE)) == []


@case
def stream_of_the_client(peer, server):
    call = peer.channel.stream_unary(SERVICE + "ClientStream")
    assert call((b"c" * 100 for _ in range(1000)), timeout=PATIENCE) == b"1000 100000"
    assert call(iter(()), timeout=PATIENCE) == b"0 0"


@case
def streams_both_ways_in_turn(peer, server):
    turn, answers = threading.Semaphore(1), 0

    def ask():
        for number in range(200):
            turn.acquire()
            yield str(number).encode()

    for number, answer in enumerate(peer.channel.stream_stream(SERVICE + "BothStreams")(ask(), timeout=PATIENCE)):
        assert answer == str(number).encode()
        answers += 1
        turn.release()
    assert answers == 200


@case
def a_stream_that_fails_in_the_middle(peer, server):
    call = peer.channel.stream_stream(SERVICE + "BothStreams")(iter([b"1", b"2", b"fail", b"3"]), timeout=PATIENCE)
    heard = []
    try:
        heard.extend(iter(call.next, None))
    except grpc.RpcError as error:
        assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "as you wish")
    assert heard == [b"1", b"2"] or heard == [], heard
    assert call.code() == grpc.StatusCode.DATA_LOSS


@case
def every_status_in_trailers_alone(peer, server):
    for status in grpc.StatusCode:
        if status is grpc.StatusCode.OK:
            continue
        error = peer.failure("Fail", str(status.value[0]).encode(), timeout=PATIENCE)
        assert error.code() is status, (error.code(), status)
        assert error.details() == "für dich: 100 %\n", error.details()
        assert ("x-detail-bin", b"\x00\xff") in error.trailing_metadata()


@case
def a_method_that_nobody_has(peer, server):
    assert peer.failure("Nothing", b"", timeout=PATIENCE).code() is grpc.StatusCode.UNIMPLEMENTED


@case
def metadata_in_text_and_binary(peer, server):
    given = (("x-initial", "a, b"), ("x-binary-bin", bytes(range(256))))
    _, call = peer.unary("Unary").with_call(b"hello", metadata=given, timeout=PATIENCE)
    assert ("x-initial", "a, b") in call.initial_metadata()
    trailing = list(call.trailing_metadata())
    assert ("x-binary-bin", bytes(range(256))) in trailing
    assert [value for name, value in trailing if name == "x-order"] == ["1", "2"]


@case
def a_deadline_reaches_the_server(peer, server):
    left = int(peer.unary("Remaining")(b"", timeout=7))
    # The client rounds it up a little.
    assert 5000 < left < 7500, left


@case
def a_deadline_passes(peer, server):
    peer.unary("Wait")(b"forget", timeout=PATIENCE)
    begin = time.monotonic()
    error = peer.failure("Wait", b"", timeout=0.3)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - begin < 3
    assert peer.unary("Wait")(b"was it cancelled?", timeout=PATIENCE) == b"yes"


@case
def a_call_is_cancelled(peer, server):
    peer.unary("Wait")(b"forget", timeout=PATIENCE)
    call = peer.unary("Wait").future(b"", timeout=PATIENCE)
    # The server has it once another call, which came later, is answered.
    peer.unary("Unary")(b"", timeout=PATIENCE)
    assert call.cancel()
    assert call.code() is grpc.StatusCode.CANCELLED
    assert peer.unary("Wait")(b"was it cancelled?", timeout=PATIENCE) == b"yes"


@case
def a_stream_is_cancelled_by_its_reader(peer, server):
    call = peer.channel.unary_stream(SERVICE + "ServerStream")(b"1000000 1000", timeout=PATIENCE)
    assert next(call)[:4] == b"\0\0\0\0"
    call.cancel()
    assert peer.unary("Unary")(b"well", timeout=PATIENCE) == b"well"


@case
def large_messages(peer, server):
    message = os.urandom(1 << 20) * 16
    assert peer.unary("Unary")(message, timeout=60) == message
    answers = list(peer.channel.stream_stream(SERVICE + "BothStreams")(iter([message] * 3), timeout=60))
    assert answers == [message] * 3


@case
def compression(peer, server):
    for kind in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        message = b"compress me " * 10_000
        assert peer.unary("Unary")(message, compression=kind, timeout=PATIENCE) == message


@case
def health_is_told_and_watched(peer, server):
    health = health_pb2_grpc.HealthStub(peer.channel)
    asked = health_pb2.HealthCheckRequest(service="roadbed.Conformance")
    assert health.Check(asked, timeout=PATIENCE).status == health_pb2.HealthCheckResponse.SERVING
    watch = health.Watch(asked, timeout=PATIENCE)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()
    try:
        health.Check(health_pb2.HealthCheckRequest(service="unknown"), timeout=PATIENCE)
        raise AssertionError("an unknown service is healthy")
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.NOT_FOUND


@case
def a_server_that_restarts_costs_calls_that_are_told_and_no_channel(peer, server):
    server.stop()
    begin = time.monotonic()
    error = peer.failure("Unary", b"", wait_for_ready=True, timeout=PATIENCE)
    assert error.code() is grpc.StatusCode.UNAVAILABLE, error
    assert time.monotonic() - begin < 5, "the caller was not told at once"
    server.start()
    assert peer.unary("Unary")(b"again", wait_for_ready=True, timeout=PATIENCE) == b"again"


@case
def a_call_waits_by_retries_for_a_server_that_restarts(peer, server):
    policy = {
        "maxAttempts": 5,
        "initialBackoff": "0.5s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    service = {"methodConfig": [{"name": [{"service": "roadbed.Conformance"}], "retryPolicy": policy}]}
    patient = Peer(sys.argv[1], [("grpc.service_config", json.dumps(service))])
    server.stop()
    call = patient.unary("Unary").future(b"patient", wait_for_ready=True, timeout=PATIENCE)
    server.start()
    assert call.result() == b"patient"
    patient.channel.close()


@case
def a_stream_is_told_that_its_server_died(peer, server):
    call = peer.channel.unary_stream(SERVICE + "ServerStream")(b"100000000 1000", timeout=PATIENCE)
    assert next(call)[:4] == b"\0\0\0\0"
    server.stop()
    try:
        for _ in call:
            pass
        raise AssertionError("the stream has an orderly end")
    except grpc.RpcError as error:
        assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL), error
    server.start()


@case
def a_host_that_nobody_has(peer, server):
    other = Peer(sys.argv[1], host="b.test")
    assert other.failure("Unary", b"", timeout=PATIENCE).code() is grpc.StatusCode.UNIMPLEMENTED
    other.channel.close()


def main():
    edge, port, chosen = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    server = Server(port)
    failed = 0
    try:
        for name in chosen or CASES:
            peer = Peer(edge)
            try:
                CASES[name](peer, server)
                verdict = "ok"
            except Exception as error:
                failed += 1
                verdict = f"FAILED: {type(error).__name__}: {error}".replace("\n", " ")
            peer.channel.close()
            print(f"{name} ... {verdict}", flush=True)
    finally:
        server.stop()
    print(f"{len(chosen or CASES) - failed} kinds of calls passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
