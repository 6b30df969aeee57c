"""The whole way, as a user starts it: known onsets and injected faults; every onset has its alarm, nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

TELEWARD = Path(sys.executable).parent / "teleward"


def run(*args: str, timeout_s: float = 300) -> tuple[int, dict[str, Any], str]:
    """Run a command; its exit status, the JSON object on its last line, and what it said to people."""
    done = subprocess.run([TELEWARD, *args], capture_output=True, text=True, timeout=timeout_s, check=False)
    lines = done.stdout.strip().splitlines()
    assert lines, f"nothing on standard output; it said: {done.stderr}"
    return done.returncode, json.loads(lines[-1]), done.stderr


@pytest.fixture(scope="module")
def ward_faults(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any], str, Path]:
    """All faults of a real ward at once, at speed 60, without a page."""
    truth = tmp_path_factory.mktemp("truth") / "truth.jsonl"
    return *run(
        "demo", "--scenario", "ward-faults", "--headless", "--minutes", "1.75", "--json", "--truth", str(truth)
    ), truth


def test_every_onset_has_its_alarm(ward_faults):
    _, result, said, _ = ward_faults
    assert result["onsets"]["began"] >= 3, said
    assert result["onsets"]["alarmed"] == result["onsets"]["began"], result["onsets"]


def test_nobody_healthy_gets_an_alarm_of_medium_priority_or_above(ward_faults):
    _, result, _, _ = ward_faults
    assert result["false_alarms"] == []


def test_the_ledger_closes_at_zero_although_everything_went_wrong(ward_faults):
    status, result, said, _ = ward_faults
    ledger = result["ledger"]
    assert ledger["remainder"] == 0
    assert ledger["missing"] == 0, ledger["open"]
    assert ledger["sent"] == sum(ledger[k] for k in ("stored", "duplicate", "refused", "quarantined", "queued"))
    # The faults did happen: without them a ledger of zeros would prove nothing.
    assert ledger["duplicate"] > 0
    assert ledger["refused"] + ledger["quarantined"] > 0
    assert (status, result["promise"]) == (0, ""), said


def test_the_summary_has_what_programs_were_promised(ward_faults):
    _, result, _, _ = ward_faults
    assert result["alarms"] > 0
    assert result["store"]["readings"] == result["ledger"]["stored"]
    for hop in ("ingest", "radio", "log", "judge", "emit", "store"):
        row = result["latency"][hop]
        assert row["count"] > 0
        assert 0 <= row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert row["mean_ms"] <= row["max_ms"] * 1.01
    assert result["memory_mb"]["process"] + result["memory_mb"]["broker"] < 700


def test_the_truth_stays_in_its_file(ward_faults):
    _, _, _, truth = ward_faults
    kinds = {json.loads(line)["type"] for line in truth.read_text("utf-8").splitlines()}
    assert {"scenario", "onset", "fault", "device"} <= kinds
