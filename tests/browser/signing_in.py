"""Signing in to the operators' page as a person does."""

from __future__ import annotations

from tests.bridge import API_KEY
from tests.browser.chromium import Tab


def sign_in(tab: Tab, address: str, key: str = API_KEY) -> None:
    """Go there, be asked for a key, give it, and be where one wanted to go."""
    tab.goto(address)
    tab.fill("#key", key)
    tab.click("main button")
    tab.do("wait_for_url", address)
