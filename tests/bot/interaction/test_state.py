from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from bot.interaction.patience import acknowledge
from bot.interaction.state import InteractionState, KeptMessage, ReplyKind, set_state, state_of


def interaction() -> Any:
    async def defer(**_: object) -> None:
        return None

    client = Mock(waiting=Mock(remember=AsyncMock()))
    return SimpleNamespace(response=SimpleNamespace(defer=defer), extras={}, client=client)


def test_state_of_a_new_interaction_is_empty_and_reading_it_writes_nothing():
    new = interaction()
    assert state_of(new) == InteractionState()
    assert new.extras == {}


@pytest.mark.parametrize(
    ("ephemeral", "thinking", "kind"),
    [
        (True, True, ReplyKind.PRIVATE),
        (False, True, ReplyKind.PUBLIC),
        (False, False, ReplyKind.KEPT),
    ],
)
async def test_acknowledging_notes_which_message_was_promised(
    ephemeral: bool, thinking: bool, kind: ReplyKind
):
    new = interaction()
    set_state(new, replace(state_of(new), began=1.0, kept=KeptMessage("there")))
    await acknowledge(new, ephemeral=ephemeral, thinking=thinking)
    state = state_of(new)
    assert (state.began, state.reply, state.kept) == (1.0, kind, KeptMessage("there"))
    assert state.acknowledged is not None
