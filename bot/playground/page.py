"""Keep the page of a simulated Discord live, which SimCord itself draws anew only after an action.

What SimCord cannot do, and what is done here instead:
- Its clock stands still. Here it is moved on.
- What the bot posts or edits later does not appear. Here it is published as it comes. SimCord announces no
  change of what one person alone sees, so it is the bot's requests that show that something came.
- An action on a page that was drawn anew meanwhile is refused. Here it counts for the page as it is now.
- A picture has no height until it is loaded, so a page that is drawn anew scrolls away under the mouse, which
  closes menus. Here pictures have their height from the start.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from liqmap import utc_now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import simcord
    from aiohttp import web

_STYLE = "img.embed-image { min-height: 280px; }"  # as high as they become
_LOOK_EVERY = 0.25  # [s]; the page itself asks twice a second
_CLOCK_EVERY = 20.0  # how often the times on the page move on where nothing else changes [s]


class LivePage:
    """Moves the clock of `env` on with the real one, and publishes to its `preview` what has changed."""

    def __init__(self, env: simcord.Env, preview: simcord.Preview) -> None:
        self._env = env
        self._preview = preview
        # SimCord has no public way to do any of this.
        self._act = preview._action  # noqa: SLF001
        self._serve = preview._server._static  # noqa: SLF001
        preview._server._static = self._static  # type: ignore[method-assign]  # noqa: SLF001
        self._requests = 0  # how many of the bot's requests the pages show
        self._published = 0.0
        self._behind: set[str] = set()  # the pages that are drawn anew next

    @asynccontextmanager
    async def kept_live(self) -> AsyncIterator[None]:
        """Keep the page live inside of `async with`."""
        self._preview._action = self._action  # type: ignore[method-assign]  # noqa: SLF001
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            catch_up(self._env)
            self.show_changes()

    def show_changes(self) -> None:
        """Draw the pages anew that do not show what the bot has sent, unless an action is about to do so."""
        self._look()
        if self._behind and self._preview._active_action is None:  # noqa: SLF001
            self._published = _now()
            self._preview._advance_presentation_time()  # noqa: SLF001
            for page in tuple(self._preview._pages.values()):  # noqa: SLF001
                if page.id in self._behind:
                    self._preview._publish(page, reason="refresh")  # noqa: SLF001
            self._behind.clear()

    def _look(self) -> None:
        """Note that all pages are behind where the bot has sent something, or where their times are old."""
        requests = len(self._env.backend.http_requests)
        if requests != self._requests or _now() - self._published > _CLOCK_EVERY:
            self._requests = requests
            self._behind.update(self._preview._pages)  # noqa: SLF001

    async def _static(self, request: web.Request) -> web.Response:
        response: web.Response = await self._serve(request)
        if request.path == "/preview.css":
            response.text = f"{response.text}\n{_STYLE}"
        return response

    async def _action(self, context_id: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        catch_up(self._env)
        self._preview._advance_presentation_time()  # noqa: SLF001
        page = self._preview._pages.get(context_id or "")  # noqa: SLF001
        if page is not None and isinstance(body, dict):
            # Buttons and commands name what they act on, so an older drawing of the page does no harm.
            body = {**body, "published_revision": page.revision}
        drawn = None if page is None else page.revision
        result = await self._act(context_id, body)
        self._look()
        if page is not None and page.revision != drawn:  # the action has drawn this page by itself
            self._behind.discard(page.id)
            self._published = _now()
        return result


def _now() -> float:
    return asyncio.get_running_loop().time()


def catch_up(env: simcord.Env) -> None:
    """Set the clock of `env` to the real time."""
    env.backend.advance_clock(max(0.0, (utc_now() - env.now()).total_seconds()))
