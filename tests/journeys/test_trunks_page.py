"""What docs/trunks.md says of the trunk API, run as it is written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import bridge
from tests.bridge import API_KEY

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "trunks.md"


def block(holding: str) -> str:
    """The code block of the page that holds this text."""
    blocks: list[str] = re.findall(r"^```\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    return next(text for text in blocks if holding in text)


@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("bash"), reason="no curl or no bash on PATH")
def test_the_lines_work_as_written(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path) as running:
        lines = "\n".join(block(text) for text in ("api/sync-organization", "API=http"))
        assert "http://127.0.0.1:8080" in lines
        assert block("api/sync-organization") in README.read_text(), "the tour's first push is this one"
        done = subprocess.run(
            ["bash", "-e", "-c", lines.replace("http://127.0.0.1:8080", running.url)],
            env={**os.environ, "SIP_BRIDGE_API_KEY": API_KEY},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert '"message":"Synced 1 enabled trunk(s) to bridge","total_trunks":2' in done.stdout.replace(
            "\n", ""
        )
        kept = running.application.organizations.get("7")
        assert [trunk.name for trunk in kept.trunks] == ["Second"]
        assert [(n.phone_number, n.assistant_id) for n in kept.phone_numbers] == [
            ("+15551234567", 124),
            ("+15551234568", None),
        ]
