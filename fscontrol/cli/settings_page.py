"""docs/settings.md, generated from `settings.py`; a test holds the two together."""

from __future__ import annotations

from pydantic import SecretStr

from fscontrol.settings import NodeAddress, Settings

_HEAD = """# Settings

Generated from `fscontrol/settings.py` (`python -m fscontrol.cli.settings_page > docs/settings.md`).

Read from the environment, or from a `.env` file in the working directory, which the environment overrides.
`fscontrol serve` refuses to start when they contradict each other, and names every reason.

| variable | default | meaning |
|---|---|---|
"""


def settings_page() -> str:
    """The page as text."""
    rows = []
    for field in Settings.model_fields.values():
        default = field.get_default()
        if isinstance(default, tuple):
            default = (
                "-".join(map(str, default))
                if all(isinstance(x, int) for x in default)
                else ",".join(map(_shown, default))
            )
        shown = _shown(default)
        rows.append(f"| `{field.alias}` | {f'`{shown}`' if shown else ''} | {field.description} |")
    return _HEAD + "\n".join(rows) + "\n"


def _shown(default: object) -> str:
    if default is None or isinstance(default, SecretStr):
        return ""
    return f"{default.name}={default}" if isinstance(default, NodeAddress) else str(default)


if __name__ == "__main__":
    print(settings_page(), end="")
