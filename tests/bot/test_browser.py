"""The playground as a person uses it: in a real browser, with keys and clicks. Saves screenshots."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "out" / "screenshots"
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
)
PATIENCE_MS = 30_000


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    """Run the playground as a process; return the address of its page."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "playground", "--stay", "--out", str(tmp_path / "out")),
        env={**os.environ, "LIQMAP__STORAGE__PATH": str(tmp_path / "store"), "LIQMAP__ENGINE__WORKERS": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=None,
    )
    assert process.stdout is not None
    found = None
    async for line in process.stdout:
        found = re.search(r"http://\S+", line.decode())
        if found:
            break
    assert found, "the playground did not open"
    yield found[0]
    process.terminate()
    await process.wait()


@pytest.fixture
async def page(address: str) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser: Browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = await browser.new_page(viewport={"width": 1100, "height": 1500})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        await page.goto(address)
        yield page
        await browser.close()


async def command(page: Page, name: str, **options: str) -> None:
    """Type a slash command, fill in its options, and send it."""
    await page.locator("#channel-composer-input").fill(f"/{name}")
    await page.keyboard.press("Enter")
    for option, value in options.items():
        field = page.locator(f'input[data-option="{option}"]')
        await field.click()
        await field.press_sequentially(value)
        await page.locator("#command-suggestion-listbox [role=option]").first.click()
    await page.locator("#send-message").click()


async def press(button: Locator, outcome: Locator) -> None:
    """Click until it has worked: the page drops a click while it draws itself anew."""
    for _ in range(6):
        await button.click()
        try:
            await expect(outcome).to_be_visible(timeout=PATIENCE_MS / 6)
        except AssertionError:
            continue
        return
    await expect(outcome).to_be_visible()


async def shoot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.mark.timeout(180)
async def test_map_button_and_subscription_in_the_browser(page: Page):
    messages = page.locator("#channel-message-list .channel-message")
    await expect(messages).to_have_count(1)
    await command(page, "liqmap", symbol="BTCUSDT", window="12h")
    await expect(messages).to_have_count(2)
    answer = messages.nth(1)
    await expect(answer.get_by_text("BTCUSDT liquidation map")).to_be_visible()
    await expect(answer.get_by_role("img", name="Embed 1 image")).to_be_visible()
    await shoot(page, "liqmap")

    before = await answer.inner_text()
    await answer.get_by_role("button", name="1h", exact=True).click()
    await expect(answer).not_to_have_text(before, use_inner_text=True)
    await expect(answer.get_by_text("BTCUSDT liquidation map")).to_be_visible()
    await shoot(page, "button")

    await command(page, "subscribe", symbol="BTCUSDT", window="6h", every="1h")
    await expect(messages).to_have_count(3)
    preview = messages.nth(2)
    await expect(preview.get_by_text("Post it like this?")).to_be_visible()
    await shoot(page, "subscribe")
    await press(preview.get_by_role("button", name="Confirm"), preview.get_by_text("Saved:"))
    await shoot(page, "confirmed")

    await command(page, "status")
    status = messages.nth(3)
    await expect(status.get_by_text("Recorded live")).to_be_visible()
    await expect(status.get_by_text(re.compile("on Binance: "))).to_be_visible()
    await shoot(page, "status")
