"""Bodies: signs that hang together, and stay where a healthy person's stay."""

from __future__ import annotations

import numpy as np
import pytest

from device_sim.bodies import CHUNK_STEPS, N_DRIVES, Bodies, Drive
from device_sim.people import Person, draw_person
from vitals import scores
from vitals.reading import FloatArray
from vitals.signs import N_MEASURES, SECOND_NS, Measure, Sign

STEP_NS = 15 * SECOND_NS
HOUR = 240  # steps
SIGN_OF = {
    Measure.RATE: Sign.HR,
    Measure.SPO2: Sign.SPO2,
    Measure.RESP: Sign.RESP,
    Measure.TEMP_C: Sign.TEMP_C,
    Measure.SBP: Sign.NIBP_SBP,
    Measure.CONSCIOUSNESS: Sign.CONSCIOUSNESS,
    Measure.OXYGEN: Sign.OXYGEN,
}


def people(n: int, seed: int = 1) -> list[Person]:
    return [draw_person(seed, f"p-{i}", 20 + (i * 7) % 70, "f" if i % 2 else "m") for i in range(n)]


def bodies(n: int, seed: int = 1, start_h: float = 8.0, **drive: float) -> Bodies:
    """People who all have the same drives from the start."""

    def drives(_first: int, steps: int) -> FloatArray:
        out = np.zeros((steps, n, N_DRIVES))
        for name, value in drive.items():
            out[..., Drive[name]] = value
        return out

    return Bodies(people(n, seed), seed=seed, step_ns=STEP_NS, start_h=start_h, drives=drives)


def mean(signs: FloatArray, sign: Sign) -> float:
    return float(signs[..., sign].mean())


def news2(signs: FloatArray) -> tuple[FloatArray, FloatArray]:
    """NEWS2 and its largest single part for each minute and person, from medians of four steps as a ward makes them."""
    minutes = np.median(signs[: len(signs) // 4 * 4].reshape(-1, 4, *signs.shape[1:]), axis=1)
    value = np.full((*minutes.shape[:2], N_MEASURES), np.nan)
    for measure, sign in SIGN_OF.items():
        value[..., measure] = minutes[..., sign]
    flat = value.reshape(-1, N_MEASURES)
    scored = scores.score(flat, np.ones(len(flat), np.int64))
    shape = minutes.shape[:2]
    return scored.low[:, 0].reshape(shape), scored.part_low.max(axis=1).reshape(shape).astype(float)


def test_healthy_people_keep_a_low_news2_for_days_and_nights() -> None:
    total, single = news2(bodies(40, seed=4).run(2 * 24 * HOUR))
    assert total.max() <= 3
    assert single.max() <= 2
    assert (total <= 1).mean() > 0.97


def test_the_change_over_a_minute_is_as_large_as_measured_on_a_ward() -> None:
    change = np.diff(bodies(40).run(24 * HOUR)[::4], axis=0).std(axis=(0, 1))
    assert change[Sign.HR] == pytest.approx(2.7, abs=0.3)
    assert change[Sign.RESP] == pytest.approx(2.3, abs=0.3)
    assert change[Sign.SPO2] == pytest.approx(0.47, abs=0.1)


def test_the_night_slows_the_heart_lowers_the_pressure_and_cools() -> None:
    day = bodies(40, start_h=13).run(2 * HOUR)
    night = bodies(40, start_h=2).run(2 * HOUR)
    for sign, least in ((Sign.HR, 5.0), (Sign.NIBP_SBP, 5.0), (Sign.TEMP_C, 0.2), (Sign.RESP, 0.3)):
        assert mean(day, sign) - mean(night, sign) > least


@pytest.mark.parametrize(
    "drive, up, down",
    [
        ({"FEVER": 2.0}, (Sign.TEMP_C, Sign.HR, Sign.RESP), ()),
        ({"SHUNT": 10.0}, (Sign.HR, Sign.RESP), (Sign.SPO2,)),
        ({"BLEED": 0.3}, (Sign.HR, Sign.RESP), (Sign.NIBP_SBP, Sign.NIBP_DBP, Sign.NIBP_MAP)),
        ({"VASO": 0.8}, (Sign.HR, Sign.RESP), (Sign.NIBP_SBP, Sign.NIBP_DBP)),
        ({"FIBRILLATION": 1.0}, (Sign.HR, Sign.PULSE), (Sign.NIBP_SBP,)),
        ({"EXERTION": 1.0}, (Sign.HR, Sign.RESP, Sign.NIBP_SBP), ()),
    ],
)
def test_what_ails_a_body_shows_in_all_the_signs_it_should(
    drive: dict[str, float], up: tuple[Sign, ...], down: tuple[Sign, ...]
) -> None:
    well, ill = bodies(20).run(HOUR), bodies(20, **drive).run(HOUR)
    spread = well.std(axis=(0, 1))
    for sign in up:
        assert mean(ill, sign) > mean(well, sign) + 0.5 * spread[sign]
    for sign in down:
        assert mean(ill, sign) < mean(well, sign) - 0.5 * spread[sign]


def test_bleeding_narrows_the_pulse_pressure_before_the_pressure_falls() -> None:
    well, bleeding = bodies(20).run(HOUR), bodies(20, BLEED=0.2).run(HOUR)

    def pulse_pressure(signs: FloatArray) -> float:
        return mean(signs, Sign.NIBP_SBP) - mean(signs, Sign.NIBP_DBP)

    assert pulse_pressure(bleeding) < pulse_pressure(well) - 3
    assert mean(bleeding, Sign.NIBP_SBP) > 110


def test_pressures_always_stand_in_order_and_oxygen_never_exceeds_a_hundred() -> None:
    signs = bodies(20, BLEED=0.42, VASO=1.0).run(HOUR)
    assert (signs[..., Sign.NIBP_SBP] > signs[..., Sign.NIBP_MAP]).all()
    assert (signs[..., Sign.NIBP_MAP] > signs[..., Sign.NIBP_DBP]).all()
    assert bodies(20).run(HOUR)[..., Sign.SPO2].max() <= 100


def test_an_irregular_heart_is_more_irregular_than_a_regular_one() -> None:
    def jitter(**drive: float) -> float:
        return float(np.diff(bodies(10, **drive).run(HOUR)[..., Sign.HR], axis=0).std())

    assert jitter(FIBRILLATION=1.0) > 2 * jitter()


def test_values_are_printed_to_the_resolution_of_a_device() -> None:
    signs = bodies(5).run(CHUNK_STEPS)
    assert (signs[..., Sign.HR] == np.round(signs[..., Sign.HR])).all()
    assert (signs[..., Sign.TEMP_C] == np.round(signs[..., Sign.TEMP_C], 1)).all()


def test_a_body_depends_on_its_seed_and_person_and_on_nobody_else_there() -> None:
    alone = Bodies(people(3)[2:], seed=1, step_ns=STEP_NS, start_h=8)
    together = Bodies(people(3), seed=1, step_ns=STEP_NS, start_h=8)
    assert (alone.run(200)[:, 0] == together.run(200)[:, 2]).all()
    assert (bodies(3, seed=2).run(100) != bodies(3, seed=1).run(100)).any()


def test_steps_may_be_asked_for_in_leaps_but_not_long_after_they_are_gone() -> None:
    whole, leaping = bodies(2).run(400), bodies(2)
    assert leaping.at(399, 1) == whole[399, 1].tolist()
    assert leaping.at(399 - CHUNK_STEPS, 0) == whole[399 - CHUNK_STEPS, 0].tolist()
    with pytest.raises(ValueError, match="step 3 has been forgotten"):
        leaping.at(3, 0)


def test_a_step_below_a_second_is_refused() -> None:
    with pytest.raises(ValueError, match="at least a second"):
        Bodies(people(1), seed=1, step_ns=1000, start_h=8)
