"""A server of gRPC whose methods do what their callers ask for.

usage: server.py PORT
"""

import sys
import threading
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SERVICE = "roadbed.Conformance"
CANCELLED = threading.Event()


def unary(request, context):
    """Answers with the request, and with the metadata that the caller asked for."""
    given = dict(context.invocation_metadata())
    if "x-initial" in given:
        context.send_initial_metadata((("x-initial", given["x-initial"]),))
    if "x-binary-bin" in given:
        context.set_trailing_metadata((("x-binary-bin", given["x-binary-bin"]), ("x-order", "1"), ("x-order", "2")))
    return request


def fail(request, context):
    """Fails without having answered anything: its head and trailers are one."""
    context.set_trailing_metadata((("x-detail-bin", b"\x00\xff"),))
    code = next(code for code in grpc.StatusCode if code.value[0] == int(request))
    context.abort(code, "für dich: 100 %\n")


def wait(request, context):
    """Takes as long as the caller lets it; remembers whether the caller gave up."""
    if request == b"was it cancelled?":
        return b"yes" if CANCELLED.wait(5) else b"no"
    if request == b"forget":
        CANCELLED.clear()
        return b""
    context.add_callback(CANCELLED.set)
    while context.is_active():
        time.sleep(0.01)
    return b""


def remaining(request, context):
    """How long the caller still waits, in milliseconds."""
    return str(int((context.time_remaining() or 0) * 1000)).encode()


def server_stream(request, context):
    """So many messages of so many bytes."""
    count, size = map(int, request.split())
    for number in range(count):
        yield number.to_bytes(4, "big") + b"s" * size


def client_stream(requests, context):
    """How many messages there were, and how many bytes."""
    count, size = 0, 0
    for request in requests:
        count, size = count + 1, size + len(request)
    return f"{count} {size}".encode()


def both_streams(requests, context):
    """Each message as it comes; fails at the one that asks for it."""
    for request in requests:
        if request == b"fail":
            context.abort(grpc.StatusCode.DATA_LOSS, "as you wish")
        yield request


def main():
    kinds = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Wait": grpc.unary_unary_rpc_method_handler(wait),
        "Remaining": grpc.unary_unary_rpc_method_handler(remaining),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "BothStreams": grpc.stream_stream_rpc_method_handler(both_streams),
    }
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, kinds),))
    checks = health.HealthServicer()
    checks.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    if not server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}"):
        sys.exit("the port is taken")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
