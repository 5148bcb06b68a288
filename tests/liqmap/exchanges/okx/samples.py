"""What OKX sends, as its documentation and recordings of 2022 and 2026 have it."""

from __future__ import annotations

from typing import Any

# The example of the documentation of 2026, with numbers of its own.
TRADE: dict[str, Any] = {
    "arg": {"channel": "trades", "instId": "BTC-USDT-SWAP"},
    "data": [
        {
            "instId": "BTC-USDT-SWAP",
            "tradeId": "2000000103",
            "px": "60000.1",
            "sz": "12.5",
            "side": "buy",
            "ts": "1790000000123",
            "count": "3",
            "source": "0",
            "seqId": 77,
        }
    ],
}
# Recorded in October 2026.
LIQUIDATION: dict[str, Any] = {
    "arg": {"channel": "liquidation-orders", "instType": "SWAP"},
    "data": [
        {
            "details": [
                {
                    "bkLoss": "0",
                    "bkPx": "82655.7",
                    "ccy": "",
                    "posSide": "long",
                    "side": "sell",
                    "sz": "8.55",
                    "ts": "1791565600771",
                }
            ],
            "instFamily": "BTC-USDT",
            "instId": "BTC-USDT-SWAP",
            "instType": "SWAP",
            "uly": "BTC-USDT",
        }
    ],
}
SUBSCRIBED: dict[str, Any] = {
    "id": "1",
    "event": "subscribe",
    "arg": {"channel": "trades", "instId": "BTC-USDT-SWAP"},
    "connId": "a1b2c3d4",
}
REFUSED = {"id": "1", "event": "error", "code": "60018", "msg": "channel:trades,instId:NO-USDT-SWAP is none"}
NOTICE: dict[str, Any] = {
    "event": "notice",
    "code": "64008",
    "msg": "The connection will soon be closed for a service upgrade. Please reconnect.",
    "connId": "a1b2c3d4",
}
ROW: dict[str, Any] = {
    "instId": "BTC-USDT-SWAP",
    "side": "sell",
    "sz": "0.01",
    "source": "0",
    "px": "29963.2",
    "tradeId": "242720720",
    "ts": "1654161646974",
}
# Recorded on 2026-09-25, less the keys that nobody reads.
INSTRUMENT: dict[str, Any] = {
    "instId": "BTC-USDT-SWAP",
    "instType": "SWAP",
    "instFamily": "BTC-USDT",
    "ctType": "linear",
    "ctVal": "0.01",
    "ctMult": "1",
    "ctValCcy": "BTC",
    "settleCcy": "USDT",
    "lever": "100",
    "lotSz": "0.01",
    "state": "live",
}
INVERSE: dict[str, Any] = INSTRUMENT | {
    "instId": "BTC-USD-SWAP",
    "instFamily": "BTC-USD",
    "ctType": "inverse",
    "ctVal": "100",
    "ctValCcy": "USD",
    "settleCcy": "BTC",
}
# Recorded.
UNKNOWN = {
    "code": "51001",
    "data": [],
    "msg": "Instrument ID, Instrument ID code, or Spread ID doesn't exist.",
}


def tier(number: str, most: str, rate: str, leverage: str) -> dict[str, Any]:
    return {
        "tier": number,
        "maxSz": most,
        "minSz": "0",
        "mmr": rate,
        "imr": "",
        "maxLever": leverage,
        "instFamily": "BTC-USDT",
        "instId": "",
        "uly": "BTC-USDT",
    }


# Recorded on 2026-05-28.
TIERS = [
    tier("1", "1000", "0.004", "100"),
    tier("2", "5000", "0.005", "66.66"),
    tier("3", "20000", "0.0075", "50"),
]


def answer(*rows: object) -> dict[str, Any]:
    return {"code": "0", "msg": "", "data": list(rows)}
