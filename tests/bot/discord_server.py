"""A server on this machine that speaks as much of Discord's API and gateway as one command needs."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from enum import Enum
from types import TracebackType
from typing import Any, Self

import discord
from aiohttp import ClientSession, web

from liqmap import utc_now
from tests.bot.discord_gateway import APPLICATION_ID, CHANNEL_ID, GUILD_ID, USER, Gateway

__all__ = ["APPLICATION_ID", "CHANNEL_ID", "GUILD_ID", "TOKEN", "DiscordServer", "Fault"]

_NONCE_HOLDS = timedelta(minutes=3)
TOKEN = "TestToken.OnlyFor.ThisServer"  # noqa: S105 - the server's own


def _json(content: Any, *, status: int = 200) -> web.Response:
    # discord.py reads JSON only where the type is Discord's own to the letter, without a charset.
    return web.Response(body=json.dumps(content).encode(), status=status, content_type="application/json")


class Fault(Enum):
    """What goes wrong with a request."""

    RESET = "the connection is reset before anything has happened"
    RESET_AFTER = "it is done, but the connection is reset before the answer"
    UNAVAILABLE = "503"
    CLOUDFLARE = "429 without a Via header"
    GONE = "404"
    DRIP = "it is done, but its answer comes one byte at a time, without an end"


_BY_CHANCE = (Fault.RESET, Fault.RESET_AFTER, Fault.UNAVAILABLE, Fault.CLOUDFLARE, Fault.DRIP)
_DRIP_SECONDS = 0.2


class Answered:
    """What the bot has answered to one interaction."""

    def __init__(self) -> None:
        self.acknowledged = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()
        self.deleted = asyncio.get_running_loop().create_future()
        self.callback: dict[str, Any] = {}
        self.callbacks = 0
        self.message: dict[str, Any] = {}
        self.edits: list[dict[str, Any]] = []
        self.follow_ups: list[dict[str, Any]] = []
        self.messages = 0
        self.files: dict[str, bytes] = {}


class DiscordServer:
    """Plays Discord on 127.0.0.1. Use it as `async with DiscordServer() as server`.

    By its clock `now` it gives out ids, and knows a nonce again for three minutes, the least that Discord's
    "past few minutes" can mean. Where `chance` says so, something goes wrong. `interactions` is how many
    there were before: a bot answers none twice.
    """

    def __init__(
        self, *, now: Callable[[], datetime] = utc_now, channels: int = 1, interactions: int = 0
    ) -> None:
        self._now = now
        self.chance: Callable[[], bool] = lambda: False
        self.faults = 0
        self.commands: list[dict[str, Any]] = []
        self.syncs = 0
        self.answers: dict[str, Answered] = defaultdict(Answered)
        self.posts: list[dict[str, Any]] = []
        self.bodies: deque[tuple[str, str, Any]] = deque(maxlen=1000)
        self.gateway = Gateway(channels)
        self.posted = asyncio.Event()
        self._faults: list[tuple[str, re.Pattern[str], Fault]] = []
        self._interactions = interactions

    def plan(self, method: str, path: str, *faults: Fault) -> None:
        """Let the next requests of `method` whose path `path` is found in go wrong, one fault each."""
        self._faults += [(method, re.compile(path), fault) for fault in faults]

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._with_faults])
        app.router.add_get("/api/users/@me", self._me)
        app.router.add_get("/api/oauth2/applications/@me", self._application)
        app.router.add_put("/api/applications/{id}/commands", self._sync)
        app.router.add_get("/api/applications/{id}/commands", self._list_commands)
        app.router.add_post("/api/interactions/{id}/{token}/callback", self._callback)
        app.router.add_patch("/api/webhooks/{id}/{token}/messages/@original", self._message)
        app.router.add_delete("/api/webhooks/{id}/{token}/messages/@original", self._delete)
        app.router.add_post("/api/webhooks/{id}/{token}", self._message)
        app.router.add_post("/api/channels/{id}/messages", self._post)
        app.router.add_get("/api/channels/{id}/messages", self._history)
        app.router.add_patch("/api/channels/{id}/messages/{message}", self._edit)
        app.router.add_post("/api/channels/{id}/messages/{message}/crosspost", self._publish)
        app.router.add_get("/gateway/", self.gateway.serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        self.gateway.url = f"ws://127.0.0.1:{self._port}/gateway/"
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

    async def turn(self) -> None:
        """Let the bot, which is another process, get on a little."""
        async with ClientSession() as session, session.get(f"{self.api_url}/nothing"):
            pass

    async def command(self, name: str, *, user: int = 1, **options: str | bool) -> Answered:
        """Let a user type a command in a private chat; return what will be answered."""
        typed = [
            {"name": key, "type": 5 if isinstance(value, bool) else 3, "value": value}
            for key, value in options.items()
        ]
        return await self._interact(2, {"id": "3000", "name": name, "type": 1, "options": typed}, user=user)

    async def press(self, answered: Answered, label: str, *, user: int = 1) -> Answered:
        """Let a user press a button under an answer of theirs; return what will be answered."""
        buttons = [each for row in answered.message["components"] for each in row["components"]]
        custom_id = next(each["custom_id"] for each in buttons if each.get("label") == label)
        asked = {"id": "5000", "type": 2, "user": _person(user), "authorizing_integration_owners": {}}
        message = _message("6000", answered.message) | {"interaction_metadata": asked}
        content = {"custom_id": custom_id, "component_type": 2}
        return await self._interact(3, content, user=user, message=message)

    async def _interact(self, kind: int, content: dict[str, Any], *, user: int, **more: Any) -> Answered:
        self._interactions += 1
        token = f"interaction-{self._interactions}"
        person = _person(user)
        payload = {
            "id": str(5000 + self._interactions),
            "application_id": str(APPLICATION_ID),
            "type": kind,
            "token": token,
            "version": 1,
            "data": content,
            **more,
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
        await self.gateway.dispatch("INTERACTION_CREATE", payload)
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
        body = await self._body(request)
        self.commands = [_command(command, 3000 + place) for place, command in enumerate(body)]
        return _json(self.commands)

    async def _list_commands(self, _: web.Request) -> web.Response:
        return _json(self.commands)

    async def _callback(self, request: web.Request) -> web.Response:
        answered = self.answers[request.match_info["token"]]
        body = await self._body(request)
        if answered.acknowledged.done():
            return _json({"code": 40060, "message": "Interaction has already been acknowledged."}, status=400)
        answered.callback = body
        answered.callbacks += 1
        answered.acknowledged.set_result(None)
        if answered.callback["type"] == 4:
            answered.message = answered.callback["data"]
            answered.done.set_result(None)
        interaction = {"id": request.match_info["id"], "type": 2}
        return _json({"interaction": interaction, "resource": {"type": answered.callback["type"]}})

    async def _message(self, request: web.Request) -> web.Response:
        answered = self.answers[request.match_info["token"]]
        answered.message = await self._body(request, answered.files)
        (answered.edits if request.method == "PATCH" else answered.follow_ups).append(answered.message)
        # A progress bar is an edit too, without an embed.
        if not answered.done.done() and (answered.files or request.method == "POST"):
            answered.done.set_result(None)
        answered.messages += bool(answered.message.get("embeds"))
        return _json(_message("6000", answered.message))

    async def _post(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        channel, now = request.match_info["id"], self._now()
        recent = [
            each for each in self.posts if now - each["at"] < _NONCE_HOLDS and each["channel_id"] == channel
        ]
        known = next((each for each in recent if each["nonce"] == body["nonce"]), None)
        if known is None or not body["enforce_nonce"]:
            number = discord.utils.time_snowflake(now) + len(self.posts)
            known = body | {
                "id": str(number),
                "channel_id": channel,
                "edits": 0,
                "published": False,
                "at": now,
            }
            self.posts.append(known)
        self.posted.set()
        return _json(_message(known["id"], body))

    async def _edit(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        found = next((each for each in self.posts if each["id"] == request.match_info["message"]), None)
        if found is None:
            return _json({"code": 10008, "message": "Unknown Message"}, status=404)
        found["edits"] += 1
        self.posted.set()
        return _json(_message(found["id"], body))

    async def _publish(self, request: web.Request) -> web.Response:
        found = next((each for each in self.posts if each["id"] == request.match_info["message"]), None)
        if found is None:
            return _json({"code": 10008, "message": "Unknown Message"}, status=404)
        if found["published"]:
            message = "This message has already been crossposted"
            return _json({"code": 40033, "message": message}, status=400)
        found["published"] = True
        return _json(_message(found["id"], found))

    async def _history(self, request: web.Request) -> web.Response:
        # Of what comes after an id the oldest are given, newest first like everything.
        there = [each for each in self.posts if each["channel_id"] == request.match_info["id"]]
        found = [each for each in there if int(each["id"]) > int(request.query.get("after", 0))]
        return _json([_message(each["id"], each) for each in reversed(found[: int(request.query["limit"])])])

    async def _body(self, request: web.Request, files: dict[str, bytes] | None = None) -> Any:
        if request.content_type == "application/json":
            body = await request.json()
        else:
            form = await request.post()
            body = json.loads(str(form["payload_json"]))
            parts = [part for part in form.values() if isinstance(part, web.FileField)]
            if files is not None:
                files.update({part.filename: part.file.read() for part in parts})
        self.bodies.append((request.method, request.path.removeprefix("/api"), body))
        return body

    @web.middleware
    async def _with_faults(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        planned = next(
            (each for each in self._faults if each[0] == request.method and each[1].search(request.path)),
            None,
        )
        if planned is not None:
            self._faults.remove(planned)
            fault = planned[2]
        elif request.method == "POST" and self.chance():
            self.faults += 1
            fault = _BY_CHANCE[self.faults % len(_BY_CHANCE)]
        else:
            return await handler(request)
        match fault:
            case Fault.UNAVAILABLE:
                return _json({"message": "unavailable"}, status=503)
            case Fault.GONE:
                return _json({"message": "Unknown Channel", "code": 10003}, status=404)
            case Fault.CLOUDFLARE:
                return web.Response(text="error code: 1015", status=429, headers={"Retry-After": "0.1"})
            case Fault.DRIP:
                await handler(request)
                return await _dripping(request)
            case Fault.RESET_AFTER:
                await handler(request)
        assert request.transport is not None
        request.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        request.transport.abort()
        return web.Response()

    async def _delete(self, request: web.Request) -> web.Response:
        deleted = self.answers[request.match_info["token"]].deleted
        if not deleted.done():
            deleted.set_result(None)
        return web.Response(status=204)


async def _dripping(request: web.Request) -> web.StreamResponse:
    """Answer with spaces, which JSON may begin with, for as long as somebody listens."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    with suppress(ConnectionError):
        while True:
            await response.write(b" ")
            await asyncio.sleep(_DRIP_SECONDS)
    return response


def _command(sent: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a command as Discord shows it: with what is its own, and without what is as by default."""
    rights = sent["default_member_permissions"]
    return {
        "id": str(number),
        "application_id": str(APPLICATION_ID),
        "version": "1",
        "default_member_permissions": None if rights is None else str(rights),
        "type": sent.get("type", 1),
        "name": sent["name"],
        "name_localizations": None,
        "description": sent["description"],
        "description_localizations": None,
        "dm_permission": 1 in (sent["contexts"] or [1]),
        "contexts": sent["contexts"] and sorted(sent["contexts"], reverse=True),
        "integration_types": sorted(sent["integration_types"] or [0]),
        "nsfw": sent["nsfw"],
        **_options(sent),
    }


def _options(sent: dict[str, Any]) -> dict[str, Any]:
    if not sent.get("options"):
        return {}
    kept = [{key: value for key, value in option.items() if value} for option in sent["options"]]
    return {"options": [option | _options(option) for option in kept]}


def _person(number: int) -> dict[str, Any]:
    return {"id": str(2000 + number), "username": f"user{number}", "discriminator": "0", "avatar": None}


def _message(number: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "type": 0,
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
        "components": body.get("components", []),
    }
