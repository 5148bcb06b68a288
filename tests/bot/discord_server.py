"""A server on this machine that speaks as much of Discord's API and gateway as one command needs."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import WSMsgType, web

APPLICATION_ID = 1000
USER: dict[str, Any] = {"id": "1001", "username": "liqmap", "discriminator": "0", "avatar": None, "bot": True}
TOKEN = "TestToken.OnlyFor.ThisServer"  # noqa: S105 - the server's own


def _json(content: Any, *, status: int = 200) -> web.Response:
    # discord.py reads JSON only where the type is Discord's own to the letter, without a charset.
    return web.Response(body=json.dumps(content).encode(), status=status, content_type="application/json")


class Answered:
    """What the bot has answered to one interaction."""

    def __init__(self) -> None:
        self.acknowledged = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()
        self.deleted = asyncio.get_running_loop().create_future()
        self.callback: dict[str, Any] = {}
        self.message: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}


class DiscordServer:
    """Plays Discord on 127.0.0.1. Use it as `async with DiscordServer() as server`."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []
        self.syncs = 0
        self.answers: dict[str, Answered] = defaultdict(Answered)
        self._interactions = 0
        self._gateway: asyncio.Future[web.WebSocketResponse] | None = None

    async def __aenter__(self) -> Self:
        self._gateway = asyncio.get_running_loop().create_future()
        app = web.Application()
        app.router.add_get("/api/users/@me", self._me)
        app.router.add_get("/api/oauth2/applications/@me", self._application)
        app.router.add_put("/api/applications/{id}/commands", self._sync)
        app.router.add_post("/api/interactions/{id}/{token}/callback", self._callback)
        app.router.add_patch("/api/webhooks/{id}/{token}/messages/@original", self._message)
        app.router.add_delete("/api/webhooks/{id}/{token}/messages/@original", self._delete)
        app.router.add_post("/api/webhooks/{id}/{token}", self._message)
        app.router.add_get("/gateway/", self._serve_gateway)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def api_url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self._port}/api"

    @property
    def settings(self) -> str:
        """The [discord] table of the settings file."""
        return (
            f'discord.api_url = "http://127.0.0.1:{self._port}/api"\n'
            f'discord.gateway_url = "ws://127.0.0.1:{self._port}/gateway/"\n'
        )

    async def command(self, name: str, *, user: int = 1, **options: str) -> Answered:
        """Let a user type a command in a private chat; return what will be answered."""
        assert self._gateway is not None
        socket = await self._gateway
        self._interactions += 1
        token = f"interaction-{self._interactions}"
        person = {"id": str(2000 + user), "username": f"user{user}", "discriminator": "0", "avatar": None}
        payload = {
            "id": str(5000 + self._interactions),
            "application_id": str(APPLICATION_ID),
            "type": 2,
            "token": token,
            "version": 1,
            "data": {
                "id": "3000",
                "name": name,
                "type": 1,
                "options": [{"name": key, "type": 3, "value": value} for key, value in options.items()],
            },
            "channel": {"id": "4000", "type": 1, "recipients": [person]},
            "channel_id": "4000",
            "user": person,
            "locale": "en-US",
            "entitlements": [],
            "authorizing_integration_owners": {"1": person["id"]},
            "context": 2,
            "app_permissions": "0",
            "attachment_size_limit": 10_000_000,
        }
        answered = self.answers[token]
        await socket.send_str(json.dumps({"op": 0, "t": "INTERACTION_CREATE", "s": 1, "d": payload}))
        return answered

    async def _me(self, request: web.Request) -> web.Response:
        if request.headers["Authorization"] != f"Bot {TOKEN}":
            return _json({"message": "401: Unauthorized", "code": 0}, status=401)
        return _json(USER)

    async def _application(self, _: web.Request) -> web.Response:
        return _json(
            {
                "id": str(APPLICATION_ID),
                "name": "liqmap",
                "icon": None,
                "description": "",
                "bot_public": True,
                "bot_require_code_grant": False,
                "verify_key": "",
                "flags": 0,
                "team": None,
                "owner": USER,
            }
        )

    async def _sync(self, request: web.Request) -> web.Response:
        self.syncs += 1
        self.commands = [
            {**command, "id": str(3000 + place), "application_id": str(APPLICATION_ID), "version": "1"}
            for place, command in enumerate(await request.json())
        ]
        return _json(self.commands)

    async def _callback(self, request: web.Request) -> web.Response:
        answered = self.answers[request.match_info["token"]]
        answered.callback = await request.json()
        answered.acknowledged.set_result(None)
        if answered.callback["type"] == 4:
            answered.message = answered.callback["data"]
            answered.done.set_result(None)
        interaction = {"id": request.match_info["id"], "type": 2}
        return _json({"interaction": interaction, "resource": {"type": answered.callback["type"]}})

    async def _message(self, request: web.Request) -> web.Response:
        answered = self.answers[request.match_info["token"]]
        if request.content_type == "application/json":
            answered.message = await request.json()
        else:
            form = await request.post()
            answered.message = json.loads(str(form["payload_json"]))
            answered.files = {
                part.filename: part.file.read() for part in form.values() if isinstance(part, web.FileField)
            }
        # A progress bar is an edit too, without an embed.
        if not answered.done.done() and (answered.files or request.method == "POST"):
            answered.done.set_result(None)
        return _json(
            {
                "id": "6000",
                "type": 20,
                "channel_id": "4000",
                "author": USER,
                "content": "",
                "timestamp": "2026-01-01T00:00:00+00:00",
                "edited_timestamp": None,
                "tts": False,
                "mention_everyone": False,
                "mentions": [],
                "mention_roles": [],
                "attachments": [],
                "embeds": [],
                "pinned": False,
                "flags": 0,
                "components": [],
            }
        )

    async def _delete(self, request: web.Request) -> web.Response:
        self.answers[request.match_info["token"]].deleted.set_result(None)
        return web.Response(status=204)

    async def _serve_gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": 41250}})
        answers: dict[int, Callable[[], dict[str, Any]]] = {2: self._ready, 1: lambda: {"op": 11}}
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            operation = message.json()["op"]
            if operation in answers:
                await socket.send_json(answers[operation]())
            if operation == 2 and self._gateway is not None:
                self._gateway.set_result(socket)
        return socket

    def _ready(self) -> dict[str, Any]:
        ready = {
            "v": 10,
            "user": USER,
            "guilds": [],
            "session_id": "session",
            "shard": [0, 1],
            "resume_gateway_url": f"ws://127.0.0.1:{self._port}/gateway/",
            "application": {"id": str(APPLICATION_ID), "flags": 0},
        }
        return {"op": 0, "t": "READY", "s": 1, "d": ready}
