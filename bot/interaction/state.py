"""What the bot remembers of one interaction while it answers it: one typed value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    import discord
    from discord import ui

_KEY: Final = "state"


class ReplyKind(StrEnum):
    """Which kind of reply was announced. It decides where an error's sentence goes."""

    PRIVATE = "private"
    """A reply that one person alone sees: the sentence takes its place."""
    PUBLIC = "public"
    """A reply that everybody would see: it gives way to a private sentence."""
    KEPT = "kept"
    """A message that is there already, a map or a panel: the sentence comes beside it."""


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """What a message is restored to if its announced change fails."""

    content: str | None
    view: ui.View | None = None


@dataclass(frozen=True, slots=True)
class InteractionState:
    """How far one interaction has come. The times are of `time.perf_counter`."""

    began: float | None = None
    acknowledged: float | None = None
    reply: ReplyKind | None = None
    kept: KeptMessage | None = None


def state_of(interaction: discord.Interaction[Any]) -> InteractionState:
    """Return how far an interaction has come."""
    return cast("InteractionState", interaction.extras.get(_KEY, InteractionState()))


def set_state(interaction: discord.Interaction[Any], state: InteractionState) -> None:
    """Replace what is remembered of an interaction."""
    interaction.extras[_KEY] = state
