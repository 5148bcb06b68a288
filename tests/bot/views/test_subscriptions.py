from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot.request.due import Schedule
from bot.request.spec import MapSpec
from bot.store.subscriptions import PostStyle, Subscription, SubscriptionState
from bot.views.subscriptions import list_reply
from tests.bot.conftest import REQUEST

NOW = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
SPEC = MapSpec(REQUEST)
ID = 1234567890123456789


def subscription(number: int) -> Subscription:
    return Subscription(
        *(1, ID, 3, SPEC, Schedule(timedelta(minutes=15)), PostStyle.EDIT, ID),
        id=number,
        state=SubscriptionState.ACTIVE,
        reason="",
        failures=0,
        message_id=None,
        active_since=NOW,
    )


def test_long_list_ends_with_a_whole_line_and_how_many_there_are_beyond():
    reply = list_reply([subscription(each) for each in range(30)], {}, now=NOW, jitter=0)
    *lines, rest = reply["embeds"][0].description.splitlines()
    assert {line.rpartition(" · ")[2] for line in lines[1::2]} == {"nothing posted yet"}
    assert rest == f"… and {30 - len(lines) // 2} more; choose a channel to see fewer."
