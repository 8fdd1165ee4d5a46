"""One stream of a connection: OPEN, then WRTE one at a time each way until OKAY, and CLSE (protocol.txt)."""

import asyncio
import socket
from contextlib import suppress

from .wire import Link, Message, WireError

CHUNK_BYTES = 256 * 1024


class Stream:
    """Between a client's stream and the socket of a service."""

    def __init__(self, link: Link, *, local: int, remote: int) -> None:
        self._link = link
        self._local = local
        self._remote = remote
        self._loop = asyncio.get_running_loop()
        self._incoming: asyncio.Queue[bytes | bytearray | memoryview] = asyncio.Queue()
        self._may_write = asyncio.Event()
        self._owes_okay = False
        self._closed_by_client = asyncio.Event()

    async def carry(self, service: socket.socket, *, output_ends_after: int | None = None) -> None:
        """Move bytes both ways until one side ends, then CLSE; closes the service's socket."""
        with service:
            await self.accept()
            self._may_write.set()
            tasks = [
                asyncio.create_task(work)
                for work in (
                    self._to_service(service),
                    self._from_service(service, output_ends_after),
                    self._closed_by_client.wait(),
                )
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        await self._say(b"CLSE")

    async def accept(self) -> None:
        """What a service does that never says a word."""
        await self._say(b"OKAY")

    async def answer(self, text: bytes) -> None:
        """What a service that only prints does."""
        await self.accept()
        self._may_write.set()
        await self._write(text)
        await self._say(b"CLSE")

    def written(self, data: bytes | bytearray | memoryview) -> None:
        """The client sent WRTE."""
        if self._owes_okay:
            raise WireError("WRTE before the last one was answered with OKAY")
        self._owes_okay = True
        self._incoming.put_nowait(data)

    def acknowledged(self) -> None:
        """The client sent OKAY."""
        self._may_write.set()

    def closed(self) -> None:
        """The client sent CLSE."""
        self._closed_by_client.set()
        self._may_write.set()

    async def _to_service(self, service: socket.socket) -> None:
        while True:
            data = await self._incoming.get()
            with suppress(OSError):  # a service that reads no more is no fault of the client's
                await self._loop.sock_sendall(service, data)
            self._owes_okay = False
            await self._say(b"OKAY")

    async def _from_service(self, service: socket.socket, ends_after: int | None) -> None:
        left = ends_after
        while left is None or left > 0:
            try:
                data = await self._loop.sock_recv(service, min(CHUNK_BYTES, self._link.max_payload))
            except ConnectionError:
                return
            if not data:
                return
            if left is not None:
                data = data[:left]
                left -= len(data)
            await self._write(data)

    async def _write(self, data: bytes) -> None:
        await self._may_write.wait()
        if self._closed_by_client.is_set():
            return
        self._may_write.clear()
        await self._say(b"WRTE", data)
        await self._may_write.wait()

    async def _say(self, command: bytes, data: bytes = b"") -> None:
        await self._link.send(Message(command=command, arg0=self._local, arg1=self._remote, data=data))
