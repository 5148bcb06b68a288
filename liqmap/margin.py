"""Liquidation price models: at which price a position opened by a trade is liquidated."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from liqmap.model import MarginModel, Side

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def liquidation_price(
    model: MarginModel, side: Side, *, leverage: int, entry_price: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the liquidation price of positions entered at `entry_price`, one for one.

    `simple` puts it where the loss has eaten the initial margin: entry × (1 ∓ 1/leverage) for longs
    and shorts, without maintenance margin (py-liquidation-map's ×0.90…0.99 and ×1.01…1.10).
    """
    match model:
        case MarginModel.SIMPLE:
            return entry_price * (1 - 1 / leverage if side is Side.BUY else 1 + 1 / leverage)
        case _:  # pragma: no cover - the type checker proves that every model is handled
            assert_never(model)
