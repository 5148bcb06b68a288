"""The gateway of the Discord that tests play: sessions, resuming with replay, and what can go wrong."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import WSMsgType, web

APPLICATION_ID = 1000
GUILD_ID = 7000
CHANNEL_ID = 7100
USER: dict[str, Any] = {"id": "1001", "username": "liqmap", "discriminator": "0", "avatar": None, "bot": True}
# View Channels, Send Messages, Embed Links, Attach Files
PERMISSIONS = str(1 << 10 | 1 << 11 | 1 << 14 | 1 << 15)


def guild(channels: int) -> dict[str, Any]:
    """Return a guild with some text channels and the bot in it."""
    role = {"id": str(GUILD_ID), "name": "@everyone", "permissions": PERMISSIONS, "position": 0}
    return {
        "id": str(GUILD_ID),
        "name": "Floor",
        "owner_id": "1",
        "roles": [role | {"color": 0, "hoist": False, "managed": False, "mentionable": False}],
        "emojis": [],
        "features": [],
        "channels": [
            {"id": str(CHANNEL_ID + place), "type": 0, "name": f"trading-{place}", "position": place}
            for place in range(channels)
        ],
        "threads": [],
        "members": [{"user": USER, "roles": [], "joined_at": "2026-01-01T00:00:00+00:00", "flags": 0}],
        "member_count": 1,
        "presences": [],
        "voice_states": [],
        "large": False,
        "unavailable": False,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "premium_tier": 0,
        "preferred_locale": "en-US",
        "system_channel_flags": 0,
        "stickers": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
    }


class Gateway:
    """One client's gateway. What is sent while it is away waits for it to resume.

    With `several`, all clients that identify are there at once, and none of them resumes.
    """

    def __init__(self, channels: int = 1) -> None:
        self._channels = channels
        self.url = ""
        self.heartbeat_ms = 41_250
        self.refusals = 0
        self.rejects: int | None = None
        self.identified = 0
        self.resumed = 0
        self.forgets = False
        self.silent = False
        self.withholds = False
        self.withheld = asyncio.Event()
        self.several = False
        self._beside: list[web.WebSocketResponse] = []
        self._events: list[dict[str, Any]] = []
        self._socket: web.WebSocketResponse | None = None
        self._ready = asyncio.Event()

    async def dispatch(self, name: str, content: dict[str, Any]) -> None:
        """Send an event to the client, now or when it resumes."""
        await self._ready.wait()
        event = {"op": 0, "t": name, "s": len(self._events) + 1, "d": content}
        self._events.append(event)
        if self._socket is not None and not self._socket.closed and not self.silent:
            await self._socket.send_str(json.dumps(event))
        for socket in self._beside:
            if not socket.closed:
                await socket.send_str(json.dumps(event))

    async def drop(self, code: int) -> None:
        """Close the connection; the client is away until it comes back."""
        await self._ready.wait()
        socket, self._socket = self._socket, None
        if socket is not None and not socket.closed:
            await socket.close(code=code)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Play the gateway to one connection."""
        if self.refusals:
            self.refusals -= 1
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if self.withholds:
            self.withheld.set()
        else:
            await socket.send_json({"op": 10, "d": {"heartbeat_interval": self.heartbeat_ms}})
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._answer(socket, message.json())
        return socket

    async def _answer(self, socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
        match message["op"]:
            case 1 if not self.silent:
                await socket.send_json({"op": 11})
            case 2 if self.rejects:
                await socket.close(code=self.rejects)
            case 2:
                self.identified += 1
                if self.several and self._socket is not None:
                    self._beside.append(self._socket)
                self.silent = False
                self._events = []
                await self._welcome(socket)
            case 6 if self.forgets:
                self.forgets = False
                await socket.send_json({"op": 9, "d": False})
            case 6:
                self.resumed += 1
                self.silent = False
                self._socket = socket
                for event in self._events[message["d"]["seq"] :]:
                    await socket.send_str(json.dumps(event))
                await socket.send_json({"op": 0, "t": "RESUMED", "s": len(self._events), "d": {}})

    async def _welcome(self, socket: web.WebSocketResponse) -> None:
        ready = {
            "v": 10,
            "user": USER,
            "guilds": [{"id": str(GUILD_ID), "unavailable": True}],
            "session_id": "session",
            "shard": [0, 1],
            "resume_gateway_url": self.url,
            "application": {"id": str(APPLICATION_ID), "flags": 0},
        }
        self._socket = socket
        self._ready.set()
        await self.dispatch("READY", ready)
        await self.dispatch("GUILD_CREATE", guild(self._channels))
