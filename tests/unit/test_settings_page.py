"""docs/settings.md says what settings.py does."""

from pathlib import Path

from fscontrol.cli.settings_page import settings_page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_generated_from_the_settings() -> None:
    assert (DOCS / "settings.md").read_text() == settings_page()
