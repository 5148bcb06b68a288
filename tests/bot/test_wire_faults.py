"""The bot as a process, against a Discord on this machine that misbehaves: the answer comes, and once."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bot.request.due import Schedule
from bot.request.spec import MapSpec
from bot.settings import BotSettings
from bot.store import open_store
from bot.store.subscriptions import NewSubscription, PostStyle
from liqmap import utc_now
from liqmap.settings import StorageSettings
from tests.bot.conftest import REQUEST
from tests.bot.discord_server import CHANNEL_ID, GUILD_ID, DiscordServer, Fault
from tests.bot.test_app import bot_process, ended, running_bot, surroundings

ASKED = {"symbol": "btc", "window": "6h", "mode": "top_n", "value": "100", "end": "2023-08-01 06:00"}
REFUSED = ASKED | {"window": "soon"}
OPENAPI = Path(__file__).parents[3] / "shared" / "reference" / "discord-openapi.json"
CALLBACK, ANSWER = r"/callback$", r"/messages/@original$"


async def stopped(process: Any) -> str:
    process.terminate()
    code, log = await ended(process)
    assert code == 0
    return log


@asynccontextmanager
async def asked(folder: Path, server_plan: Any = None, **options: str):
    async with running_bot(folder) as (server, _, process):
        if server_plan:
            server_plan(server)
        answered = await server.command("liqmap", **(ASKED | options))
        await answered.done
        yield server, answered, process


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.RESET_AFTER, Fault.UNAVAILABLE, Fault.CLOUDFLARE])
@pytest.mark.parametrize("path", [CALLBACK, ANSWER])
async def test_answer_comes_once_whatever_breaks(tmp_path: Path, fault: Fault, path: str):
    method = "POST" if path == CALLBACK else "PATCH"

    def plan(server: DiscordServer) -> None:
        server.plan(method, path, fault)

    async with asked(tmp_path, plan) as (server, answered, process):
        log = await stopped(process)
        assert (answered.callbacks, answered.callback["type"]) == (1, 5)
        assert answered.message["embeds"][0]["title"].startswith("BTCUSDT liquidation map · ")
        assert sorted(answered.files) == ["liquidation_depth.png", "liquidation_map.png"]
        # An edit that arrived twice is still one answer; nothing has been posted beside it.
        assert not [path for method, path, _ in server.bodies if method == "POST" and "webhooks" in path]
    assert "Traceback" not in log


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.RESET_AFTER, Fault.UNAVAILABLE])
async def test_refusal_comes_once_too(tmp_path: Path, fault: Fault):
    async with running_bot(tmp_path) as (server, _, process):
        server.plan("POST", CALLBACK, fault)
        answered = await server.command("liqmap", **REFUSED)
        await answered.done
        # A command after it is answered only when the one before has been dealt with.
        await (await server.command("liqmap", **REFUSED)).done
        await stopped(process)
        assert not [path for method, path, _ in server.bodies if method == "POST" and "webhooks" in path]
    assert answered.callbacks == 1
    assert "not a length of time" in answered.message["content"]


@pytest.mark.parametrize("databases", [1, 2])
async def test_two_processes_on_one_token_give_one_answer_which_the_second_leaves_alone(
    tmp_path: Path, databases: int
):
    async with surroundings(tmp_path) as (server, _, config):
        server.gateway.several = True
        other = tmp_path / "other.toml"
        folder = tmp_path / ("store" if databases == 1 else "another")
        other.write_text(config.read_text().replace(str(tmp_path / "store"), str(folder)))
        async with bot_process(config) as one, bot_process(other) as another:
            while server.gateway.identified < 2:
                await server.turn()
            answered = [
                await server.command("liqmap", **(ASKED | {"symbol": "nope"})),
                await server.command("liqmap", **REFUSED),
            ]
            for each in answered:
                await each.done
            logs = [await stopped(process) for process in (one, another)]
        followups = [body for method, path, body in server.bodies if method == "POST" and "webhooks" in path]
    assert [each.callbacks for each in answered] == [1, 1]
    contents = [body["content"] for body in followups]
    assert ["NOPE" in content for content in contents] == [True], contents
    assert "not a length of time" in answered[1].message["content"]
    assert "Traceback" not in "".join(logs)


async def test_refused_first_gateway_connection_is_tried_again(tmp_path: Path):
    async with running_bot(tmp_path, refusals=1) as (server, _, process):
        await (await server.command("liqmap", **REFUSED)).done
        assert "Traceback" not in await stopped(process)
        assert server.gateway.identified == 1


async def test_interaction_that_came_while_away_is_replayed_and_answered_once(tmp_path: Path):
    async with running_bot(tmp_path) as (server, _, process):
        await (await server.command("liqmap", **REFUSED)).done
        await server.gateway.drop(4000)
        answered = await server.command("liqmap", **ASKED)
        await answered.done
        await stopped(process)
        assert (server.gateway.identified, server.gateway.resumed) == (1, 1)
    assert answered.callbacks == 1


async def test_bot_that_is_reconnecting_stops_on_request(tmp_path: Path):
    async with running_bot(tmp_path) as (server, _, process):
        await (await server.command("liqmap", **REFUSED)).done
        server.gateway.withholds = True
        await server.gateway.drop(4000)
        await server.gateway.withheld.wait()
        assert "Traceback" not in await stopped(process)


async def test_session_that_discord_has_forgotten_is_replaced_by_a_new_one(tmp_path: Path):
    async with running_bot(tmp_path) as (server, _, process):
        await (await server.command("liqmap", **REFUSED)).done
        server.gateway.forgets = True
        await server.gateway.drop(4000)
        while server.gateway.identified < 2:
            await server.turn()
        answered = await server.command("liqmap", **REFUSED)
        await answered.done
        await stopped(process)
        assert server.gateway.resumed == 0
    assert answered.callbacks == 1


async def test_connection_that_is_silently_dead_is_reopened(tmp_path: Path):
    async with running_bot(tmp_path, heartbeat=0.2) as (server, _, process):
        await (await server.command("liqmap", **REFUSED)).done
        server.gateway.silent = True
        answered = await server.command("liqmap", **REFUSED)
        await answered.done
        await stopped(process)
        assert server.gateway.resumed == 1
    assert answered.callbacks == 1


async def subscribed(folder: Path, style: PostStyle = PostStyle.NEW_POST) -> None:
    """Store a subscription whose newest snapshot was missed."""
    long = MapSpec(REQUEST).lasting(timedelta(days=4))
    new = NewSubscription(GUILD_ID, CHANNEL_ID, 42, long, Schedule(timedelta(days=1)), style)
    async with open_store(BotSettings(storage=StorageSettings(path=folder / "store"))) as store:
        number = await store.subscriptions.draft(new, now=utc_now())
        await store.subscriptions.activate(number, now=utc_now() - timedelta(days=3))


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.RESET_AFTER, Fault.UNAVAILABLE, Fault.CLOUDFLARE, None])
async def test_missed_snapshot_is_posted_once_whatever_breaks(tmp_path: Path, fault: Fault | None):
    await subscribed(tmp_path)
    for _ in range(2):
        async with running_bot(tmp_path) as (server, _, process):
            if fault:
                server.plan("POST", r"/channels/\d+/messages$", fault)
            if not await has_posted(tmp_path):
                await server.posted.wait()
                while not await has_posted(tmp_path):
                    await server.turn()
                assert len(server.posts) == 1
                assert server.posts[0]["channel_id"] == str(CHANNEL_ID)
            else:
                await (await server.command("liqmap", **REFUSED)).done
                assert server.posts == []
            await stopped(process)


async def has_posted(folder: Path) -> bool:
    async with open_store(BotSettings(storage=StorageSettings(path=folder / "store"))) as store:
        newest = await store.snapshots.newest(1)
    return newest is not None and newest.is_over


@cache
def openapi() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(OPENAPI.read_text())
    return content


def schema_of(method: str, path: str) -> dict[str, Any]:
    """Return what Discord says of the body of a request."""
    for template, operations in openapi()["paths"].items():
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
        if re.fullmatch(pattern, path) and method.lower() in operations:
            content = operations[method.lower()]["requestBody"]["content"]
            return {**content["application/json"]["schema"], "components": openapi()["components"]}
    raise AssertionError(f"Discord has no {method} {path}")


def with_text_ids(body: Any) -> Any:
    """Return `body` with attachments' ids as text, which Discord takes as numbers too."""
    if isinstance(body, dict) and "data" in body and isinstance(body["data"], dict):
        return body | {"data": with_text_ids(body["data"])}
    if isinstance(body, dict) and "attachments" in body:
        return body | {"attachments": [each | {"id": str(each["id"])} for each in body["attachments"]]}
    return body


@pytest.mark.shared
@pytest.mark.skipif(not OPENAPI.exists(), reason="../shared/reference is absent")
async def test_everything_that_is_sent_is_as_discord_describes_it(tmp_path: Path):
    await subscribed(tmp_path)
    async with running_bot(tmp_path) as (server, _, process):
        await (await server.command("liqmap", **ASKED)).done
        await (await server.command("liqmap", **REFUSED)).done
        await (await server.command("help")).done
        await server.posted.wait()
        await stopped(process)
        sent = server.bodies
    kinds = {re.sub(r"\d+|interaction-\d+", "N", path) for _, path, _ in sent}
    assert len(kinds) >= 4
    for method, path, body in sent:
        validator = jsonschema.Draft202012Validator(schema_of(method, path))
        errors = [error.message for error in validator.iter_errors(with_text_ids(body))]
        assert errors == [], f"{method} {path}"
