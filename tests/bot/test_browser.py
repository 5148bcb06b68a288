"""The playground as a person uses it: each command, button and menu, in a browser. Saves screenshots."""

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
PATIENCE_MS = 20_000
MESSAGES = "#channel-message-list .channel-message"
SUGGESTIONS = "#command-suggestion-listbox [role=option]"
SELECTED = re.compile(r"[\d,]+ of [\d,]+ trades, \S+")
WHOLE = r"The whole 1d until .* UTC"
UNDER_WAY = re.compile(r"Thinking|[░▓]|Drawing …|is being fetched")

# A market of few trades: what is tested is the page, and not how long a day takes to be invented.
SMALL_PLAYGROUND = """
import sys
from bot import playground
from bot.app import main
from liqmap.simulator import SimulatedMarket

if __name__ == "__main__":
    playground.SimulatedMarket = lambda: SimulatedMarket(scale=0.01)
    sys.exit(main(sys.argv[1:]))
"""

# What each command is given; the others need nothing.
OPTIONS = {
    "liqmap": {"symbol": "ETHUSDT", "window": "12h"},
    "subscribe": {"symbol": "BTCUSDT", "window": "6h", "every": "1h"},
    "subscribe-scan": {"every": "1h"},
    "unsubscribe": {"subscription": "BTC"},
    "alert near": {"symbol": "BTCUSDT", "distance": "1%", "notional": "1m"},
    "alert any": {"distance": "1%", "notional": "1m"},
    "alert remove": {"alert": "BTC"},
}


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    """Run the playground as a process; return the address of its page."""
    script = tmp_path / "small_playground.py"
    script.write_text(SMALL_PLAYGROUND)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script), "playground", "--stay", "--out", str(tmp_path / "out")),
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "LIQMAP__STORAGE__PATH": str(tmp_path / "store"),
            "LIQMAP__ENGINE__WORKERS": "1",
            "LIQMAP__LIMITS__MAPS_PER_USER_A_MINUTE": "100",
        },
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


async def commands_of(page: Page) -> list[str]:
    """Return the names of all commands that the page suggests, as they are typed."""
    composer = page.locator("#channel-composer-input")
    await composer.press_sequentially("/")
    names = page.locator("[role=option]:visible strong")
    await expect(names.first).to_be_visible()
    found = await names.all_inner_texts()
    await composer.fill("")
    return [name.removeprefix("/") for name in found]


async def command(page: Page, name: str, **options: str) -> None:
    """Type a slash command, fill in its options with what is suggested first, and send it."""
    await type_command(page, name, pick=True, **options)
    await page.locator("#send-message").click()


async def type_command(page: Page, name: str, *, pick: bool = False, **options: str) -> None:
    await page.locator("#channel-composer-input").fill(f"/{name}")
    await page.keyboard.press("Enter")
    for option, value in options.items():
        field = page.locator(f'input[data-option="{option}"]')
        await field.click()
        await field.press_sequentially(value)
        if pick:
            await page.locator(SUGGESTIONS).first.click()


async def answer_to(page: Page, name: str) -> Locator:
    """Send a command and return the message that answers it, complete."""
    messages = page.locator(MESSAGES)
    before = await messages.count()
    await command(page, name, **OPTIONS.get(name, {}))
    await expect(messages).to_have_count(before + 1)
    await complete(messages.nth(before))
    await settled(page)
    return messages.nth(before)


async def complete(message: Locator) -> None:
    """Wait until a message shows no progress any more."""
    await expect(message).not_to_contain_text(UNDER_WAY)


async def settled(page: Page) -> None:
    """Wait until the page has done what was asked. It must not doubt the outcome."""
    status = page.locator("#action-status")
    await expect(status).to_have_text(re.compile("completed|ready|updated|uncertain|not completed"))
    await expect(status).not_to_have_text(re.compile("uncertain|not completed"))


async def forget_outcome(page: Page) -> None:
    """Clear the outcome of the last action, so that `settled` waits for the next one."""
    await page.locator("#action-status").evaluate("node => { node.textContent = '' }")


def button_of(message: Locator, label: str) -> Locator:
    """Return the bot's first button whose label matches; the page has some of its own."""
    return message.locator(".component-button").filter(has_text=re.compile(f"^{label}$")).first


async def press(page: Page, message: Locator, label: str) -> None:
    """Press a button of a message, and wait for what comes of it."""
    await forget_outcome(page)
    await button_of(message, label).click()
    await settled(page)
    await complete(message)


async def press_window(page: Page, answer: Locator, label: str) -> None:
    """Press the button of another window, and wait for its map, which has another number of trades."""
    selected = SELECTED.search(await answer.inner_text())
    assert selected is not None
    await press(page, answer, label)
    await expect(answer).not_to_contain_text(selected[0])


async def choose(page: Page, message: Locator, menu: int, option: str) -> None:
    """Open a menu of a message with the mouse and choose an option."""
    trigger = message.locator(".select-trigger").nth(menu)
    await trigger.scroll_into_view_if_needed()
    box = await trigger.bounding_box()
    assert box is not None
    await page.mouse.click(box["x"] + 40, box["y"] + box["height"] / 2)
    await forget_outcome(page)
    await page.locator("[role=option]:visible", has_text=option).first.click()
    await settled(page)
    await complete(message)


async def shoot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"{name}.png")


async def try_map(page: Page) -> None:
    """Ask for a map, press all of its buttons and use its menus, and delete it."""
    answer = await answer_to(page, "liqmap")
    await expect(answer).to_contain_text("ETHUSDT liquidation map")
    await expect(answer.get_by_role("img", name="Embed 1 image")).to_be_visible()
    await shoot(page, "liqmap")
    for label in ("1h", "6h", "24h", "7d"):
        await press_window(page, answer, label)
    await choose(page, answer, 0, "gross_value")
    await expect(answer).to_contain_text("Binance · trades ≥ $100K")
    await shoot(page, "menu")
    await choose(page, answer, 1, "Bybit")
    await expect(answer).to_contain_text("Bybit · trades ≥ $100K")
    await press(page, answer, "Refresh")
    messages = page.locator(MESSAGES)
    before = await messages.count()
    await press(page, answer, "CSV")
    await expect(messages).to_have_count(before + 1)
    await press_gone(page, answer, "Delete", left=before)


async def try_whole_window(page: Page) -> None:
    """Ask for a window that is not covered to its end, and press the button of the newest whole one."""
    answer = await answer_to(page, "liqmap")
    await press_window(page, answer, "24h")
    await choose(page, answer, 1, "Bybit")  # whose days are published when they are over
    await expect(button_of(answer, WHOLE)).to_be_visible(timeout=3 * PATIENCE_MS)
    await press(page, answer, WHOLE)
    await expect(answer).to_contain_text("100 % covered")


async def try_scan(page: Page) -> None:
    """Scan the recorded markets, and open the map of the first beside the answer."""
    answer = await answer_to(page, "scan")
    await expect(answer).to_contain_text("Nearest large clusters")
    messages = page.locator(MESSAGES)
    before = await messages.count()
    await press(page, answer, r"\w+ (Binance|Bybit|OKX)")
    await expect(messages).to_have_count(before + 1)
    await complete(messages.nth(before))
    await expect(messages.nth(before)).to_contain_text("liquidation map")


async def press_gone(page: Page, message: Locator, label: str, *, left: int) -> None:
    """Press a button that deletes its message, after which `left` messages are there."""
    await button_of(message, label).click()
    await expect(page.locator(MESSAGES)).to_have_count(left)
    await settled(page)


async def subscribe(page: Page, button: str, outcome: str) -> None:
    """Ask for scheduled posts, look at the preview, and press one of its buttons."""
    preview = await answer_to(page, "subscribe")
    await expect(preview).to_contain_text("Post it like this?")
    await shoot(page, "subscribe")
    await press(page, preview, button)
    await expect(preview).to_contain_text(outcome)


async def try_subscriptions(page: Page) -> None:
    """Cancel a subscription and confirm one; pause, resume and remove it; unsubscribe from another."""
    await subscribe(page, "Cancel", "Not saved.")
    await subscribe(page, "Confirm", "Saved:")
    panel = await answer_to(page, "subscriptions")
    await choose(page, panel, 0, "BTCUSDT")
    await shoot(page, "subscriptions")
    for label in ("Pause", "Resume", "Remove"):
        await press(page, panel, label)
    await subscribe(page, "Confirm", "Saved:")
    panel = await answer_to(page, "subscriptions")
    await choose(page, panel, 0, "BTCUSDT")
    await press(page, panel, "Back")
    await expect(await answer_to(page, "unsubscribe")).to_contain_text("Removed:")


async def try_alerts(page: Page) -> None:
    """Set, list and remove an alert."""
    await expect(await answer_to(page, "alert near")).to_contain_text("is set")
    await expect(await answer_to(page, "alert list")).to_contain_text("BTCUSDT")
    await expect(await answer_to(page, "alert remove")).to_contain_text("Removed:")


@pytest.mark.timeout(300)
async def test_every_command_button_and_menu_works_in_the_browser(page: Page):
    await expect(page.locator(MESSAGES)).to_have_count(1)
    names = await commands_of(page)
    await try_map(page)
    await try_whole_window(page)
    await try_scan(page)
    await try_subscriptions(page)
    await try_alerts(page)
    tried = {
        "liqmap",
        "scan",
        "subscribe",
        "subscriptions",
        "unsubscribe",
        *(name for name in names if "alert" in name),
    }
    assert tried < set(names)
    for name in names:
        if name not in tried:
            answer = await answer_to(page, name)
            await expect(answer).not_to_contain_text("Something went wrong")
            await shoot(page, name)


@pytest.mark.timeout(60)
async def test_page_shows_time_progress_and_refusals_as_discord_does(page: Page):
    messages = page.locator(MESSAGES)
    ago = r"\d+ (second|minute)s? ago"
    await expect(messages.first).to_contain_text(re.compile(f"window ended {ago}"))
    await type_command(page, "liqmap", symbol="NOPE", window="6h")
    # The page sends nothing while it asks for suggestions.
    await expect(page.locator(SUGGESTIONS).first).to_be_visible()
    await page.locator("#send-message").click()
    await expect(messages.nth(1)).to_contain_text(re.compile("Binance (lists|has) no .*NOPE"))
    await settled(page)
    await shoot(page, "refusal")
    await command(page, "liqmap", symbol="BTCUSDT", window="90d")
    await expect(messages.nth(2)).to_contain_text(re.compile("(Fetching|Storing) .* of BTCUSDT from Binance"))
    await command(page, "status")
    await expect(messages.nth(3)).to_contain_text(re.compile(f"since {ago}"))
