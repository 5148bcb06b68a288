"""Word numbers, times, selections, coverage and gaps for people: the same words in pictures and in text."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, assert_never

from liqmap.exchanges import EXCHANGES
from liqmap.model import (
    BAND_DISTANCES,
    GapKind,
    GrossValue,
    LeftOutKind,
    LevelFilter,
    MarginModel,
    Picture,
    Portion,
    Selection,
    Side,
    SweepPrice,
    TopN,
)
from liqmap.window import DAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from liqmap.compute.scan import NearCluster
    from liqmap.model import (
        Band,
        Cluster,
        Coverage,
        Exchange,
        Gap,
        LeftOut,
        MapRequest,
        MapSummary,
        MarginBasis,
        Market,
        MarketSummary,
        OpenInterest,
        PositionBasis,
        RealisedSums,
        SweepBasis,
    )
    from liqmap.series import SeriesKind
    from liqmap.window import TimeWindow

_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))
_SIGNIFICANT_DIGITS = 5
_NOISE = 1e-9  # relative error of sums of floats
_WIDE = 0.02  # a cluster wider than this share of its price is given as a range of prices
_NOTABLE_AGE = timedelta(minutes=2)  # quiet symbols go without a trade for a minute or so

MOSTLY_COVERED: Final = 0.9
"""Below this covered share of a window, an answer begins with a warning."""

BARELY_COVERED: Final = 0.2
"""Below this covered share, an answer is a warning with a picture."""

_GAP_TEXTS: Final = {
    GapKind.BEING_FETCHED: "still being fetched",
    GapKind.NOT_FETCHED_YET: "not fetched yet, ask again to continue",
    GapKind.NOT_REACHED_YET: "{exchange}'s clock has not reached it: this machine's clock is ahead",
    GapKind.NOT_PUBLISHED_YET: "not published yet",
    GapKind.NOT_PUBLISHED: "not published by the exchange",
    GapKind.NOT_RECORDED: "{exchange} publishes trades by day, and they are not recorded here",
    GapKind.RECORDING_STARTS_NOW: "{exchange} publishes trades by day; recording starts now",
    GapKind.RECORDING_STARTED_LATER: (
        "{exchange} publishes trades by day; recording started {since:%b %d %H:%M} UTC"
    ),
    GapKind.RECORDING_INTERRUPTED: "recording was interrupted",
    GapKind.NOT_STORED_YET: "recorded, but not stored yet",
    GapKind.DAMAGED: "the stored trades are damaged",
    GapKind.FAILED: "{problem}",
    GapKind.LOST: "the exchange's ids skip {lost}",
}


CHART_TEXTS: Final = {Picture.HEATMAP: "how the levels came and went"}
"""What each picture shows that is drawn only on request."""


def money(value: float) -> str:
    """Return a measured amount of quote currency: always three digits, and a unit: $1.25B, $34.0M, $950."""
    for unit, letter in _UNITS:
        # 0.9995 and 1.0005: what rounds up to the next unit or digit is written so, $1.00M and not $1,000K.
        if abs(value) >= unit * 0.9995:
            digits = max(0, 2 - math.floor(math.log10(max(abs(value) / unit, 1) * 1.0005)))
            return f"${value / unit:.{digits}f}{letter}"
    return f"${value:,.0f}" if value == 0 or abs(value) >= 1 else f"${value:.2f}"


def limit_text(value: float) -> str:
    """Return an amount that somebody chose, with all of its digits and no others: $100K, $2.01M, $950."""
    unit, letter = next(((unit, letter) for unit, letter in _UNITS if value >= unit), (1.0, ""))
    return f"${_without_zeros(f'{Decimal(str(value)) / Decimal(unit):,f}')}{letter}"


def money_ticks(ticks: Sequence[float], *, step: float) -> list[str]:
    """Return the round amounts along an axis, `step` apart, in one unit: $0, $0.5M, $1.0M."""
    largest = max(ticks, default=0.0)
    unit, letter = next(((unit, letter) for unit, letter in _UNITS if largest >= unit), (1.0, ""))
    return [f"${price(tick / unit, step=step / unit)}{letter}" if tick else "$0" for tick in ticks]


def price(value: float, *, step: float | None = None) -> str:
    """Return a price with thousands separators: to five significant digits, or as exact as `step`."""
    if step is not None:
        return f"{value:,.{_decimals(step)}f}"
    if value == 0:
        return "0"
    decimals = max(0, _SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return _without_zeros(text) if decimals > _SIGNIFICANT_DIGITS else text


def price_step(last_price: float, *, bucket_size: float) -> float:
    """Return what all prices of one answer are as exact as: the last price's five digits, or its buckets."""
    _, _, decimals = price(last_price).partition(".")
    return 10.0 ** -max(len(decimals), _decimals(bucket_size))


def _decimals(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))


def percent(value: float, *, digits: int = 2) -> str:
    """Return a share as a percentage with a sign: +1.25 %."""
    return f"{value * 100:+.{digits}f} %"


def near_text(cluster: NearCluster, *, step: float) -> str:
    """Return where a market's nearest large cluster is, and how much it is."""
    facts = [percent(cluster.distance)]
    if cluster.hours is not None:
        facts.append(f"{cluster.hours:.1f} hourly volatilities")
    if cluster.share is not None:
        facts.append(f"{share_text(cluster.share)} of the last hour's volume")
    return f"{money(cluster.notional)} at {price(cluster.price, step=step)} ({', '.join(facts)})"


def share_text(value: float) -> str:
    """Return a share as a whole percentage without a sign: 54 %."""
    return f"{value * 100:.0f} %"


def standing_text(total: float, nearest: Cluster | None, largest: Cluster | None, *, step: float) -> str:
    """Return what stands on one side: its sum, and its nearest large and its largest cluster."""
    if nearest is None or largest is None:
        return "nothing stands"
    if nearest == largest:
        return f"{money(total)} in all · nearest and largest {_cluster(nearest, step=step)}"
    near, large = _cluster(nearest, step=step), _cluster(largest, step=step)
    return f"{money(total)} in all · nearest large {near} · largest {large}"


def band_text(band: Band, summary: MapSummary) -> str:
    """Return what stands in a band, with a side's nearest small cluster where no larger one lies in it."""
    return ", ".join(_held(band, side, summary) for side in Side)


def _held(band: Band, side: Side, summary: MapSummary) -> str:
    held = f"{money(band.of(side))} {'longs' if side is Side.BUY else 'shorts'}"
    narrowest = next((each for each in summary.bands if each.of(side)), None)
    small = next((each for each in summary.clusters if each.side is side and each.is_nearest_small), None)
    if small is None or band != narrowest:
        return held
    # A cluster that begins in the band can extend beyond it.
    part = "part of " if small.notional > band.of(side) * (1 + _NOISE) else ""
    step = price_step(summary.last_price, bucket_size=summary.bucket_size)
    return f"{held} ({part}{cluster_label(small, step=step)})"


def left_out_text(left_out: LeftOut) -> str:
    """Return which exchange a map of several leaves out, and why: OKX is left out (+2.1 % off)."""
    label = EXCHANGES[left_out.market.exchange].label
    match left_out.kind:
        case LeftOutKind.STALE:
            reason = f"its newest trade is of {left_out.since:%b %d %H:%M} UTC"
        case LeftOutKind.OFF:
            reason = f"its price is {percent(left_out.off)} off"
        case LeftOutKind.BEING_FETCHED:
            reason = "still being fetched"
        case LeftOutKind.FAILED:
            reason = left_out.problem
    return f"{label} is left out ({reason})"


def market_text(summary: MarketSummary) -> str:
    """Return one exchange's own numbers in a map of several: last price, what stands, selected, gaps."""
    parts = [
        f"last {price(summary.last_price)}",
        f"{money(summary.standing_long)} longs, {money(summary.standing_short)} shorts",
        f"{summary.selected_buy + summary.selected_sell:,} of {summary.trades:,} trades",
    ]
    if summary.coverage.missing:
        parts.append(coverage_text(summary.coverage))
    lacking = lacking_text(summary.margin)
    return " · ".join([*parts, *([lacking] if lacking else [])])


def margin_text(basis: MarginBasis) -> str:
    """Return what levels were computed with and swept by.

    Such as "bybit model of 2025-09-02, brackets of 2026-09-01, swept by mark price".
    """
    swept = [] if basis.sweep is None else [sweep_text(basis.sweep)]
    weighed = [] if basis.positions is None else [positions_text(basis.positions)]
    return ", ".join([_model_text(basis), *swept, *weighed])


def sweep_text(basis: SweepBasis) -> str:
    """Return which price swept the levels: swept by mark price."""
    if basis.price is SweepPrice.TRADED:
        return "swept by traded prices"
    if basis.share < 1:
        return (
            f"swept by mark price ({math.floor(basis.share * 1000) / 10:g} % of the window, else by traded)"
        )
    return "swept by mark price"


def positions_text(basis: PositionBasis) -> str:
    """Return how open interest weighed positions: weighed by open interest (15 min)."""
    turnover = f", turnover {basis.turnover:g}" if basis.turnover else ""
    return f"weighed by open interest (15 min{turnover})"


def interest_text(interest: OpenInterest) -> str:
    """Return what stands of the open interest: standing $40M of $7.9B open interest."""
    standing = money((interest.share_long + interest.share_short) * interest.notional)
    return f"standing {standing} of {money(interest.notional)} open interest"


def interest_shares_text(interest: OpenInterest) -> str:
    """Return the same with each side's share: … open interest (longs 0.3 %, shorts 0.2 % of it)."""
    longs, shorts = (_part_text(each) for each in (interest.share_long, interest.share_short))
    return f"{interest_text(interest)} (longs {longs}, shorts {shorts} of it)"


def interest_warnings(interest: OpenInterest | None, basis: PositionBasis | None) -> list[str]:
    """Return what open interest makes doubtful in a map, each as a sentence."""
    found = []
    if basis is None and interest is not None and interest.is_exceeded:
        share, side = max((interest.share_long, "longs"), (interest.share_short, "shorts"))
        found.append(
            f"More stands here than is open: the {side} are {_part_text(share)} of the open interest,"
            " so many have been closed; try positions open-interest."
        )
    if basis is not None and basis.known_from is not None:
        found.append(
            f"Open interest is known from {basis.known_from:%b %d %H:%M} UTC on; earlier trades are left out."
        )
    if basis is not None and basis.unfit:
        found.append(f"In {basis.unfit} of {basis.judged} intervals open interest and volume do not fit.")
    return found


def series_text(newest: Iterable[tuple[SeriesKind, datetime]]) -> str:
    """Return until when series are there: mark price until Oct 09 12:09 UTC; "" if there are none."""
    parts = [f"{kind.replace('_', ' ')} until {end:%b %d %H:%M}" for kind, end in newest]
    return f"{', '.join(parts)} UTC" if parts else ""


def realised_text(sums: RealisedSums) -> str:
    """Return what was really liquidated.

    Such as: longs at least $15.7K in 3, shorts at least $0 in 0 (sampled, at fill prices).
    """
    least = "" if sums.is_whole else "at least "
    kind = "complete" if sums.is_whole else "sampled" if not sums.complete else _received_text(sums.covered)
    prices = "at fill prices" if sums.at_fills else "at bankruptcy prices"
    return (
        f"longs {least}{money(sums.long)} in {sums.longs:,}, shorts {least}{money(sums.short)} in"
        f" {sums.shorts:,} ({kind}, {prices})"
    )


def _received_text(covered: float) -> str:
    return f"received in {math.floor(covered * 1000) / 10:g} % of the window"


def _part_text(share: float) -> str:
    """Return a part with two digits, such as 0.34 % or 140 %."""
    return (
        f"{_without_zeros(f'{share * 100:.{max(0, 1 - math.floor(math.log10(max(share * 100, 1e-3))))}f}')} %"
    )


def _model_text(basis: MarginBasis) -> str:
    if basis.model is MarginModel.EXCHANGE:
        return "margin model of each exchange"
    model = f"{basis.model} model"
    if basis.rule is not None and basis.rule.since is not None:
        model += f" of {basis.rule.since}"
    elif basis.rule is not None and basis.rule.until is not None:
        model += f" before {basis.rule.until}"
    if basis.brackets is not None:
        earliest = ", the earliest known" if basis.earliest else ""
        return f"{model}, brackets of {basis.brackets}{earliest}"
    lacking = lacking_text(basis)
    return f"{model} ({lacking})" if lacking else model


def lacking_text(basis: MarginBasis) -> str | None:
    """Return which brackets are missing, such as "no Binance brackets of NEWUSDT are known", else None."""
    lacking = basis.lacking
    if lacking is None:
        return None
    if lacking.contracts is not None:
        return f"the brackets of {lacking.contracts} contracts are not public"
    return f"no {lacking.exchange} brackets of {lacking.symbol} are known"


def clock_text(exchange: Exchange, ahead: timedelta) -> str:
    """Return a sentence about this machine's clock, which is `ahead` of an exchange's (negative: behind)."""
    side = "ahead of" if ahead > timedelta(0) else "behind"
    length = duration_text(abs(ahead))
    label = EXCHANGES[exchange].label
    return f"This machine's clock is about {length} {side} {label}'s; set it, for example with NTP."


def damage_text(count: int, size: int, *, oldest: date | None) -> str:
    """Return a sentence on damaged files that were set aside: how many, their size [bytes], what to do."""
    files = "1 damaged file is" if count == 1 else f"{count:,} damaged files are"
    day = f", the oldest of {oldest}" if oldest else ""
    return (
        f"{files} set aside in the store's folder `damaged` ({_size_text(size)}{day}). Published days are"
        " fetched again when a map needs them; what was recorded is a gap. Check the disk, and remove the"
        " folder once you do not need it."
    )


def _size_text(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{-(-size // 1024):,} KiB"


def completion_text(typed: Market, drawn: Market) -> str | None:
    """Return how a symbol was completed, such as "BTC: BTCUSDT"; None if only its spelling differs."""
    letters, symbol = typed.symbol.replace("-", ""), drawn.symbol
    return None if letters == symbol.replace("-", "") else f"{typed.symbol}: {symbol}"


def unrecordable_text(market: Market) -> str:
    """Return that a market's kind of contract cannot be recorded, and what can, as a sentence."""
    kind = EXCHANGES[market.exchange].contract(market.symbol).label
    return f"{kind} contracts such as {market.symbol} cannot be recorded; try BTCUSDT."


def window_text(window: TimeWindow) -> str:
    """Return a window in UTC, with each date once: 2023-08-01 00:00 → 06:00 UTC."""
    start, end = window.start, window.end
    seconds = ":%S" if start.second or end.second else ""
    if start.date() == end.date():
        return f"{start:%Y-%m-%d} {start:%H:%M{seconds}} → {end:%H:%M{seconds}} UTC"
    if not (start.hour or start.minute or end.hour or end.minute or seconds):
        if end - start == timedelta(days=1):
            return f"{start:%Y-%m-%d} (UTC day)"
        return f"{start:%Y-%m-%d} → {end:%Y-%m-%d} 00:00 UTC"
    return f"{start:%Y-%m-%d %H:%M{seconds}} → {end:%Y-%m-%d %H:%M{seconds}} UTC"


def duration_text(length: timedelta) -> str:
    """Return a length of time in the two largest units that it has: 3 d 4 h, 12 min 5 s, 0 s."""
    seconds = max(0, round(length.total_seconds()))
    units = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    largest = next((place for place, (size, _) in enumerate(units) if seconds >= size), len(units) - 1)
    parts: list[str] = []
    for size, unit in units[largest : largest + 2]:
        count, seconds = divmod(seconds, size)
        if count or not parts:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def length_text(length: timedelta) -> str:
    """Return a length of time as people type it: 6h, 90m, 1d12h."""
    seconds, text = int(length.total_seconds()), ""
    for unit, letter in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, seconds = divmod(seconds, unit)
        text += f"{count}{letter}" if count else ""
    return text


def selection_text(selection: Selection) -> str:
    """Return a selection in words: top 100 trades per side."""
    match selection:
        case TopN(count):
            return f"top {count:,} trades per side" if count > 1 else "largest trade per side"
        case GrossValue(minimum):
            return f"trades ≥ {limit_text(minimum)}"
        case Portion(fraction):
            return f"top {_without_zeros(f'{fraction * 100:.4f}')} % of trades per side"
        case _:  # pragma: no cover - the type checker proves that every selection is handled
            assert_never(selection)


def asked_words(request: MapRequest) -> list[str]:
    """Return in words which trades a map is made of, and which levels if not the standing ones."""
    levels = ["all levels"] if request.levels is LevelFilter.ALL else []
    selected = selection_text(request.selection)
    if request.is_joint and not isinstance(request.selection, GrossValue):
        selected += " on each exchange" if request.each else " of all exchanges"
    return [selected, *levels]


def exchanges_text(markets: Sequence[Market]) -> str:
    """Return where the trades of a map are made: Binance + Bybit + OKX."""
    return " + ".join(EXCHANGES[each.exchange].label for each in markets)


def coverage_text(coverage: Coverage) -> str:
    """Return which part of the window is covered, and its longest gap with the reason.

    Lost trades, rows that were left out, and unverified days follow. These are counted in whole segments, so
    they may lie outside the window.
    """
    parts = [_missing_text(coverage) if coverage.missing else "100 % covered"]
    lost = coverage.lost_ids - sum(gap.lost for gap in coverage.missing)
    if lost > 0:
        parts.append(f"up to {_counted(lost, 'trade')} lost")
    if coverage.zero_sizes:
        parts.append(f"{_counted(coverage.zero_sizes, 'row')} of size 0 left out")
    if coverage.unverified:
        parts.append(f"{_counted(coverage.unverified, 'day')} without a published checksum")
    return ", ".join(parts)


def gap_text(gap: Gap) -> str:
    """Return why a part of a window has no trades, such as "not published yet"."""
    exchange = EXCHANGES[gap.exchange].label if gap.exchange else "The exchange"
    lost = _counted(gap.lost, "trade")
    reason = _GAP_TEXTS[gap.kind].format(exchange=exchange, since=gap.since, problem=gap.problem, lost=lost)
    of = EXCHANGES[gap.of].label if gap.of else ""
    return reason if not of or of in reason else f"{of}: {reason}"


def age_text(coverage: Coverage) -> str | None:
    """Return how old the newest trade is at the window's end, None if it is not notably old."""
    if coverage.end_gap:
        return None  # the words about the gap say it
    age = coverage.window.end - coverage.last_trade if coverage.last_trade else timedelta()
    return f"newest trade {duration_text(age)} before the end" if age > _NOTABLE_AGE else None


def last_price_text(value: float, coverage: Coverage, *, step: float) -> str:
    """Return the last price, with its time unless that is the window's end: 29,205 at 03:00 UTC."""
    since, shown = _stale_since(coverage), price(value, step=step)
    return f"{shown} at {_utc(since, coverage)}" if since else shown


def unswept_text(coverage: Coverage) -> str | None:
    """Return a sentence on the levels that price may have swept in a gap, None if there are none."""
    since = _stale_since(coverage) if coverage.end_gap else None
    if since is not None:
        return f"Levels touched since {_utc(since, coverage)} are not known to be swept."
    window = coverage.window
    inner = [gap for gap in coverage.missing if window.start < gap.window.start < gap.window.end < window.end]
    if not inner:
        return None
    longest = max(inner, key=lambda gap: gap.window.length).window
    return (
        f"Levels from before {_utc(longest.start, coverage)} may have been swept"
        f" in the gap until {_utc(longest.end, coverage)}."
    )


def coverage_warning(coverage: Coverage) -> str | None:
    """Return a sentence on how little of the window is covered, None if most of it is."""
    if coverage.fraction >= MOSTLY_COVERED:
        return None
    return f"Only {_share_covered(coverage)} of this window is covered."


def _share_covered(coverage: Coverage) -> str:
    # Rounded down: a window that lacks a second must not claim 100 %.
    return f"{math.floor(coverage.fraction * 1000) / 10:g} %"


def last_trade_text(coverage: Coverage) -> str | None:
    """Return when the newest trade was, such as "at 00:00" or "on Nov 20"; None if at the window's end."""
    since = _stale_since(coverage)
    if since is None:
        return None
    # Within a day of the window's end, a time of day is unambiguous.
    return f"at {since:%H:%M}" if coverage.window.end - since < DAY else f"on {since:%b %d}"


def _stale_since(coverage: Coverage) -> datetime | None:
    """Return when the newest trade was, to the nearest minute; None if at the window's end."""
    last, end = coverage.last_trade, coverage.window.end
    if last is None or end - last <= _NOTABLE_AGE:
        return None
    return (last + timedelta(seconds=30)).replace(second=0, microsecond=0)


def _utc(moment: datetime, coverage: Coverage) -> str:
    same_day = moment.date() == coverage.window.end.date()
    return f"{moment:%H:%M} UTC" if same_day else f"{moment:%b %d %H:%M} UTC"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _missing_text(coverage: Coverage) -> str:
    longest = max(coverage.missing, key=lambda gap: gap.window.length)
    start, end = longest.window.start, longest.window.end
    span = f"{start:%H:%M}–{end:%H:%M}"
    if start.date() != end.date():
        span = f"{start:%b %d %H:%M}–{end:%b %d %H:%M}"
    elif len(coverage.window.days) > 1:
        span = f"{start:%b %d} {span}"
    more = f" and {len(coverage.missing) - 1} more" if len(coverage.missing) > 1 else ""
    return f"{_share_covered(coverage)} covered, missing {span} ({gap_text(longest)}){more}"


def cluster_price(cluster: Cluster, *, step: float) -> str:
    """Return where a cluster lies, as exact as `step`: its mean price, or its bounds if it is wide."""
    if cluster.high - cluster.low > _WIDE * cluster.price:
        return f"{price(cluster.low, step=step)}–{price(cluster.high, step=step)}"
    return price(cluster.price, step=step)


def cluster_label(cluster: Cluster, *, step: float) -> str:
    """Return a cluster's notional and price: $4.5M @ 26,650."""
    return f"{money(cluster.notional)} @ {cluster_price(cluster, step=step)}"


def _cluster(cluster: Cluster, *, step: float) -> str:
    where = percent(cluster.distance)
    # A cluster that begins within a band but has its mean price beyond it would seem to contradict the
    # band's sum, so its nearest level is given too.
    if any(abs(cluster.near) <= distance < abs(cluster.distance) for distance in BAND_DISTANCES):
        where += f", from {percent(cluster.near)}"
    return f"{cluster_label(cluster, step=step)} ({where})"


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
