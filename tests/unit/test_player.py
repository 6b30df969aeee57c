"""The player: a recording as bundles at instants, marks before what they time, nothing ahead of its acknowledgement."""

from __future__ import annotations

import asyncio

import msgspec
import numpy as np
import pytest
from sim_fakes import FakeBroker, FakeClock, until

from device_sim.player import Echoes, Player, mark_payload
from device_sim.recorded import DeviceConflictError, bundles_at_instants, device_of_patient, records_of
from vitals import wire
from vitals.log import Binding, Enrolment
from vitals.reading import FloatArray
from vitals.recording import Recording
from vitals.signs import HOUR_NS, MINUTE_NS, SECOND_NS, Sign
from vitals.topics import DEVICE_ID
from vitals.wire import SentBundle

NAN = float("nan")


def recording(
    rows: dict[str, list[tuple[int, dict[Sign, float]]]],
    *,
    devices: dict[str, list[str]] | None = None,
    received: dict[str, list[int]] | None = None,
) -> Recording:
    """Patients with rows of (seconds, values); perhaps a device and a time of receipt for each row."""
    patients = tuple(rows)
    flat = [(t, v) for p in patients for t, v in rows[p]]
    signs: dict[Sign, FloatArray] = {
        sign: np.array([v.get(sign, NAN) for _, v in flat]) for sign in sorted({s for _, v in flat for s in v})
    }
    worn = [d for p in patients for d in (devices or {}).get(p, [""] * len(rows[p]))]
    names = tuple(sorted(set(worn) - {""}))
    return Recording(
        patients=patients,
        offsets=np.cumsum([0, *(len(rows[p]) for p in patients)]),
        time_ns=np.array([t for t, _ in flat]) * SECOND_NS,
        signs=signs,
        labs={},
        age=np.array([50.0, NAN] * 4)[: len(patients)],
        sex=np.array([0.0, NAN] * 4)[: len(patients)],
        devices=names,
        device=np.array([names.index(d) if d else -1 for d in worn]),
        received_ns=None if received is None else np.array([r for p in patients for r in received[p]]),
        row=np.arange(len(flat)),
    )


def read(payload: bytes) -> SentBundle:
    return msgspec.msgpack.decode(payload, type=SentBundle)


MINUTES = recording(
    {
        "p-2": [(0, {Sign.HR: 70.0}), (60, {Sign.HR: 71.0, Sign.SPO2: 97.0}), (120, {})],
        "p-1": [(0, {Sign.HR: 80.0}), (90, {Sign.CONSCIOUSNESS: 1.0, Sign.OXYGEN: 1.0})],
    }
)
SECONDS = recording({"p": [(t, {Sign.HR: 60.0 + t}) for t in range(7, 33)]})


def test_minutes_are_a_bundle_a_row_in_order_of_time_then_device() -> None:
    played = list(bundles_at_instants(MINUTES))
    assert [(t // SECOND_NS, [d for d, _ in b]) for t, b in played] == [
        (0, ["rec-p-1", "rec-p-2"]),
        (60, ["rec-p-2"]),
        (90, ["rec-p-1"]),
        (120, ["rec-p-2"]),
        (192, []),
    ]


def test_a_bundle_holds_what_was_measured_and_no_more() -> None:
    bundles = [read(payload) for _, b in bundles_at_instants(MINUTES) for _, payload in b]
    told = {(b.device, b.seq): {r.sign: r.value for r in b.readings} for b in bundles}
    assert told == {
        ("rec-p-2", 0): {"hr": 70.0},
        ("rec-p-2", 1): {"hr": 71.0, "spo2": 97.0},
        ("rec-p-2", 2): {},
        ("rec-p-1", 0): {"hr": 80.0},
        ("rec-p-1", 1): {"consciousness": "C", "oxygen": True},
    }
    assert all(b.n == len(b.readings) for b in bundles)
    assert {(b.device, b.seq): b.n_before for b in bundles}["rec-p-2", 2] == 3


def test_seconds_are_a_bundle_every_ten_sent_with_their_newest_row() -> None:
    played = [(t // SECOND_NS, read(b[0][1]) if b else None) for t, b in bundles_at_instants(SECONDS)]
    assert [t for t, _ in played] == [9, 19, 29, 32, 72]
    assert [bundle.n for _, bundle in played if bundle] == [3, 10, 10, 3]
    for t, bundle in played:
        if bundle:
            assert bundle.sent_ns == t * SECOND_NS
            assert all(0 <= bundle.sent_ns - r.time_ns < 10 * SECOND_NS for r in bundle.readings), (
                "neither late nor early"
            )


def test_no_reading_is_lost_and_none_is_made_up() -> None:
    for one in (MINUTES, SECONDS):
        bundles = [read(payload) for _, b in bundles_at_instants(one) for _, payload in b]
        assert sum(b.n for b in bundles) == one.readings


def test_hourly_rows_end_with_the_hour_of_the_last_one() -> None:
    hours = recording({"p": [(h * 3600, {Sign.HR: 70.0}) for h in range(3)]})
    assert [t for t, _ in bundles_at_instants(hours)] == [0, HOUR_NS, 2 * HOUR_NS, 3 * HOUR_NS + 12 * SECOND_NS]


def test_the_same_recording_is_the_same_bytes() -> None:
    assert list(bundles_at_instants(MINUTES)) == list(bundles_at_instants(MINUTES))
    as_json = [payload for _, b in bundles_at_instants(MINUTES, "json") for _, payload in b]
    assert all(isinstance(wire.decode(payload), wire.Incoming) and payload[:1] == b"{" for payload in as_json)


def test_an_empty_recording_plays_nothing() -> None:
    assert list(bundles_at_instants(recording({}))) == []


def test_rows_go_out_when_they_were_received_where_that_is_known() -> None:
    late = recording(
        {"p": [(0, {Sign.HR: 70.0}), (60, {Sign.HR: 71.0}), (120, {Sign.HR: 72.0})]},
        received={"p": [2 * SECOND_NS, 200 * SECOND_NS, 200 * SECOND_NS]},
    )
    played = [(t // SECOND_NS, [read(p) for _, p in b]) for t, b in bundles_at_instants(late)]
    assert [t for t, _ in played] == [2, 200, 252]
    assert [r.time_ns // SECOND_NS for r in played[1][1][0].readings] == [60, 120]
    assert played[1][1][0].sent_ns == 200 * SECOND_NS


def test_every_patient_is_admitted_and_every_device_bound_at_its_own_pace() -> None:
    assert records_of(SECONDS)[-1] == Binding(
        device="rec-p", patient="p", from_ns=7 * SECOND_NS, period_ns=10 * SECOND_NS
    )
    records = records_of(MINUTES)
    assert records[:2] == (
        Enrolment(patient="p-2", state="admitted", at_ns=0, by="recording", age=50.0, sex="f"),
        Enrolment(patient="p-1", state="admitted", at_ns=0, by="recording"),
    )
    assert records[2] == Binding(device="rec-p-1", patient="p-1", from_ns=0, period_ns=90 * SECOND_NS)
    assert records[3] == Binding(device="rec-p-2", patient="p-2", from_ns=0, period_ns=MINUTE_NS)


def test_named_devices_keep_their_names_and_pass_from_one_wearer_to_the_next() -> None:
    handed_on = recording(
        {
            "p-1": [(0, {Sign.HR: 70.0}), (60, {Sign.HR: 71.0})],
            "p-2": [(300, {Sign.HR: 80.0}), (360, {Sign.HR: 81.0})],
        },
        devices={"p-1": ["watch", "watch"], "p-2": ["watch", "watch"]},
    )
    bundles = [read(payload) for _, b in bundles_at_instants(handed_on) for _, payload in b]
    assert [(b.device, b.seq) for b in bundles] == [("watch", 0), ("watch", 1), ("watch", 2), ("watch", 3)]
    bindings = [r for r in records_of(handed_on) if isinstance(r, Binding)]
    assert [(b.patient, b.from_ns // SECOND_NS, b.to_ns and b.to_ns // SECOND_NS) for b in bindings] == [
        ("p-1", 0, 300),
        ("p-2", 300, None),
    ]


def test_a_device_worn_by_two_at_once_is_refused() -> None:
    rows = [(0, {Sign.HR: 70.0}), (60, {Sign.HR: 71.0})]
    with pytest.raises(DeviceConflictError, match="watch is worn by p-1 and p-2 at the same time"):
        records_of(recording({"p-1": rows, "p-2": rows}, devices={"p-1": ["watch"] * 2, "p-2": ["watch"] * 2}))


def test_the_longest_patient_id_still_gives_a_device_id() -> None:
    long = {device_of_patient("x" * 63 + last) for last in "ab"}
    assert len(long) == 2
    assert all(DEVICE_ID.fullmatch(device) for device in long)


async def test_each_mark_comes_before_its_bundles_and_after_all_earlier_ones() -> None:
    broker = FakeBroker()
    played = await Player(MINUTES, broker).run()
    kinds = [(topic.split("/")[2], topic.split("/")[3]) for topic, _ in broker.messages]
    assert kinds == [
        ("player", "mark"), ("rec-p-1", "bundle"), ("rec-p-2", "bundle"),
        ("player", "mark"), ("rec-p-2", "bundle"),
        ("player", "mark"), ("rec-p-1", "bundle"),
        ("player", "mark"), ("rec-p-2", "bundle"),
        ("player", "mark"),
    ]  # fmt: skip
    marks = [msgspec.json.decode(payload) for topic, payload in broker.messages if topic.endswith("mark")]
    assert marks == [{"now_ns": s * SECOND_NS} for s in (0, 60, 90, 120, 192)]
    assert played.finished
    assert (played.instants, played.bundles, played.readings) == (5, 5, MINUTES.readings)


async def test_no_mark_goes_out_while_a_bundle_before_it_is_not_acknowledged() -> None:
    gate = asyncio.Event()

    class SlowBroker(FakeBroker):
        async def publish(self, topic: str, payload: bytes) -> None:
            await super().publish(topic, payload)
            if topic.endswith("rec-p-1/bundle"):
                await gate.wait()

    broker = SlowBroker()
    running = asyncio.ensure_future(Player(MINUTES, broker).run())
    await until(lambda: len(broker.messages) == 3)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(broker.messages) == 3
    gate.set()
    await running
    assert len(broker.messages) == 10


@pytest.mark.parametrize("fate", ["lose", "forget"])
async def test_a_failing_broker_gets_the_same_bytes_again_in_the_same_order(fate: str) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    calm, rough = FakeBroker(), FakeBroker(lambda k: fate if k % 3 == 0 else "take")
    await Player(MINUTES, calm).run()
    played = await Player(MINUTES, rough, sleep=sleep).run()
    assert set(rough.messages) == set(calm.messages)
    assert rough.by_device().keys() == calm.by_device().keys()
    for device, messages in rough.by_device().items():
        assert list(dict.fromkeys(messages)) == calm.by_device()[device]
    assert played.failures == len(pauses) > 0
    assert all(c.queued == 0 for c in played.counts.values())


async def test_a_clock_paces_it_and_whoever_is_slow_is_waited_for() -> None:
    clock = FakeClock(0)
    heard: list[tuple[int, int]] = []

    async def settled(now_ns: int) -> int:
        heard.append((now_ns, clock.now_ns()))
        return now_ns

    await Player(SECONDS, FakeBroker(), clock, settled=settled).run()
    assert heard == [(t * SECOND_NS, t * SECOND_NS) for t in (9, 19, 29, 32, 72)]


async def test_without_marks_only_bundles_go_out() -> None:
    broker = FakeBroker()
    await Player(MINUTES, broker, marks=False).run()
    assert {topic.split("/")[3] for topic, _ in broker.messages} == {"bundle"}


async def test_stopped_it_ends_after_the_instant_it_is_at_without_a_closing_mark() -> None:
    player: Player

    async def settled(now_ns: int) -> int:
        if now_ns == 60 * SECOND_NS:
            player.stop()
        return now_ns

    broker = FakeBroker()
    player = Player(MINUTES, broker, settled=settled)
    played = await player.run()
    assert not played.finished
    assert len(broker.messages) == 5


async def test_stopped_while_the_broker_is_away_it_ends_with_the_bundle_queued() -> None:
    player: Player

    async def sleep(_: float) -> None:
        player.stop()
        await asyncio.sleep(0)

    player = Player(MINUTES, FakeBroker(lambda k: "lose" if k > 1 else "take"), sleep=sleep)
    played = await player.run()
    assert not played.finished
    assert played.counts["rec-p-1"].queued == 1


class KilledBroker(FakeBroker):
    """Hands on a message now and then; killed when a mark comes by for the first time, it forgets all the others."""

    def __init__(self, at_mark: int) -> None:
        super().__init__()
        self._at_mark = at_mark
        self.handed_on: list[tuple[str, bytes]] = []

    async def publish(self, topic: str, payload: bytes) -> None:
        await super().publish(topic, payload)
        if payload == mark_payload(self._at_mark * SECOND_NS) and self.connections == 1:
            self.messages.clear()
            self.reconnect()

    def hand_on(self) -> tuple[str, bytes]:
        self.handed_on.append(self.messages.pop(0))
        return self.handed_on[-1]


@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("at_mark", [60, 90, 120])
async def test_what_a_killed_broker_forgot_is_played_again_in_order(at_mark: int, echo: bool) -> None:
    echoes, calm, broker = Echoes(ahead=1), FakeBroker(), KilledBroker(at_mark)
    await Player(MINUTES, calm).run()
    running = asyncio.ensure_future(Player(MINUTES, broker, settled=echoes.settled if echo else None).run())
    while not running.done() or broker.messages:
        for _ in range(10):
            await asyncio.sleep(0)
        if broker.messages:
            topic, payload = broker.hand_on()
            if topic.endswith("mark"):
                echoes.heard(payload)
    assert (await running).finished
    assert list(dict.fromkeys(broker.handed_on)) == calm.messages


async def test_a_player_stays_no_further_ahead_than_the_echoes_allow() -> None:
    echoes, broker = Echoes(ahead=1), FakeBroker()
    running = asyncio.ensure_future(Player(MINUTES, broker, settled=echoes.settled).run())

    def marks() -> int:
        return sum(topic.endswith("mark") for topic, _ in broker.messages)

    await until(lambda: marks() == 2)
    for _ in range(20):
        await asyncio.sleep(0)
    assert marks() == 2
    echoes.heard(mark_payload(60 * SECOND_NS))  # the one of 0 was missed: this one says the same of both
    await until(lambda: marks() == 4)
    echoes.heard(mark_payload(0))
    echoes.heard(mark_payload(192 * SECOND_NS))
    assert (await running).finished
