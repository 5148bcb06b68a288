"""What every section of the settings has in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator


class Section(BaseModel):
    """One table of the settings file: unknown keys are errors, and no text holds the character NUL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _without_nul(cls, value: Any) -> Any:  # noqa: ANN401 - whatever a settings file holds
        # The system raises an error of its own for a path or an address with one.
        if _holds_nul(value):
            raise ValueError("must not hold the character NUL")
        return value


def _holds_nul(value: object) -> bool:
    if isinstance(value, list | tuple):  # a table of its own is a section, too
        return any(map(_holds_nul, value))
    return isinstance(value, str) and "\0" in value
