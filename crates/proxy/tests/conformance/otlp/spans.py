"""Checks the spans of requests that go through the edge to a service, and from it through the mesh
to another: that they arrive at a receiver that others wrote, and are one tree for each request.

spans.py EDGE FRONT BACK MESH COLLECTOR: addresses, of which this serves FRONT, BACK and COLLECTOR.
"""

import http.client
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

EDGE, FRONT, BACK, MESH, COLLECTOR = sys.argv[1:]
REQUESTS = 20
PATIENCE = 20

lock = threading.Lock()
exports, contexts = [], {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Collector(Handler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        export = ExportTraceServiceRequest()
        export.ParseFromString(body)
        with lock:
            exports.append((self.path, self.headers["Content-Type"], export))
        self.answer(200, ExportTraceServiceResponse().SerializeToString(), "application/x-protobuf")


class Front(Handler):
    """Asks BACK through the mesh, and passes the context on."""

    def do_GET(self):
        passed_on = {
            name: self.headers[name]
            for name in ("traceparent", "tracestate")
            if self.headers[name]
        }
        connection = http.client.HTTPConnection(MESH, timeout=PATIENCE)
        connection.request("GET", "/from-front" + self.path, headers=passed_on)
        answer = connection.getresponse()
        self.answer(answer.status, answer.read())


class Back(Handler):
    def do_GET(self):
        with lock:
            contexts[self.path.split("?")[0]] = self.headers["traceparent"]
        self.answer(500 if "fails" in self.path else 200, b"back")


def serve(address, handler):
    host, port = address.split(":")
    server = ThreadingHTTPServer((host, int(port)), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def spans():
    with lock:
        return [
            (resource, scope, span)
            for _, _, export in exports
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def attributes(of):
    values = {}
    for attribute in of.attributes:
        kind = attribute.value.WhichOneof("value")
        values[attribute.key] = getattr(attribute.value, kind)
    return values


def check(what, condition, evidence=""):
    print(f"{what} ... {'ok' if condition else f'FAILED: {evidence}'}", flush=True)


def main():
    for address, handler in ((COLLECTOR, Collector), (FRONT, Front), (BACK, Back)):
        serve(address, handler)
    paths = [f"/{number}{'-fails' if number % 5 == 0 else ''}" for number in range(REQUESTS)]
    for path in paths:
        connection = http.client.HTTPConnection(EDGE, timeout=PATIENCE)
        connection.request("GET", path + "?token=secret", headers={"Host": "a.test"})
        status = connection.getresponse().status
        assert status == (500 if "fails" in path else 200), status
    deadline = time.monotonic() + PATIENCE
    while len(spans()) < 2 * REQUESTS and time.monotonic() < deadline:
        time.sleep(0.05)
    found = spans()
    check("two spans for each request arrive", len(found) == 2 * REQUESTS, len(found))
    check(
        "they are posted as OTLP wants it",
        all(path == "/v1/traces" and kind == "application/x-protobuf" for path, kind, _ in exports),
    )
    check(
        "no field of a message is unknown",
        not any(
            len(UnknownFieldSet(part))
            for resource, scope, span in found
            for part in (resource, resource.resource, scope, scope.scope, span, span.status, *span.attributes)
        ),
    )
    check(
        "they are those of the proxy",
        all(
            attributes(resource.resource)["service.name"] == "roadbed-proxy" and scope.scope.name == "roadbed"
            for resource, scope, _ in found
        ),
    )
    edge = {attributes(span)["url.path"]: span for _, _, span in found if span.kind == Span.SPAN_KIND_SERVER}
    mesh = {attributes(span)["url.path"]: span for _, _, span in found if span.kind == Span.SPAN_KIND_CLIENT}
    check("one is of the edge and one of the mesh", len(edge) == len(mesh) == REQUESTS)
    pairs = [(edge[path], mesh["/from-front" + path]) for path in paths]
    check("those of the edge are roots", all(not outer.parent_span_id for outer, _ in pairs))
    check(
        "those of the mesh are their children",
        all(
            inner.trace_id == outer.trace_id and inner.parent_span_id == outer.span_id
            for outer, inner in pairs
        ),
    )
    check(
        "each request is a trace of its own",
        len({outer.trace_id for outer, _ in pairs}) == REQUESTS
        and len({span.span_id for _, _, span in found}) == 2 * REQUESTS,
    )
    expected = {
        "/from-front" + path: f"00-{inner.trace_id.hex()}-{inner.span_id.hex()}-01"
        for path, (_, inner) in zip(paths, pairs)
    }
    check("the last service is told of its parent", contexts == expected, (contexts, expected))
    check(
        "times are those of now, and one is within the other",
        all(
            outer.start_time_unix_nano <= inner.start_time_unix_nano
            # Both clocks are read at different moments of one request.
            and inner.start_time_unix_nano <= inner.end_time_unix_nano <= outer.end_time_unix_nano + 10**9
            and abs(time.time_ns() - outer.start_time_unix_nano) < 60 * 10**9
            for outer, inner in pairs
        ),
    )
    check(
        "names have no paths",
        all(outer.name == "GET a.test/" and inner.name == "GET app/back" for outer, inner in pairs),
        [(outer.name, inner.name) for outer, inner in pairs[:1]],
    )
    failed = Status.STATUS_CODE_ERROR
    check(
        "what failed is marked",
        all(
            (span.status.code == failed) == ("fails" in attributes(span)["url.path"])
            for _, _, span in found
        ),
    )
    of_edge, of_mesh = attributes(edge["/1"]), attributes(mesh["/from-front/1"])
    check(
        "attributes are those of the conventions",
        of_edge["http.request.method"] == "GET"
        and of_edge["http.response.status_code"] == 200
        and of_edge["server.address"] == "a.test"
        and of_edge["network.protocol.version"] == "1.1"
        and of_edge["roadbed.instance"] == "app.front.1.1"
        and of_mesh["roadbed.caller"] == "app/caller"
        and of_mesh["roadbed.release"] == 1
        and of_mesh["http.response.body.size"] == 4,
        (of_edge, of_mesh),
    )
    check("no query is in it", not any("secret" in str(span) for _, _, span in found))


main()
