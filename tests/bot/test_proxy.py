from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

from liqmap.model import Exchange
from liqmap.simulator import MarketServer, SimulatedMarket
from tests.bot.discord_server import TOKEN, DiscordServer
from tests.forwarding import LOGIN, forwarding


async def test_bot_reaches_discord_and_the_exchanges_only_through_the_proxy(tmp_path: Path):
    async with (
        asyncio.timeout(60),
        MarketServer(SimulatedMarket(scale=0.005)) as market,
        DiscordServer() as server,
    ):
        ports = {
            "discord.test": urlsplit(server.api_url).port or 0,
            "exchange.test": urlsplit(market.binance_url).port or 0,
        }
        addresses = server.settings + "".join(
            f'{key} = "{url}"\n' for key, url in market.host.settings.items()
        )
        for host, port in ports.items():
            addresses = addresses.replace(f"127.0.0.1:{port}", host)
        server.gateway.url = "ws://discord.test/gateway/"
        config = tmp_path / "liqmap.toml"
        config.write_text(f'storage.path = "{tmp_path / "store"}"\nengine.workers = 1\n{addresses}')
        async with forwarding(ports) as proxy:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot", "--config", str(config)),
                env={**os.environ, "DISCORD_TOKEN": TOKEN, "HTTP_PROXY": proxy.url},
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                answered = await server.command(
                    "liqmap", symbol="btc", window="1h", mode="top_n", end="2023-08-01 06:00"
                )
                await answered.done
                # What ends now is fetched by REST and recorded from the stream.
                now = await server.command("liqmap", symbol="btc", window="1h", mode="top_n")
                await now.done
                await market.connected(Exchange.BINANCE, 1)
                process.send_signal(signal.SIGTERM)
                log = (await process.communicate())[1].decode()
            finally:
                if process.returncode is None:
                    process.kill()
    assert answered.message["embeds"][0]["title"].startswith("BTCUSDT liquidation map · ")
    reached = {address.partition("?")[0] for address in proxy.seen}
    for address in (
        "http://discord.test/api/users/@me",
        "ws://discord.test/gateway/",
        "http://exchange.test/binance/fapi/v1/aggTrades",
        "ws://exchange.test/binance/market/stream",
    ):
        assert address in reached
    assert any(address.endswith(".zip") for address in reached)
    assert proxy.denied == 0
    assert process.returncode == 0, log
    assert LOGIN not in log
    assert "hush" not in log
