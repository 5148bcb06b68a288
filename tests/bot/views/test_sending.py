from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from PIL import Image

from bot.interaction.refusals import TOO_LARGE
from bot.views.replies import Reply
from bot.views.sending import send_drawn
from liqmap.errors import RequestError
from tests.bot.conftest import NOW, PNG, Floor, result_of

# An error that has become a sentence still counts as one to the simulation.
EXPECTS_ERRORS = pytest.mark.simcord(check_errors=False)


def refused(status: int, code: int = 0) -> discord.HTTPException:
    response: Any = SimpleNamespace(status=status, reason="", headers={})
    return discord.HTTPException(response, {"code": code, "message": ""})


class Sent:
    """Refuses with `errors`, one a try, and remembers what it was given."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.replies: list[list[bytes]] = []

    async def __call__(self, reply: Reply) -> str:
        self.replies.append([file.fp.read() for file in reply.files])
        if self.errors:
            raise self.errors.pop(0)
        return "there"


@pytest.mark.parametrize("error", [refused(413), refused(413, 40005), refused(400, 40005)])
async def test_map_that_is_too_large_is_sent_again_as_one_small_picture(error: Exception):
    sent = Sent(error)
    assert await send_drawn(result_of(), sent) == "there"
    whole, (small,) = sent.replies
    assert whole == [PNG + b"map", PNG + b"depth"]
    with Image.open(BytesIO(small)) as picture, Image.open(BytesIO(PNG)) as before:
        assert picture.format == "PNG"
        assert picture.size == (before.width // 2, before.height // 2)


async def test_map_that_is_too_large_at_half_size_ends_as_a_sentence():
    sent = Sent(refused(413), refused(413, 40005))
    with pytest.raises(RequestError, match=TOO_LARGE):
        await send_drawn(result_of(), sent)
    assert len(sent.replies) == 2


@pytest.mark.parametrize("errors", [[refused(400, 50035)], [refused(413), refused(400, 50035)]])
async def test_other_refusals_are_raised_as_they_are(errors: list[Exception]):
    with pytest.raises(discord.HTTPException) as caught:
        await send_drawn(result_of(), Sent(*errors))
    assert caught.value.code == 50035


async def test_answer_that_is_too_large_comes_with_one_small_picture(floor: Floor):
    floor.env.inject_error("PATCH", "/webhooks/*/messages/@original", status=413, code=40005)
    answer = (await floor.liqmap()).response
    assert answer is not None
    assert [each.filename for each in answer.attachments] == ["liquidation_map.png"]


@EXPECTS_ERRORS
async def test_answer_that_is_too_large_at_half_size_is_a_private_sentence(floor: Floor):
    floor.env.inject_error("PATCH", "/webhooks/*/messages/@original", status=413, code=40005, times=2)
    (sentence,) = (await floor.liqmap()).followups
    assert (sentence.content, sentence.ephemeral) == (TOO_LARGE, True)


async def test_scheduled_post_that_is_too_large_comes_with_one_small_picture(floor: Floor):
    await floor.subscribed(floor.manager())
    floor.env.inject_error("POST", "/channels/*/messages", status=413, code=40005)
    await floor.env.advance_time(3600 - NOW.minute * 60)
    (post,) = floor.channel.history()
    assert [each.filename for each in post.attachments] == ["liquidation_map.png"]
