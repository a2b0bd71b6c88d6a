"""A WebSocket server that sends back what it gets, text as text and bytes as bytes."""

import asyncio
import http
import os
import signal

from websockets.asyncio.server import serve


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def health(connection, request):
    if request.path == "/healthz":
        return connection.respond(http.HTTPStatus.OK, "well\n")


async def main():
    async with serve(
        echo, "127.0.0.1", int(os.environ["PORT"]), process_request=health, max_size=16 * 2**20
    ) as server:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
        await server.wait_closed()


asyncio.run(main())
