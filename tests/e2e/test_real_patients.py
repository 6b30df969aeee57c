"""Real patients through MQTT, Kafka and Faust: readings as recorded, alarms as replayed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from deploy.replay import through_stream, through_ward
from deploy.scoring import run_score, wide
from transport.recordings import open_recording
from transport.stores.sqlite import SqliteStore
from vitals.digest import digest
from vitals.recording import Recording, join
from vitals.signs import HOUR_NS, MINUTE_NS, SIGNS

pytestmark = [pytest.mark.integration, pytest.mark.data]

FOREVER = 1 << 62


def shortest(recording: Recording, count: int, hours: float) -> Recording:
    """The first patients whose recording is at most so long."""
    length = [
        int(recording.time_ns[end - 1] - recording.time_ns[start])
        for start, end in zip(recording.offsets[:-1], recording.offsets[1:], strict=True)
    ]
    chosen = [p for p, ns in zip(recording.patients, length, strict=True) if ns <= hours * HOUR_NS][:count]
    if len(chosen) < count:  # the shortest there are, cut
        order = np.argsort(np.array(length), kind="stable")[:count]
        chosen = [recording.patients[i] for i in order]
    return recording.select(chosen, 0, int(hours * HOUR_NS))


@pytest.fixture(scope="module")
def kinds(data_dir: Path) -> dict[str, Recording]:
    """Hours of 200 stays by the hour, 10 by the minute and 24 wrist bands by the second."""
    hourly = shortest(open_recording(data_dir / "physionet2019" / "dev.parquet", labs=False), 200, 10)
    minutes = shortest(open_recording(data_dir / "mimic2_challenge2009" / "dev.parquet"), 10, 5)
    bands = open_recording(data_dir / "wearable_exam_stress" / "dev.parquet").select(None, 0, HOUR_NS // 3)
    assert (len(hourly.patients), len(minutes.patients), len(bands.patients)) == (200, 10, 24)
    return {"hourly": hourly, "minutes": minutes, "bands": bands}


@pytest.fixture(scope="module")
def patients(kinds: dict[str, Recording]) -> Recording:
    """All of them on one ward."""
    return join(list(kinds.values()), "real patients")


@pytest.fixture(scope="module")
def streamed(patients: Recording, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list, dict, SqliteStore]]:
    """All of them through the brokers, once."""
    file = tmp_path_factory.mktemp("stream") / "store.sqlite"
    events, summary = asyncio.run(through_stream(patients, None, lambda _done, _of: None, file))
    store = SqliteStore(file)
    yield events, summary, store
    store.close()


def test_the_alarms_are_those_of_a_replay_without_brokers_bit_for_bit(patients, streamed):
    events, _, _ = streamed
    direct = through_ward(patients, None, lambda _done, _of: None)
    assert len(direct.events) > 1000
    assert digest(events) == digest(direct.events)


def test_what_is_stored_equals_the_recording(patients, streamed):
    _, summary, store = streamed
    stored_total = refused_total = 0
    for record in patients:
        found = store.series(record.patient, tuple(patients.signs), -FOREVER, FOREVER)
        for sign in patients.signs:
            column = record.signs[sign]
            low, high = SIGNS[sign].possible
            measured = ~np.isnan(column)
            possible = measured & (column >= low) & (column <= high)
            refused_total += int(np.count_nonzero(measured & ~possible))
            series = found[sign]
            np.testing.assert_array_equal(series.time_ns, record.time_ns[possible], err_msg=f"{sign.column}")
            np.testing.assert_array_equal(series.value, column[possible], err_msg=f"{sign.column}")
            stored_total += len(series.value)
    assert summary["ledger"]["stored"] == stored_total
    assert summary["ledger"]["refused"] == refused_total


def test_the_ledger_of_real_patients_closes(streamed):
    _, summary, _ = streamed
    assert (summary["ledger"]["remainder"], summary["ledger"]["missing"]) == (0, 0)
    assert summary["ledger"]["devices"] == 234


def since_the_first_measurement(recording: Recording) -> Recording:
    seen = np.any([np.isfinite(column) for column in recording.signs.values()], axis=0)
    begins = {
        patient: int(recording.time_ns[low:high][seen[low:high]][0])
        for patient, low, high in zip(recording.patients, recording.offsets[:-1], recording.offsets[1:], strict=True)
        if seen[low:high].any()
    }
    stays = [recording.select([patient], begin_ns, FOREVER) for patient, begin_ns in begins.items()]
    return join(stays, "since the first measurement")


@pytest.mark.parametrize("which", ["sepsis", "anomaly"])
def test_stored_scores_are_those_of_teleward_score(which, kinds, streamed, tmp_path):
    """Of every stay, on the grid that it was charted on; a row of the recording is the frame that it lies in.

    A stream knows nothing of rows in which nothing was measured, so the recording begins with the first that has any.
    """
    grid_ns, recording = (HOUR_NS, kinds["hourly"]) if which == "sepsis" else (MINUTE_NS, kinds["minutes"])
    pq.write_table(wide(since_the_first_measurement(recording)), tmp_path / "recording.parquet")
    run_score(which, tmp_path / "recording.parquet", tmp_path / "scores.parquet")
    table = pq.read_table(tmp_path / "scores.parquet")
    _, _, store = streamed
    compared = given = 0
    for patient in recording.patients:
        mine = table.filter(pc.equal(table["patient"], patient))
        end_ns = (np.rint(mine["t_s"].to_numpy() * 1e9).astype(np.int64) // grid_ns + 1) * grid_ns
        said = np.where(mine["assessable"].to_numpy(zero_copy_only=False), mine["score"].to_numpy(), np.nan)
        frames = store.frames(patient, -FOREVER, FOREVER)
        (name,) = (n for n in frames.detectors if n.startswith(which))
        due = frames.end_ns % grid_ns == 0
        stored = dict(zip(frames.end_ns[due].tolist(), frames.detectors[name][due].tolist(), strict=True))
        both = [i for i, end in enumerate(end_ns.tolist()) if end in stored]
        assert len(both) >= len(end_ns) - 1, "the last frame may still be open when a recording ends"
        np.testing.assert_allclose(
            [stored[end] for end in end_ns[both].tolist()], said[both], rtol=0, atol=1e-5, err_msg=patient
        )
        compared += len(both)
        given += int(np.isfinite(said[both]).sum())
    assert compared > 1_000
    assert given > compared / 4
