"""The parent's end of `child.py`: a browser whose pages are asked in the words of Playwright."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 800}


class BrowserFailed(AssertionError):
    """What was asked of a page did not happen."""


class Chromium:
    """A running browser."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **asked: Any) -> Any:
        """One request. Others of this process go on meanwhile, the control plane among them."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        """The next answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BrowserFailed("the browser's process ended")
        told = json.loads(line)
        if "error" in told:
            raise BrowserFailed(told["error"])
        return told["value"]

    def open(self, **named: Any) -> Tab:
        """A page with cookies of its own."""
        return Tab(self, self.ask(call="open", named={"viewport": DESK, **named}))


class Tab:
    """One page. Every method of Playwright's `Page` and, with `on`, of its locators, by its name."""

    def __init__(self, browser: Chromium, number: int) -> None:
        self._browser = browser
        self._number = number

    def do(self, call: str, *args: Any, on: str = "", **named: Any) -> Any:
        """Playwright's `page.call(…)`, or `page.locator(on).call(…)`."""
        return self._browser.ask(page=self._number, on=on, call=call, args=args, named=named)

    def goto(self, address: str) -> None:
        """Load a page."""
        self.do("goto", address)

    def fill(self, on: str, text: str) -> None:
        """Type into a field."""
        self.do("fill", text, on=on)

    def click(self, on: str) -> None:
        """Press it."""
        self.do("click", on=on)

    def text(self, on: str = "main") -> str:
        """What a person reads there."""
        return str(self.do("inner_text", on=on))

    def see(self, on: str) -> None:
        """Wait until it is to be seen."""
        self.do("wait_for", on=on)

    def run(self, script: str, *args: Any) -> Any:
        """What an expression is worth in the page."""
        return self.do("evaluate", script, *args)

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self.do("address"))


@contextlib.contextmanager
def running() -> Iterator[Chromium]:
    """A browser, or a test that is skipped and says why."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no `chromium` on PATH (Debian: chromium)")
    for module in ("playwright", "axe_playwright_python"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"no {module}: install the extra `test` of setup.cfg")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.browser.child", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    browser = Chromium(process)
    try:
        browser.answer()
        yield browser
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)
