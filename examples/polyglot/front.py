"""An app for ASGI that calls the other services with the clients that are published for them. It
finds them in its environment and knows nothing else of where they are."""

import os
from urllib.parse import parse_qs

import grpc
import httpx
from google.protobuf.wrappers_pb2 import StringValue
from websockets.asyncio.client import connect

ECHO = os.environ["ECHO_URL"].replace("http", "ws", 1)


class Clients:
    """Made when the server starts, since they belong to its loop."""

    def __init__(self):
        channel = grpc.aio.insecure_channel(os.environ["GREETER_ADDR"])
        messages = dict(
            request_serializer=StringValue.SerializeToString,
            response_deserializer=StringValue.FromString,
        )
        self.greet = channel.unary_unary("/polyglot.Greeter/Greet", **messages)
        self.count = channel.unary_stream("/polyglot.Greeter/Count", **messages)
        self.talk = channel.stream_stream("/polyglot.Greeter/Talk", **messages)
        self.http2 = httpx.AsyncClient(
            base_url=os.environ["HTTPBIN_HTTP2_URL"], http1=False, http2=True, timeout=30
        )


async def lines(clients, path, query):
    """What is answered, line by line as it comes."""
    if path == "/greet":
        answer = await clients.greet(StringValue(value=query["name"]), timeout=10)
        yield answer.value
    elif path == "/count":
        async for answer in clients.count(StringValue(value=query["to"])):
            yield answer.value
    elif path == "/talk":
        call = clients.talk()
        for word in query["words"].split():
            await call.write(StringValue(value=word))
            yield (await call.read()).value
        await call.done_writing()
    elif path == "/httpbin":
        answer = await clients.http2.get("/anything", params=query)
        yield f"{answer.http_version} {answer.status_code}"
        yield answer.text
    elif path == "/echo":
        async with connect(ECHO) as connection:
            await connection.send(query["text"])
            yield await connection.recv()
    elif path == "/healthz":
        yield "well"


async def answer(clients, scope, send):
    query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
    headers = [(b"content-type", b"text/plain"), (b"instance", os.environb[b"ROADBED_INSTANCE"])]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for line in lines(clients, scope["path"], query):
        body = f"{line}\n".encode()
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body"})


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["clients"] = Clients()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "http":
        await answer(scope["state"]["clients"], scope, send)
