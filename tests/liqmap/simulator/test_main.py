import asyncio
import signal
import sys
import tomllib
from typing import Any

import pytest


@pytest.mark.parametrize("more", [[], ["--crash", "--symbols", "2", "--rate", "100"]])
async def test_program_prints_the_settings_to_use_and_ends_at_ctrl_c(more: list[str]):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "liqmap.simulator", *more), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode() for _ in range(9)]
    symbols = (await process.stdout.readline()).decode() if more else ""
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0
    assert [line.partition(" = ")[0] for line in lines] == [
        *("exchanges.binance.archive_url", "exchanges.bybit.archive_url", "exchanges.okx.archive_url"),
        *("exchanges.binance.api_url", "exchanges.binance.stream_url"),
        *("exchanges.bybit.api_url", "exchanges.bybit.stream_url"),
        *("exchanges.okx.api_url", "exchanges.okx.stream_url"),
    ]
    exchanges: dict[str, Any] = tomllib.loads("".join(lines))["exchanges"]
    assert exchanges["bybit"]["stream_url"] == exchanges["bybit"]["api_url"].replace("http", "ws")
    assert symbols == ("# symbols: CRASH00USDT CRASH01USDT\n" if more else "")
