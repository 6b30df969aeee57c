"""The benchmark of the whole way, ours and the tutorial's on the same servers: what each has to tell, it tells.

Times are no test. Ward time runs ten times as fast as the wall, so that the minute that raises an alarm is six seconds.
"""

from __future__ import annotations

import time

import natives
import pytest

from deploy.bench.beside import OURS, THEIRS, latency_ratios, merged, one_round
from deploy.bench.latency import LatencySettings
from deploy.bench.report import in_words, page

pytestmark = pytest.mark.integration

PATIENTS = 5
SECONDS = 10.0
RATE = 10.0


@pytest.fixture(scope="module", autouse=True)
def stack_is_built() -> None:
    natives.installed()


async def test_every_alarm_that_the_bundles_bring_about_comes_on_both_ways():
    # Nothing is warm and all is measured: an alarm that the observer saw counts for the times, too.
    settings = LatencySettings(PATIENTS, RATE, SECONDS, warm_s=0.0, ill=1.0, store="sqlite")
    said: list[str] = []
    # Ours is first: what its bridge would leave behind at the broker is gone when the other begins.
    found = await one_round(settings, (OURS, THEIRS), said.append, speed=10.0, since_ns=time.time_ns())
    ours, theirs = found[OURS], found[THEIRS]

    assert ours["load"]["bundles"] == theirs["load"]["bundles"] == SECONDS * RATE
    assert ours["alarms"] == {"due": PATIENTS, "came": PATIENTS}
    assert ours["ways"]["to_event"]["count"] >= PATIENTS  # and what it tells of devices that are silent at the end
    assert ours["page"] == "watched"
    # A patient is low for 70 s of ward time, with a bundle each 5 s: from his first low one 14, all within the run
    # but the last ones of whoever began after 30 s. `one_round` has compared each event with what it must say.
    assert theirs["alarms"]["due"] == theirs["alarms"]["came"] == theirs["ways"]["to_event"]["count"]
    assert 12 * PATIENTS < theirs["alarms"]["due"] <= 14 * PATIENTS
    assert theirs["judged"] == SECONDS * RATE
    assert {"tutorial-bridge", "tutorial-alarms", "kafka", "mosquitto"} < set(theirs["processes"])
    assert "bridge" not in theirs["processes"]

    report = {"bench": "latency", OURS: merged([ours]), THEIRS: merged([theirs]), "ratios": latency_ratios([found])}
    assert "tutorial's alarm / alarm, p50" in report["ratios"]
    assert "tutorial round 1" in in_words(report)
    assert "tutorial round 1" in page(report)
