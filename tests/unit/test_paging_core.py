"""The pager's core as truth tables over time: who is told when, and who is left in peace."""

from __future__ import annotations

import re

import msgspec
import pytest
from paging_world import START, H, M, S, Scene, people, rota, sends

from stream_processors.paging import own
from stream_processors.paging.core import Plan, next_ns, wanted
from stream_processors.paging.policy import DEFAULT, Quiet
from stream_processors.paging.state import Answered, Found, HoldBack, Note, Order, PagerState, Publish, Undelivered


def play(table: str, scene: Scene | None = None) -> Scene:
    """Rows of ``time | what happens | who is paged``; between rows time goes on and nobody else may be paged.

    Time is ``m:ss`` from the start. What happens: ``raise RULE LEVEL``, ``end RULE``, ``ack RULE PERSON``,
    ``hand-on PERSON``, ``fail PERSON``.
    """
    scene = scene or Scene()
    rows = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    for time, what, expected in rows[1:]:
        minutes, seconds = map(int, time.split(":"))
        before = scene.go(START + minutes * M + seconds * S)
        at_now = [d for t, d in scene.told if t == scene.now_ns and d in before]
        assert people(before) == people(at_now), f"before {time}: {people(before)}"
        decisions = at_now + do(scene, what)
        wanted_people = [] if expected == "-" else sorted(re.split(r",\s*", expected))
        assert sorted(people(decisions)) == wanted_people, f"at {time} ({what}): {people(decisions)}"
    return scene


def do(scene: Scene, what: str) -> list:
    match what.split():
        case []:
            return []
        case ["raise", rule, level]:
            return scene.raise_("p-7", rule, int(level))
        case ["end", rule]:
            return scene.end("p-7", rule)
        case ["ack", rule, person]:
            return scene.acknowledge("p-7", rule, person)
        case ["hand-on", person]:
            seen = {name: scene.state.alarms[name].n for name in scene.state.pages["p-7"].members}
            return scene.say(Answered(person=person, action="hand-on", alarms=seen, command_id=f"h{scene.now_ns}"))
        case ["fail", person]:
            return scene.say(Undelivered(person=person, alarm_ids=tuple(scene.state.pages["p-7"].members)))
    raise AssertionError(what)


def test_high_priority_goes_on_every_two_minutes_until_everyone_knows():
    play("""
        time | what              | paged
        0:00 | raise spo2-low 2  | wren
        1:59 |                   | -
        2:00 |                   | heron
        4:00 |                   | kestrel
        6:00 |                   | wren, heron, kestrel
        8:00 |                   | wren, heron, kestrel
    """)


def test_an_answer_ends_the_calling_until_its_time_is_up():
    play("""
        time  | what              | paged
        0:00  | raise spo2-low 2  | wren
        1:00  | ack spo2-low wren | -
        10:59 |                   | -
        11:00 |                   | wren
        13:00 |                   | heron
    """)


def test_something_worse_breaks_through_an_answer():
    play("""
        time  | what              | paged
        0:00  | raise spo2-low 1  | -
        0:15  |                   | wren
        1:00  | ack spo2-low wren | -
        5:00  | raise spo2-low 2  | wren
        7:00  |                   | heron
    """)


def test_medium_waits_longer_and_goes_the_same_way():
    play("""
        time  | what                  | paged
        0:00  | raise news2-single 1  | -
        0:15  |                       | wren
        10:15 |                       | heron
        20:15 |                       | kestrel
        30:15 |                       | wren, heron, kestrel
    """)


@pytest.mark.parametrize("rule", ["battery-low", "observe-consciousness", "missed-news2", "anomaly", "sensor-off-spo2"])
def test_what_does_not_matter_stays_off_the_phone(rule):
    play(f"""
        time   | what           | paged
        0:00   | raise {rule} 1 | -
        300:00 |                | -
    """)


def test_a_latched_alarm_that_returned_still_needs_somebody():
    play("""
        time | what              | paged
        0:00 | raise spo2-low 2  | wren
        1:00 | end spo2-low      | -
        2:00 |                   | heron
        2:30 | ack spo2-low wren | -
        9:00 |                   | -
    """)


def test_handed_on_it_is_the_next_ones_turn_at_once():
    play("""
        time | what             | paged
        0:00 | raise spo2-low 2 | wren
        0:20 | hand-on wren     | heron
        0:30 | hand-on heron    | kestrel
        0:40 | hand-on kestrel  | -
        2:30 |                  | wren, heron, kestrel
    """)


def test_who_cannot_be_reached_does_not_hold_up_the_next():
    play("""
        time | what             | paged
        0:00 | raise spo2-low 2 | wren
        0:20 | fail wren        | heron
        4:00 |                  | kestrel
    """)


def test_one_patients_alarms_are_one_page_that_grows():
    scene = play("""
        time | what              | paged
        0:00 | raise rate-high 1 | -
        0:10 | raise resp-high 1 | -
        0:15 |                   | wren
        0:30 | raise spo2-low 2  | wren
        0:40 | raise sbp-low 2   | -
        1:30 |                   | wren
        2:30 |                   | heron
    """)
    last = sends(d for _, d in scene.told)[-1]
    assert [alarm.rule for alarm in last.alarms[:2]] == ["spo2-low", "sbp-low"]
    assert len(last.alarms) == 4


def test_an_answered_alarm_does_not_hide_a_new_one_of_the_same_patient():
    play("""
        time | what              | paged
        0:00 | raise spo2-low 2  | wren
        1:00 | ack spo2-low wren | -
        3:00 | raise sbp-low 2   | wren
    """)


def test_what_waits_for_the_morning_calls_in_the_morning():
    night = msgspec.structs.replace(DEFAULT.policies[2], quiet=Quiet(from_minute=12 * 60, to_minute=14 * 60))
    policies = msgspec.structs.replace(DEFAULT, policies=(*DEFAULT.policies[:2], night))
    play(  # it is 13:00 in the rota's zone
        """
        time  | what                  | paged
        0:00  | raise news2-single 1  | -
        59:00 |                       | -
        60:15 |                       | wren
        70:15 |                       | heron
        """,
        Scene(policies=policies),
    )


def answer(scene: Scene, person: str, action: str, **more: object) -> list:
    seen = {name: scene.state.alarms[name].n for name in scene.state.pages["p-7"].members}
    return scene.say(Answered(person=person, action=action, alarms=seen, command_id="link1", **more))


def test_an_answer_by_link_becomes_a_command_and_holds_until_the_ward_confirms():
    scene = Scene()
    scene.raise_("p-7", "spo2-low", 2)
    (order,) = [d for d in answer(scene, "wren", "on-my-way") if isinstance(d, Order)]
    assert (order.command.action, order.command.by, order.command.note) == ("acknowledge", "wren", "on my way")
    scene.now_ns += 2 * S
    scene.events(scene.ward.obey(order.command, scene.now_ns))
    assert people(scene.go(START + 9 * M)) == []


def test_an_answer_that_the_ward_does_not_confirm_does_not_hold():
    scene = Scene()
    scene.raise_("p-7", "spo2-low", 2)
    answer(scene, "wren", "acknowledge")
    assert people(scene.go(START + 2 * M + S)) == ["heron"]
    assert any(isinstance(d, Note) and d.what == "unconfirmed" for _, d in scene.told)


def test_an_answer_to_less_than_it_is_now_is_refused_and_the_person_is_told():
    scene = Scene()
    scene.raise_("p-7", "spo2-low", 1)
    seen = {name: alarm.n for name, alarm in scene.state.alarms.items()}
    scene.raise_("p-7", "spo2-low", 2)
    decisions = scene.say(Answered(person="wren", action="acknowledge", alarms=seen, command_id="old"))
    assert not [d for d in decisions if isinstance(d, Order)]
    assert people(decisions, "refused") == ["wren"]


def test_a_refusal_of_the_ward_lets_the_calling_go_on():
    scene = Scene()
    scene.raise_("p-7", "spo2-low", 2)
    (order,) = [d for d in answer(scene, "wren", "acknowledge") if isinstance(d, Order)]
    refused = scene.ward.obey(msgspec.structs.replace(order.command, seen=0), scene.now_ns)
    assert refused[0].event == "command_refused"
    assert people(scene.events(refused), "refused") == ["wren"]
    assert people(scene.go(START + 2 * M)) == ["heron"]


def test_the_floor_list_cannot_be_snoozed_at_high_priority():
    scene = Scene()
    scene.raise_("p-7", "spo2-low", 2)
    decisions = answer(scene, "wren", "snooze")
    assert not [d for d in decisions if isinstance(d, Order)]
    assert "cannot be shelved at high priority" in sends(decisions, "refused")[0].note


def test_a_snooze_keeps_within_the_rules_longest():
    scene = Scene()
    scene.raise_("p-7", "spo2-low", 1)
    (order,) = [d for d in answer(scene, "wren", "snooze", until_ns=START + 99 * H) if isinstance(d, Order)]
    assert order.command.action == "shelve"
    assert order.command.until_ns == START + 2 * H
    assert order.command.reason


def test_forty_silent_devices_are_one_technical_page():
    scene = Scene()
    for number in range(40):
        scene.raise_(f"p-{number}", "device-silent", 2, device=f"d-{number}")
    pages = sends(scene.go(START + 3 * M))
    assert [(send.person, send.page_id.partition(":")[0]) for send in pages] == [("wren", own.OWN)]
    assert pages[0].alarms[0].why == "40 devices of 40 patients are silent"


def test_when_the_gateway_is_back_what_is_still_silent_calls_by_itself():
    scene = Scene()
    for number in range(10):
        scene.raise_(f"p-{number}", "device-silent", 2, device=f"d-{number}")
    scene.go(START + 3 * M)
    for number in range(8):
        scene.end(f"p-{number}", "device-silent", device=f"d-{number}")
    pages = sends(scene.go(START + 15 * M))
    assert sorted(send.page_id.partition(":")[0] for send in pages) == ["p-8", "p-9"]


def test_a_few_silent_devices_are_patients_own():
    scene = Scene()
    for number in range(4):
        scene.raise_(f"p-{number}", "device-silent", 2, device=f"d-{number}")
    assert len(sends(scene.go(START + 2 * M))) == 4


def test_beyond_the_limit_pages_become_a_digest_that_says_so_and_high_priority_stays_single():
    policies = msgspec.structs.replace(DEFAULT, per_hour=3)
    scene = Scene(policies=policies)
    for number in range(6):
        scene.raise_(f"p-{number}", "news2-single")
    decisions = scene.go(START + M)
    assert people(decisions) == ["wren"] * 3
    assert people(decisions, "limit") == ["wren"]
    assert len([d for d in decisions if isinstance(d, HoldBack)]) == 3
    assert people(scene.raise_("p-9", "spo2-low", 2)) == ["wren"]
    scene.acknowledge("p-3", "news2-single", "wren")
    (digest,) = sends(scene.go(START + 16 * M), "digest")
    assert len(digest.alarms) == 2
    assert "3 alarms were held back; 1 of them" in digest.note


def test_an_event_twice_changes_nothing():
    scene = Scene()
    events = scene.ward.raise_("p-7", "spo2-low", START, 2)
    scene.events(events)
    before = scene.state
    assert scene.events(events) == []
    assert scene.state == before


def test_a_message_is_not_wanted_once_its_alarm_was_answered():
    scene = Scene()
    (send,) = sends(scene.raise_("p-7", "spo2-low", 2))
    assert wanted(scene.state, send) == "now"
    answer(scene, "wren", "acknowledge")
    assert wanted(scene.state, send) == "later"
    scene.acknowledge("p-7", "spo2-low", "wren")
    assert wanted(scene.state, send) == "never"


def test_a_finding_raises_pages_and_ends_an_alarm_of_the_pagers_own():
    scene = Scene()
    raised = scene.say(Found(rule=own.CHANNEL, about="heron", cause="no channel of heron works", level=2))
    assert [d.event.event for d in raised if isinstance(d, Publish)] == ["raised"]
    assert people(scene.go(START + 2 * M)) == ["wren"]
    over = scene.say(Found(rule=own.CHANNEL, about="heron"))
    assert [d.event.event for d in over if isinstance(d, Publish)] == ["returned", "closed"]
    assert people(scene.go(START + 3 * H, M)) == []


def test_who_is_not_proven_reachable_is_not_left_alone():
    scene = Scene()
    scene.say(Found(rule=own.UNPROVEN, about="wren", cause="no answer to the test page", level=2))
    scene.now_ns += S
    assert sorted(people(scene.raise_("p-7", "spo2-low", 2))) == ["heron", "wren"]


def test_an_own_alarm_is_answered_by_link_without_the_ward():
    scene = Scene()
    scene.say(Found(rule=own.AUDIT, about="p-7", cause="nobody answered"))
    seen = {name: scene.state.alarms[name].n for name in scene.state.pages[own.OWN].members}
    scene.say(Answered(person="wren", action="acknowledge", alarms=seen, command_id="x"))
    assert people(scene.go(START + 9 * M)) == []
    assert people(scene.go(START + 11 * M)) == ["wren"]


def test_the_state_survives_its_bytes():
    scene = Scene()
    scene.raise_("p-7", "spo2-low", 2)
    scene.say(Found(rule=own.GAP, about="ward/first", cause="nobody", level=2))
    data = msgspec.json.encode(scene.state)
    assert msgspec.json.decode(data, type=PagerState) == scene.state


def test_it_looks_again_when_the_next_step_is_due():
    scene = Scene()
    assert next_ns(scene.state) is None
    scene.raise_("p-7", "spo2-low", 2)
    assert next_ns(scene.state) == START + 2 * M


def test_a_gap_is_filled_and_noted():
    scene = Scene(Plan(rota(shifts=()), DEFAULT))
    decisions = scene.raise_("p-7", "spo2-low", 2)
    assert people(decisions) == ["kestrel"]
    assert any(isinstance(d, Note) and "nobody is line first" in d.text for d in decisions)
