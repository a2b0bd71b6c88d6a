"""Clients that others have published, for the test of `examples/polyglot`, whose environment has
them: `python polyglot.py DRIVE ADDRESS HOST`. HOST is what is asked for at ADDRESS, in TLS if there
is an AUTHORITY in the environment: the file of who may have signed the certificates there."""

import asyncio
import json
import os
import socket
import ssl
import sys
import threading

import grpc
import h2.config
import h2.connection
import h2.events
import httpx
import wsproto.events
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from websockets.asyncio.client import connect
from wsproto.connection import Connection, ConnectionType

LONG = 60
AUTHORITY = os.environ.get("AUTHORITY")


def trust(*protocols):
    """How to speak TLS; none where it is not spoken."""
    if AUTHORITY is None:
        return None
    context = ssl.create_default_context(cafile=AUTHORITY)
    context.set_alpn_protocols(protocols)
    return context


def stream_to(address):
    # The address is not that of the host, so clients are given a connection that is there already.
    at, port = address.split(":")
    return socket.create_connection((at, int(port)), timeout=LONG)


def channel_to(address, host):
    options = [("grpc.default_authority", host)]
    if AUTHORITY is None:
        return grpc.insecure_channel(address, options=options)
    with open(AUTHORITY, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    options.append(("grpc.ssl_target_name_override", host))
    return grpc.secure_channel(address, credentials, options=options)


def method(channel, kind, name):
    path = f"/polyglot.Greeter/{name}"
    return getattr(channel, kind)(path, StringValue.SerializeToString, StringValue.FromString)


def failure(call):
    """How a call fails."""
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it has not failed")


def drive_grpc(address, host):
    with channel_to(address, host) as channel:
        greet = method(channel, "unary_unary", "Greet")
        instances = set()
        while len(instances) < 2:
            answer, call = greet.with_call(StringValue(value="you"), timeout=LONG)
            (instance,) = [v for k, v in call.trailing_metadata() if k == "instance"]
            assert answer.value == f"Hello, you, from {instance}", answer
            instances.add(instance)

        count = method(channel, "unary_stream", "Count")
        numbers = [int(answer.value) for answer in count(StringValue(value="1000"), timeout=LONG)]
        assert numbers == list(range(1, 1001)), numbers

        # What is said second depends on the answer to what was said first.
        talk = method(channel, "stream_stream", "Talk")
        answers, heard = [], threading.Semaphore()

        def words():
            for number in range(100):
                assert heard.acquire(timeout=LONG)
                yield StringValue(value=f"word {number}")

        for answer in talk(words(), timeout=LONG):
            answers.append(answer.value)
            heard.release()
        assert answers == [f"WORD {number}" for number in range(100)], answers

        long = "x" * 1_000_000
        (answer,) = talk(iter([StringValue(value=long)]), timeout=LONG)
        assert answer.value == long.upper()

        # The failures of the service itself, of a caller's patience, and of what is not there.
        error = failure(lambda: greet(StringValue(), timeout=LONG))
        told = error.code(), error.details()
        assert told == (grpc.StatusCode.INVALID_ARGUMENT, "greet whom?"), error
        wait = method(channel, "unary_unary", "Wait")
        error = failure(lambda: wait(StringValue(), timeout=0.2))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
        error = failure(lambda: method(channel, "unary_unary", "Absent")(StringValue()))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error

        health = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(service="polyglot.Greeter"))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, answer


def drive_http2(address, host):
    """The app httpbin says what arrived there."""
    with http2_client(address, host) as client:
        answer = client.get("/get", params={"greeting": "hello"})
        assert answer.http_version == "HTTP/2", answer
        assert answer.json()["args"] == {"greeting": "hello"}, answer.text
        assert answer.json()["headers"]["Host"] == host, answer.text
        body = "x" * 1_000_000
        assert client.post("/post", content=body).json()["data"] == body
        assert client.get("/status/418").status_code == 418
        assert client.get("/stream/20").text.count('"url"') == 20
    # What HTTP/1.1 asks is answered by an instance that speaks HTTP/2.
    with http_client(address, host) as client:
        answer = client.get("/get")
        assert (answer.http_version, answer.status_code) == ("HTTP/1.1", 200), answer


def http_client(address, host, **versions):
    def name_host(request):
        request.extensions["sni_hostname"] = host

    return httpx.Client(
        base_url=f"{'http' if AUTHORITY is None else 'https'}://{address}",
        headers={"host": host},
        event_hooks={"request": [name_host]},
        verify=trust() or True,
        timeout=LONG,
        **versions,
    )


def http2_client(address, host):
    return http_client(address, host, http1=False, http2=True)


def drive_front(address, host):
    """Each path has another service answer, in the protocol of that."""
    with http2_client(address, host) as client:

        def lines(path):
            answer = client.get(path)
            assert answer.status_code == 200, answer
            return answer.text.splitlines()

        (greeting,) = lines("/greet?name=you")
        assert greeting.startswith("Hello, you, from polyglot.greeter."), greeting
        assert lines("/count?to=50") == [str(number) for number in range(1, 51)]
        assert lines("/talk?words=one+two") == ["ONE", "TWO"]
        assert lines("/echo?text=hello") == ["hello"]
        spoken, *seen = lines("/httpbin?greeting=hello")
        assert spoken == "HTTP/2 200", spoken
        assert json.loads("".join(seen))["args"] == {"greeting": "hello"}, seen


MESSAGES = ["hello", "", "ä" * 10_000, b"", b"\x00\xff" * 300_000, "last"]


def websocket_of_http1(address, host):
    """A WebSocket over HTTP/1.1, by the library `websockets`. Not by its client for threads: that
    reads and writes one TLS connection in two threads, and loses a request now and then."""
    scheme, context = ("ws", None) if AUTHORITY is None else ("wss", trust("http/1.1"))
    url = f"{scheme}://{host}/echo"
    stream = stream_to(address)
    stream.setblocking(False)
    return connect(url, sock=stream, ssl=context, max_size=None, open_timeout=LONG)


def drive_websocket(address, host):
    asyncio.run(drive_websocket_of_http1(address, host))


async def drive_websocket_of_http1(address, host):
    async with websocket_of_http1(address, host) as connection, asyncio.timeout(LONG):
        for message in MESSAGES:
            await connection.send(message)
            got = await connection.recv()
            assert got == message, (len(got), len(message))
        # Many are on their way at once.
        for number in range(200):
            await connection.send(str(number))
        assert [await connection.recv() for _ in range(200)] == list(map(str, range(200)))
    assert connection.close_code == 1000, connection.close_code


class WebsocketOfHttp2:
    """A WebSocket over HTTP/2 (RFC 8441), by the libraries `h2` and `wsproto`."""

    def __init__(self, address, host):
        self.socket = stream_to(address)
        if context := trust("h2"):
            self.socket = context.wrap_socket(self.socket, server_hostname=host)
            assert self.socket.selected_alpn_protocol() == "h2"
        config = h2.config.H2Configuration(header_encoding="utf-8")
        self.http2 = h2.connection.H2Connection(config)
        self.http2.initiate_connection()
        self.flush()
        self.opens_websockets = self.ended = self.status = None
        self.websocket = Connection(ConnectionType.CLIENT)
        while self.opens_websockets is None:
            self.receive()
        assert self.opens_websockets, "the proxy does not say that it opens WebSockets"
        self.stream = self.http2.get_next_available_stream_id()
        head = {
            ":method": "CONNECT",
            ":protocol": "websocket",
            ":scheme": "http" if AUTHORITY is None else "https",
            ":path": "/echo",
            ":authority": host,
            "sec-websocket-version": "13",
        }
        self.http2.send_headers(self.stream, list(head.items()))
        self.flush()
        while self.status is None:
            self.receive()
        assert self.status == "200", self.status

    def flush(self):
        self.socket.sendall(self.http2.data_to_send())

    def receive(self):
        data = self.socket.recv(65536)
        assert data, "the connection has ended"
        for event in self.http2.receive_data(data):
            if isinstance(event, h2.events.RemoteSettingsChanged):
                changed = event.changed_settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL)
                self.opens_websockets = changed is not None and changed.new_value == 1
            elif isinstance(event, h2.events.ResponseReceived):
                self.status = dict(event.headers)[":status"]
            elif isinstance(event, h2.events.DataReceived):
                self.http2.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
                # The stream may end in a frame without content.
                if event.data:
                    self.websocket.receive_data(event.data)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended = True
            elif isinstance(event, h2.events.StreamReset):
                raise AssertionError(f"the stream was reset: {event}")
        self.flush()

    def send(self, event):
        data = self.websocket.send(event)
        while data:
            room = self.http2.local_flow_control_window(self.stream)
            size = min(room, self.http2.max_outbound_frame_size, len(data))
            if size == 0:
                self.receive()
                continue
            self.http2.send_data(self.stream, data[:size])
            self.flush()
            data = data[size:]

    def message(self):
        """The next one, whole, or how the other side has closed."""
        parts = []
        while True:
            for event in self.websocket.events():
                if isinstance(event, wsproto.events.CloseConnection):
                    return event
                parts.append(event.data)
                if event.message_finished:
                    return type(event.data)().join(parts)
            self.receive()

    def close(self):
        self.send(wsproto.events.CloseConnection(code=1000))
        closed = self.message()
        assert closed.code == 1000, closed
        self.http2.end_stream(self.stream)
        self.flush()
        while not self.ended:
            self.receive()
        self.socket.close()


def drive_websocket_of_http2(address, host):
    client = WebsocketOfHttp2(address, host)
    for message in MESSAGES:
        client.send(wsproto.events.Message(data=message))
        got = client.message()
        assert got == message, (len(got), len(message))
    client.close()


def load(edge, *mesh):
    """Calls without end until standard input ends, through the edge and through the addresses of a
    caller within the app. Then how many there were of each kind, and what failed."""
    greeter, httpbin, echo = mesh
    over, lock = threading.Event(), threading.Lock()
    calls, releases, failed = {}, set(), []

    def repeat(name, one):
        while not over.is_set():
            try:
                release = one()
            except Exception as error:  # Whatever it is, it is one call that has failed.
                with lock:
                    failed.append(f"{name}: {error!r}")
                    return
            with lock:
                calls[name] = calls.get(name, 0) + 1
                if release and release not in releases:
                    releases.add(release)
                    print(f"release {release} has answered", flush=True)

    def unary(channel):
        greet = method(channel, "unary_unary", "Greet")

        def one():
            answer = greet(StringValue(value="you"), timeout=LONG)
            return answer.value.split(".")[-2]

        return one

    def get(client):
        def one():
            answer = client.get("/get", params={"n": "1"})
            assert answer.status_code == 200 and answer.http_version == "HTTP/2", answer
            assert answer.json()["args"] == {"n": "1"}, answer.text

        return one

    def through_front(client):
        def one():
            answer = client.get("/greet", params={"name": "you"})
            assert answer.status_code == 200, answer
            assert answer.text.startswith("Hello, you, from polyglot.greeter."), answer.text

        return one

    def conversation(channel):
        talk = method(channel, "stream_stream", "Talk")

        def one():
            words = [f"word {number}" for number in range(10)]
            answers = talk((StringValue(value=word) for word in words), timeout=LONG)
            assert [answer.value for answer in answers] == [word.upper() for word in words]

        return one

    async def echoes():
        async with websocket_of_http1(echo, "echo") as connection, asyncio.timeout(LONG):
            for number in range(10):
                await connection.send(str(number))
                assert await connection.recv() == str(number)
        assert connection.close_code == 1000, connection.close_code

    kinds = {
        "gRPC through the edge": unary(channel_to(edge, "greeter.localhost")),
        "gRPC through the mesh": unary(channel_to(greeter, "greeter")),
        "HTTP/2 through the edge": get(http2_client(edge, "httpbin2.localhost")),
        "HTTP/2 through the mesh": get(http2_client(httpbin, "httpbin")),
        "HTTP/2 through the edge and then gRPC": through_front(
            http2_client(edge, "front.localhost")
        ),
        "conversations of gRPC through the edge": conversation(
            channel_to(edge, "greeter.localhost")
        ),
        "WebSockets through the mesh": lambda: asyncio.run(echoes()),
    }
    threads = [threading.Thread(target=repeat, args=kind) for kind in kinds.items()]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"calls": calls, "failed": failed}))


DRIVES = {
    "grpc": drive_grpc,
    "http2": drive_http2,
    "front": drive_front,
    "websocket": drive_websocket,
    "websocket-of-http2": drive_websocket_of_http2,
    "load": load,
}
DRIVES[sys.argv[1]](*sys.argv[2:])
