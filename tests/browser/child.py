"""Chromium in a process of its own, driven over pipes: Playwright has an event loop that gevent's patching breaks.

One request a line: {"page": n, "on": selector, "call": "click", "args": […], "named": {…}}; one answer a line. `call`
is Playwright's own word for it, but for those in `Driver`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Error, Page, sync_playwright

PATIENCE_MS = 15_000


class Driver:
    """The pages, by number."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._pages: list[Page] = []
        self._bytes: list[int] = []
        self._complaints: list[list[str]] = []

    def open(self, **named: Any) -> int:
        """A new page with cookies of its own, and what `new_context` takes."""
        context = self._browser.new_context(**named)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        number = len(self._pages)
        self._pages.append(page)
        self._bytes.append(0)
        self._complaints.append([])
        page.on("pageerror", lambda error: self._complaints[number].append(str(error)))
        page.on("console", lambda said: self._complain(number, said.type, said.text))
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        network.on("Network.loadingFinished", lambda told: self._count(number, told["encodedDataLength"]))
        return number

    def answer(self, asked: dict[str, Any]) -> Any:
        """What came of one request."""
        call, args, named = asked["call"], asked.get("args", []), asked.get("named", {})
        if call == "open":
            return self.open(**named)
        number = asked["page"]
        page = self._pages[number]
        if (own := getattr(self, f"own_{call}", None)) is not None:
            return own(number)
        target: Any = page
        if call in ("cookies", "add_cookies", "clear_cookies"):
            target = page.context
        elif asked.get("on"):
            target = page.locator(asked["on"])
        return getattr(target, call)(*args, **named)

    def own_bytes(self, number: int) -> int:
        """How much came over the network, headers among it."""
        return self._bytes[number]

    def own_complaints(self, number: int) -> list[str]:
        """Errors of scripts and of the policy."""
        return self._complaints[number]

    def own_forget_complaints(self, number: int) -> None:
        """Those until now were expected."""
        self._complaints[number].clear()

    def own_forget_bytes(self, number: int) -> None:
        """Count from here."""
        self._bytes[number] = 0

    def own_axe(self, number: int) -> Any:
        """What axe-core finds."""
        return Axe().run(self._pages[number]).response["violations"]

    def own_address(self, number: int) -> str:
        """Where the page is."""
        return self._pages[number].url

    def own_leave(self, number: int) -> None:
        """Close the page, and forget its cookies."""
        self._pages[number].context.close()

    def _complain(self, number: int, kind: str, text: str) -> None:
        if kind == "error":
            self._complaints[number].append(text)

    def _count(self, number: int, more: float) -> None:
        self._bytes[number] += int(more)


def main() -> None:
    """Serve until the pipe ends. The path of the browser is the argument."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=sys.argv[1], args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        driver = Driver(browser)
        print(json.dumps({"value": browser.version}), flush=True)
        for line in sys.stdin:
            try:
                answered = {"value": driver.answer(json.loads(line))}
                text = json.dumps(answered)
            except TypeError:
                text = json.dumps({"value": None})  # such as goto's response: nobody asked for it
            except Error as error:
                text = json.dumps({"error": error.message})
            print(text, flush=True)
        browser.close()


if __name__ == "__main__":
    main()
