"""``teleward grafana check`` as an engineer runs it: a ward fills a real InfluxDB, every question is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import natives
import pytest

pytestmark = pytest.mark.integration

TELEWARD = Path(sys.executable).parent / "teleward"


def test_every_panel_and_rule_says_what_was_written():
    natives.installed()
    command = [TELEWARD, "grafana", "check", "--minutes", "1.2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.stdout.strip(), done.stderr
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert result["problems"] == [], done.stderr
    assert done.returncode == 0
    assert result["panels"] >= 70
    assert result["compared"] >= 50
    assert result["rules"] == 11
    # An empty ward would agree with everything.
    assert result["events"] > 30
    assert result["fired"]["teleward-medium"] + result["fired"]["teleward-high"] > 0
