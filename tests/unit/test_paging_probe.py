"""The test patient by itself: when its oxygen falls, how it answers, what it says when nobody does."""

from __future__ import annotations

import msgspec
import pytest
from paging_world import START, M, S, WardStub

from stream_processors.paging import own
from stream_processors.paging.channels import Outgoing
from stream_processors.paging.policy import TEST_RULE
from stream_processors.paging.probe import Probe, ProbeSettings
from stream_processors.paging.state import Found
from stream_processors.paging.text import Words
from transport.mqtt_types import MqttError
from vitals.answers import Ask
from vitals.log import Command
from vitals.topics import SYNTHETIC, SYNTHETIC_DEVICE, bundle_topic


class World:
    """Ward time and the wall, which go when they are told to; whatever the test patient says."""

    def __init__(self, settings: ProbeSettings) -> None:
        self.now, self.wall_s = START, 1000.0
        self.asked: list[Ask] = []
        self.found: list[Found] = []
        self.published: list[tuple[str, bytes]] = []
        self.broken: Exception | None = None
        self.waits = 0
        self.ward = WardStub()
        self.probe = Probe(settings, self, self.publish, self.ask, self.found.append, lambda: self.wall_s)

    def now_ns(self) -> int:
        return self.now

    async def sleep_until(self, t_ns: int) -> None:
        """Time goes there at once; the second time the broker is back, the third time the test patient shall end."""
        self.go(t_ns - self.now)
        self.waits += 1
        if self.waits == 2:
            self.broken = None
        if self.waits == 3:
            self.probe.stop()

    def go(self, length_ns: int) -> None:
        self.now += length_ns
        self.wall_s += length_ns / S

    async def publish(self, topic: str, payload: bytes) -> None:
        if self.broken is not None:
            raise self.broken
        self.published.append((topic, payload))

    async def ask(self, ask: Ask) -> None:
        self.asked.append(ask)

    def spo2(self) -> float:
        """What the next bundle says."""
        readings = msgspec.json.decode(self.probe.bundle(self.now))["readings"]
        (value,) = (r["value"] for r in readings if r["sign"] == "spo2")
        return value

    def begin(self) -> None:
        """The first trial."""
        self.go(M)
        self.probe.look(self.now)

    def raise_(self) -> str:
        (event,) = self.ward.raise_(SYNTHETIC, TEST_RULE, self.now, 2)
        self.probe.on_event(event)
        return event.alarm_id

    def acknowledge(self, alarm_id: str, by: str) -> None:
        said = Command(command_id="c", patient=SYNTHETIC, alarm_id=alarm_id, action="acknowledge", by=by)
        for event in self.ward.obey(said, self.now):
            self.probe.on_event(event)

    async def page(self, **tokens: str) -> None:
        await self.probe.take(
            Outgoing("m" * 24, SYNTHETIC, "high", "page", Words("t", "b"), at_ns=self.now, tokens=tokens)
        )


@pytest.fixture
def world() -> World:
    return World(ProbeSettings())


def test_its_oxygen_falls_when_a_trial_begins_and_recovers_when_the_page_is_here(world):
    world.probe.look(world.now)
    assert world.spo2() == 97
    world.begin()
    assert world.spo2() == 70


async def test_a_trial_that_goes_through_tells_how_long_each_part_took(world):
    world.begin()
    world.go(65 * S)
    alarm_id = world.raise_()
    world.go(2 * S)
    await world.page(acknowledge="tok", hand_on="other")
    assert [(ask.token, ask.use, ask.person) for ask in world.asked] == [
        ("tok", False, SYNTHETIC),
        ("tok", True, SYNTHETIC),
    ]
    assert len({ask.ask_id for ask in world.asked}) == 2
    assert world.spo2() == 97
    world.go(3 * S)
    world.acknowledge(alarm_id, SYNTHETIC)
    assert world.found == [Found(rule=own.TEST)]
    told = world.probe.told()
    assert told["hops"] == {"raise": 0, "page": 2000, "answer": 3000, "total": 5000}
    assert (told["trials"], told["failed"], told["p50_ms"], told["ok"]) == (1, 0, 5000, True)


@pytest.mark.parametrize(
    ("reached", "why"),
    [
        (0, "no alarm came of it"),
        (1, "its alarm was raised, and no page came"),
        (2, "its page came, and its link could not be used"),
        (3, "its page was answered, and the ward did not acknowledge it"),
    ],
)
async def test_a_trial_that_fails_says_how_far_it_came(world, reached, why):
    world.begin()
    if reached >= 1:
        world.raise_()
    if reached >= 2:
        await world.page(**({"acknowledge": "tok"} if reached == 3 else {}))
    world.go(3 * M - 1)
    world.probe.look(world.now)
    assert world.found == []
    world.go(1)
    world.probe.look(world.now)
    (found,) = world.found
    assert (found.rule, found.cause) == (own.TEST, f"the test patient's oxygen fell, and {why}")
    told = world.probe.told()
    assert (told["at_ns"], told["ok"], told["why"]) == (world.now, False, why)
    assert (told["trials"], told["failed"], told["due_ns"]) == (1, 1, START + 31 * M)
    assert world.spo2() == 97


def test_where_ward_time_runs_fast_a_trial_still_has_its_time_of_the_wall(world):
    world.begin()
    world.now += 10 * M
    world.wall_s += 29
    world.probe.look(world.now)
    assert world.found == []
    world.wall_s += 1
    world.probe.look(world.now)
    assert len(world.found) == 1


async def test_somebody_elses_acknowledgement_is_not_the_test_patients(world):
    world.begin()
    alarm_id = world.raise_()
    await world.page(acknowledge="tok")
    world.acknowledge(alarm_id, "wren")
    assert world.found == []


async def test_bundles_wait_in_order_for_a_broker_that_does_not_take_them(world):
    world.broken = MqttError("away")
    await world.probe.run()
    assert {topic for topic, _ in world.published} == {bundle_topic(SYNTHETIC_DEVICE)}
    told = [msgspec.json.decode(payload) for _, payload in world.published]
    assert [bundle["seq"] for bundle in told] == list(range(len(told)))
    assert world.probe.sent == len(told) == 3
    assert told[-1]["n_before"] == sum(bundle["n"] for bundle in told[:-1])


async def test_a_trial_says_when_the_broker_takes_nothing(world):
    world.broken = MqttError("away")
    world.probe.stop()
    world.begin()
    await world.probe._send()
    world.probe._waiting.append(b"{}")
    await world.probe._send()
    world.go(3 * M)
    world.probe.look(world.now)
    assert world.found[0].cause.endswith("the MQTT broker does not take it (MqttError)")


@pytest.mark.parametrize("give_up_ns", [M, 30 * M])
def test_a_trial_that_could_not_end_is_refused(give_up_ns):
    with pytest.raises(ValueError, match="give_up_ns"):
        ProbeSettings(give_up_ns=give_up_ns)
