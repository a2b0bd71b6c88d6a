"""A gRPC server with the standard health service. Its messages are a type that comes with protobuf,
so that there is no code to generate."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

INSTANCE = os.environ["ROADBED_INSTANCE"]


def greet(request, context):
    """One question, one answer."""
    if not request.value:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "greet whom?")
    context.set_trailing_metadata([("instance", INSTANCE)])
    return StringValue(value=f"Hello, {request.value}, from {INSTANCE}")


def count(request, context):
    """One question, many answers."""
    for number in range(1, int(request.value) + 1):
        yield StringValue(value=str(number))


def talk(requests, context):
    """Both speak as long as they like."""
    for request in requests:
        yield StringValue(value=request.value.upper())


def wait(request, context):
    """An answer that never comes: it ends with the caller's patience."""
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait()
    return StringValue()


def handler(kind, function):
    return kind(function, StringValue.FromString, StringValue.SerializeToString)


GREETER = {
    "Greet": handler(grpc.unary_unary_rpc_method_handler, greet),
    "Count": handler(grpc.unary_stream_rpc_method_handler, count),
    "Talk": handler(grpc.stream_stream_rpc_method_handler, talk),
    "Wait": handler(grpc.unary_unary_rpc_method_handler, wait),
}

server = grpc.server(ThreadPoolExecutor(max_workers=32))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("polyglot.Greeter", GREETER)])
well = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(well, server)
for service in ["", "polyglot.Greeter"]:
    well.set(service, health_pb2.HealthCheckResponse.SERVING)
server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
server.start()
# Ends what it has begun, for 10 seconds at most.
signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=10))
server.wait_for_termination()
