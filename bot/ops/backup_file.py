"""Read a backup file, check its rows one by one, and report what is wrong with them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError, from_json

from bot.request.asking import check_defaults
from bot.request.defaults import GuildDefaults
from bot.request.due import INTERVALS, Schedule
from bot.request.posted import decode_posted, encode_posted
from bot.request.times import EVERY_DAY, UTC_NAME, parse_time_zone
from bot.schedule.alerts import WINDOW
from bot.store.alerts import TO_CREATOR, NewAlert
from bot.store.erase import NOBODY
from bot.store.restore import Saved, SavedSubscription
from bot.store.subscriptions import PostStyle, SubscriptionState
from liqmap import LiqmapError, MapRequest, Mode, PositionModel, RequestError, Theme, TimeWindow, TopN
from liqmap.parsing import exchanges_word, parse_end, parse_exchanges

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from bot.request.posted import Posted

VERSION: Final = 1
_MOST_PROBLEMS: Final = 20
_LONGEST_WORD: Final = 80
_SECONDS: Final = {every.total_seconds() for every in INTERVALS.values()}


def _without_nul(text: str) -> str:
    if "\0" in text:  # PostgreSQL cannot store it
        raise PydanticCustomError("nul", "It must not contain a NUL character")
    return text


_Id = Annotated[int, Field(gt=0, lt=2**63)]
_CreatorId = Annotated[int, Field(ge=NOBODY, lt=2**63)]
_Text = AfterValidator(_without_nul)
# JSON has no enumerations, so their words are converted. All other fields must have their exact type.
_Word = Field(strict=False)


class _Row(BaseModel):
    # Built when the first backup is read, which few bots ever do: it takes 6 MiB.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class _Subscription(_Row):
    guild_id: _Id
    channel_id: _Id
    creator_id: _CreatorId
    spec: Annotated[str, Field(max_length=300)]
    every: int
    # Fields with a default are missing in the files of earlier versions.
    at_minute: Annotated[int, Field(ge=0, lt=24 * 60)] = 0
    days: Annotated[list[int], Field(min_length=1, max_length=7)] = sorted(EVERY_DAY)
    timezone: Annotated[str, Field(max_length=40), _Text] = UTC_NAME
    style: Literal["new", "edit"]
    role_id: _Id | None
    publish: bool = False
    state: Literal["active", "paused"]
    reason: Annotated[str, Field(max_length=300), _Text]


class _Alert(_Row):
    guild_id: _Id
    channel_id: Annotated[int, Field(ge=TO_CREATOR, lt=2**63)]
    creator_id: _CreatorId
    exchange: Annotated[str, Field(max_length=40), _Text]
    symbol: Annotated[str, Field(pattern=r"^[\w-]{1,40}$")]
    distance: Annotated[float, Field(gt=0, le=1)]
    notional: Annotated[float, Field(gt=0, le=1e12)]
    cooldown: Annotated[int, Field(ge=60, le=10**7)]
    reason: Annotated[str, Field(max_length=300), _Text] = ""
    positions: Annotated[PositionModel, _Word] | None = None


class _Guild(_Row):
    guild_id: _Id
    exchange: Annotated[str, Field(max_length=40), _Text] | None
    mode: Annotated[Mode, _Word] | None
    value: Annotated[str, Field(max_length=40), _Text] | None
    theme: Annotated[Theme, _Word] | None
    leverages: Annotated[str, Field(max_length=200), _Text] | None
    timezone: Annotated[str, Field(max_length=40), _Text] | None = None
    channels: Annotated[list[_Id], Field(max_length=50)]


class Backup(_Row):
    """A backup's file; its rows are looked at one by one."""

    version: Literal[1]
    subscriptions: list[Any]
    alerts: list[Any]
    guilds: list[Any]


_AnyRow = TypeVar("_AnyRow", bound=_Row)
_Meaning = TypeVar("_Meaning")


def read_backup(content: bytes, *, now: datetime) -> Saved:
    """Return what a file holds. Raises a RequestError with the first 20 wrong rows and the number of all."""
    file = _file(content)
    problems = _Problems()
    saved = Saved(
        problems.sift("subscriptions", file.subscriptions, _Subscription, _subscription),
        problems.sift("alerts", file.alerts, _Alert, lambda row: _alert(row, now=now)),
        dict(problems.sift("guilds", file.guilds, _Guild, _guild)),
    )
    problems.raise_any()
    return saved


def _file(content: bytes) -> Backup:
    try:
        return Backup.model_validate(from_json(content))
    except ValidationError as error:
        raise RequestError(
            f"The backup cannot be used: {_sentence(error) or 'it is not a backup file.'}"
        ) from None
    except ValueError:  # the parser's own message is about bytes and brackets, of no help to an operator
        raise RequestError(
            "The backup cannot be used: it is not complete JSON; name a file that export wrote."
        ) from None


class _Problems:
    """The first rows that are wrong, and how many there are."""

    def __init__(self) -> None:
        self._sentences: list[str] = []
        self._count = 0

    def sift(
        self, name: str, rows: Sequence[Any], kind: type[_AnyRow], meaning: Callable[[_AnyRow], _Meaning]
    ) -> list[_Meaning]:
        """Return what the valid rows mean, and note the others."""
        found = []
        for place, row in enumerate(rows):
            try:
                found.append(meaning(kind.model_validate(row)))
            except (ValidationError, RequestError) as error:
                self._count += 1
                if self._count <= _MOST_PROBLEMS:
                    self._sentences.append(_sentence(error, name, place))
        return found

    def raise_any(self) -> None:
        """Raise RequestError if a row is wrong."""
        if self._count == 1:
            raise RequestError(f"The backup cannot be used: {self._sentences[0]}")
        if self._count:
            head = f"The backup cannot be used, and nothing was changed: {self._count:,} rows are wrong."
            more = self._count - len(self._sentences)
            tail = [f"and {more:,} more."] if more else []
            raise RequestError("\n  ".join([head, *self._sentences, *tail]))


def _sentence(error: ValidationError | RequestError, *place: str | int) -> str:
    text = str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        place, text = (*place, *first["loc"]), f"{first['msg']}."
    # An unknown key can be any text, so it is cut and cleaned.
    words = ["".join(filter(str.isprintable, str(part)[:_LONGEST_WORD])) for part in place]
    return f"{'.'.join(words)}: {text}" if words else text


def _subscription(row: _Subscription) -> SavedSubscription:
    return SavedSubscription(
        guild_id=row.guild_id,
        channel_id=row.channel_id,
        creator_id=row.creator_id,
        spec=_spec(row.spec),
        schedule=_schedule(row),
        style=PostStyle(row.style),
        role_id=row.role_id,
        publish=row.publish,
        state=SubscriptionState(row.state),
        reason=row.reason,
    )


def _schedule(row: _Subscription) -> Schedule:
    if row.every not in _SECONDS:
        raise RequestError(f"Posts come every {', '.join(INTERVALS)}; give one of these in seconds.")
    if not EVERY_DAY.issuperset(row.days):
        raise RequestError("Weekdays go from 0 for Monday to 6 for Sunday.")
    at = timedelta(minutes=row.at_minute)
    return Schedule(timedelta(seconds=row.every), at, frozenset(row.days), row.timezone)


def _spec(code: str) -> Posted:
    try:
        spec = decode_posted(code)
        # The store encodes the spec again, and what it writes must decode to the same spec.
        if decode_posted(encode_posted(spec)) == spec:
            return spec
    except LiqmapError:
        pass
    raise RequestError(f"The spec {code[:_LONGEST_WORD]!r} cannot be decoded.")


def _alert(row: _Alert, *, now: datetime) -> NewAlert:
    # A request for the alert's map is made below only because its checks are those that `/alert` makes.
    window = TimeWindow.ending(parse_end(None, now=now), WINDOW)
    exchange = exchanges_word(parse_exchanges(row.exchange))
    new = NewAlert(**row.model_dump() | {"exchange": exchange, "cooldown": timedelta(seconds=row.cooldown)})
    MapRequest(new.markets, window, TopN(100))
    if row.channel_id == TO_CREATOR and row.creator_id == NOBODY:
        raise RequestError("An alert without a channel goes to its creator, and has none.")
    return new


def _guild(row: _Guild) -> tuple[int, GuildDefaults]:
    fields = row.model_dump(mode="json", exclude={"guild_id", "channels"})
    defaults = GuildDefaults(**fields, channels=tuple(row.channels))
    check_defaults(defaults)
    if defaults.timezone is not None:
        parse_time_zone(defaults.timezone)
    return row.guild_id, defaults
