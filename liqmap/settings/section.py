"""What every section of the settings has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One table of the settings file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
