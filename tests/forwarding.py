"""A forward proxy that knows where invented names lead, and asks for a password."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

LOGIN = "me:hush"
_DENIAL = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Forwarding:
    """Forwards to the ports of this machine that stand for `hosts`; `seen` are the addresses requested."""

    hosts: Mapping[str, int]
    url: str = ""
    seen: list[str] = field(default_factory=list)
    denied: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, whose requests all lead to one host."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, address, rest = head.split(" ", 2)
            if f"Proxy-Authorization: Basic {b64encode(LOGIN.encode()).decode()}" not in head:
                self.denied += 1
                writer.write(_DENIAL)
            else:
                self.seen.append(address)
                host, _, path = address.partition("://")[2].partition("/")
                ahead, back = await asyncio.open_connection("127.0.0.1", self.hosts[host])
                # One request a connection: the next one could lead elsewhere.
                once = rest.replace("\r\n", "\r\nConnection: close\r\n", 1) if "Upgrade" not in rest else rest
                back.write(f"{method} /{path} {once}".encode())
                await asyncio.gather(_pipe(reader, back), _pipe(ahead, writer))
        writer.close()


async def _pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await source.read(1 << 16):
            target.write(chunk)
            await target.drain()
    target.close()


@asynccontextmanager
async def forwarding(hosts: Mapping[str, int]) -> AsyncIterator[Forwarding]:
    """Run a proxy, whose address with the password is its `url`."""
    proxy = Forwarding(hosts)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://{LOGIN}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
