"""Word what a map shows: what stands where, its clusters, and what was really liquidated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liqmap.exchanges import EXCHANGES
from liqmap.model import BAND_DISTANCES, LeftOutKind, Side
from liqmap.model.window import HOUR
from liqmap.text.basis import interest_shares_text, lacking_text, of_text
from liqmap.text.coverage import NOTABLE_AGE, coverage_text
from liqmap.text.numbers import counted, known_share, money, percent, price, price_step, share_text
from liqmap.text.times import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from liqmap.compute.scan import NearCluster, ScannedMarket
    from liqmap.model import Band, Cluster, LeftOut, MapSummary, MarketSummary, RealisedSums

_NOISE = 1e-9  # relative error of sums of floats
_WIDE = 0.02  # a cluster wider than this share of its price is worded with both of its ends


def scanned_text(market: ScannedMarket, clusters: Iterable[NearCluster]) -> str:
    """Return a scanned market's last price, how much stands in some of its clusters, and where they are.

    Such as: at 29,200 (18 h old), 97 % covered: longs $5.00M at 29,000 (-0.68 %, 0.9 hourly volatilities).
    """
    age = age_of_price(market)
    last = price(market.last_price, step=price_step(market.last_price, bucket_size=market.bucket_size))
    covered = "" if market.covered == 1 else f", {known_share(market.covered)} covered"
    near = (
        f"{'longs' if each is market.long else 'shorts'} {_near(each, step=market.bucket_size)}"
        for each in clusters
    )
    return f"at {last}{f' ({age})' if age else ''}{covered}: {'; '.join(near)}"


def age_of_price(market: ScannedMarket) -> str | None:
    """Return how old a scanned market's last price is, such as 18 h old; None if it is not notably old."""
    if market.price_age <= NOTABLE_AGE:
        return None
    # In one unit, which the picture has room for.
    unit = HOUR if market.price_age >= HOUR else HOUR / 60
    return f"{duration_text(market.price_age // unit * unit)} old"


def _near(cluster: NearCluster, *, step: float) -> str:
    facts = [percent(cluster.distance)]
    if cluster.hours is not None:
        facts.append(f"{cluster.hours:.1f} hourly volatilities")
    if cluster.share is not None:
        facts.append(f"{share_text(cluster.share)} of the last hour's volume")
    return f"{money(cluster.notional)} at {price(cluster.price, step=step)} ({', '.join(facts)})"


def standing_text(total: float, nearest: Cluster | None, largest: Cluster | None, *, step: float) -> str:
    """Return what stands on one side: its sum, and its nearest large and its largest cluster."""
    if nearest is None or largest is None:
        return "nothing stands"
    if nearest == largest:
        return f"{money(total)} in all · nearest and largest {_cluster(nearest, step=step)}"
    near, large = _cluster(nearest, step=step), _cluster(largest, step=step)
    return f"{money(total)} in all · nearest large {near} · largest {large}"


def band_text(band: Band, summary: MapSummary) -> str:
    """Return what stands in a band. A side without a larger cluster in it has its nearest small one named."""
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


def market_text(summary: MarketSummary, *, step: float) -> str:
    """Return one exchange's own numbers in a map of several.

    They are the last price (as exact as `step`), what stands, what was selected, the share of its open
    interest, what was liquidated, and its gaps.
    """
    parts = [
        f"last {price(summary.last_price, step=step)}",
        f"{money(summary.standing_long)} longs, {money(summary.standing_short)} shorts",
        f"{summary.selected_buy + summary.selected_sell:,} of {counted(summary.trades, 'trade')}",
    ]
    if summary.open_interest is not None:
        parts.append(interest_shares_text(summary.open_interest))
    if summary.realised is not None:
        parts.append(f"liquidated: {realised_text(summary.realised)}")
    if summary.coverage.missing:
        parts.append(coverage_text(summary.coverage))
    lacking = lacking_text(summary.margin)
    return " · ".join([*parts, *([lacking] if lacking else [])])


def realised_text(sums: RealisedSums) -> str:
    """Return what was really liquidated, and how much of it is known.

    Such as: longs at least $15.7K in 3, no shorts (sampled, at fill prices).
    """
    is_all = sums.complete and sums.covered == 1
    known = ["complete" if is_all else "sampled" if not sums.complete else ""]
    if sums.covered < 1:
        known.append(f"received in {_received_text(sums)} of the window")
    if sums.of:
        known.append(f"only{of_text(sums.of)}")
    # "At least $0" would say nothing; that none were received says it.
    if not sums.longs + sums.shorts:
        return f"none received ({', '.join(filter(None, known))})"
    kinds = {True: "fill", False: "bankruptcy", None: "fill or bankruptcy"}
    known.append(f"at {kinds[sums.at_fills]} prices")
    least = "" if sums.is_whole else "at least "
    sides = ((sums.long, sums.longs, "longs"), (sums.short, sums.shorts, "shorts"))
    found = [
        f"{name} {least}{money(notional)} in {count:,}" if count else f"no {name}"
        for notional, count, name in sides
    ]
    return f"{', '.join(found)} ({', '.join(filter(None, known))})"


def _received_text(sums: RealisedSums) -> str:
    least = known_share(sums.covered)
    most = least if sums.most_covered is None else known_share(sums.most_covered)
    return least if most == least else f"{least} to {most}"


def cluster_price(cluster: Cluster, *, step: float) -> str:
    """Return where a cluster lies, as exact as `step`: its mean price, or its bounds if it is wide."""
    if _is_wide(cluster):
        return f"{price(cluster.low, step=step)}–{price(cluster.high, step=step)}"
    return price(cluster.price, step=step)


def cluster_label(cluster: Cluster, *, step: float) -> str:
    """Return a cluster's notional and its mean price, as exact as `step`: $4.5M @ 26,650."""
    return f"{money(cluster.notional)} @ {price(cluster.price, step=step)}"


def _cluster(cluster: Cluster, *, step: float) -> str:
    where = percent(cluster.distance)
    if _is_wide(cluster):
        last_price = cluster.price / (1 + cluster.distance)
        end = (cluster.low if cluster.side is Side.BUY else cluster.high) / last_price - 1
        where += f", from {percent(cluster.near)} to {percent(end)}"
    # A cluster that begins within a band but has its mean price beyond it would seem to contradict the
    # band's sum, so its nearest level is given too.
    elif any(abs(cluster.near) <= distance < abs(cluster.distance) for distance in BAND_DISTANCES):
        where += f", from {percent(cluster.near)}"
    return f"{cluster_label(cluster, step=step)} ({where})"


def _is_wide(cluster: Cluster) -> bool:
    return cluster.high - cluster.low > _WIDE * cluster.price
