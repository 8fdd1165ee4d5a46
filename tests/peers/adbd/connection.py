"""One client's connection: CNXN and AUTH first, then streams (protocol.txt, SERVICES.TXT)."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .auth import PUBLIC_KEY, SIGNATURE, TOKEN, Authority, new_token
from .faults import Faults
from .streams import Stream
from .wire import VERSION, VERSION_CHECKSUMS, Link, Message, Traffic, WireError

SPAWNED = ("shell", "exec", "sync")
LEGACY_PAYLOAD = 4096
NOT_ROOT = b"adbd cannot run as root in production builds\n"


@dataclass(frozen=True, kw_only=True)
class Host:
    """What a connection needs of the device it leads to."""

    banner: bytes
    version: int
    max_payload: int
    authority: Authority
    faults: Faults
    traffic: Traffic
    spawn: Callable[[str], Awaitable[socket.socket]]
    """Starts a service inside the phone and returns our end of it; raises OSError."""
    reboot: Callable[[], None]


class Connection:
    """Serves one socket until it ends."""

    def __init__(self, sock: socket.socket, host: Host) -> None:
        self._host = host
        self._socket = sock
        self._link = Link(sock, host.faults, host.traffic)
        self._streams: dict[int, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._next_id = 1

    async def serve(self) -> None:
        """To the end of the connection, whoever ends it."""
        try:
            if not await self._admit():
                return
            while True:
                self._handle(await self._link.receive())
        except WireError as error:
            self._host.traffic.errors.append(str(error))
        except (OSError, EOFError):
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            try:
                await asyncio.gather(*self._tasks, return_exceptions=True)
            finally:  # the device may be stopped meanwhile
                self._socket.close()

    async def _admit(self) -> bool:
        hello = await self._link.receive()
        while self._host.faults.offline:
            await self._link.receive()
        if hello.command != b"CNXN":
            raise WireError(f"{hello.command!r} instead of CNXN")
        if hello.arg0 < VERSION_CHECKSUMS or hello.arg1 < LEGACY_PAYLOAD:
            raise WireError(f"CNXN with version {hello.arg0:#x} and payloads of {hello.arg1} bytes")
        if not bytes(hello.data).startswith(b"host:"):
            raise WireError(f"CNXN from {bytes(hello.data)!r}")
        if self._host.faults.take_tls():
            await self._link.send(Message(command=b"STLS", arg0=VERSION_CHECKSUMS, arg1=0))
            await self._link.receive()
        version = min(hello.arg0, self._host.version)
        max_payload = min(hello.arg1, self._host.max_payload)
        if not await self._is_authorised():
            return False
        # The greeting itself still carries its checksum.
        await self._link.send(
            Message(
                command=b"CNXN",
                arg0=self._host.version,
                arg1=self._host.max_payload,
                data=self._host.banner,
            )
        )
        self._link.agree(version=version, max_payload=max_payload)
        return True

    async def _is_authorised(self) -> bool:
        authority = self._host.authority
        while not authority.is_open:
            token = new_token()
            await self._link.send(Message(command=b"AUTH", arg0=TOKEN, arg1=0, data=token))
            reply = await self._link.receive()
            if reply.command != b"AUTH":
                raise WireError(f"{reply.command!r} instead of AUTH")
            if reply.arg0 == SIGNATURE and authority.accepts_signature(token, bytes(reply.data)):
                return True
            if reply.arg0 == PUBLIC_KEY:
                # The question is on the phone's screen; the client waits.
                key = bytes(reply.data).rstrip(b"\0").decode()
                while not authority.accepts_key(key):
                    await asyncio.sleep(0.05)
                    if self._socket.fileno() < 0 or _has_ended(self._socket):
                        return False
                return True
        return True

    def _handle(self, message: Message) -> None:
        stream = self._streams.get(message.arg1)
        match message.command:
            case b"OPEN":
                self._open(message)
            case b"OKAY" if stream:
                stream.acknowledged()
            case b"WRTE" if stream:
                stream.written(message.data)
            case b"CLSE" if stream:
                stream.closed()
            case b"OKAY" | b"WRTE" | b"CLSE":
                pass  # said before our CLSE reached the client
            case _:
                raise WireError(f"{message.command!r} on a connection that stands")

    def _open(self, message: Message) -> None:
        name = bytes(message.data)
        if not name.endswith(b"\0") and self._link.version < VERSION:
            raise WireError(f"OPEN of {name!r} without a NUL")
        service = name.rstrip(b"\0").decode(errors="surrogateescape")
        self._host.traffic.services.append(service)
        local, self._next_id = self._next_id, self._next_id + 1
        self._streams[local] = Stream(self._link, local=local, remote=message.arg0)
        task = asyncio.create_task(self._run(service, local, message.arg0))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._host.traffic.ended)

    async def _run(self, service: str, local: int, remote: int) -> None:
        stream = self._streams[local]
        kind = service.partition(":")[0].partition(",")[0]
        try:
            if kind in SPAWNED and ":" in service:
                await self._carry(stream, service, remote)
            elif kind == "root":
                await stream.answer(NOT_ROOT)
            elif kind == "reboot":
                await stream.accept()
                self._host.reboot()
            else:
                await self._refuse(remote)
        except WireError as error:
            self._host.traffic.errors.append(str(error))
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the connection's reader says so too
        finally:
            del self._streams[local]

    async def _carry(self, stream: Stream, service: str, remote: int) -> None:
        try:
            inside = await self._host.spawn(service)
        except OSError:
            await self._refuse(remote)
            return
        end = None if service.startswith("sync") else self._host.faults.take_output_end()
        await stream.carry(inside, output_ends_after=end)

    async def _refuse(self, remote: int) -> None:
        await self._link.send(Message(command=b"CLSE", arg0=0, arg1=remote))


def _has_ended(sock: socket.socket) -> bool:
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
