"""Tables -> recordings -> readings."""

import numpy as np
import pytest

from vitals.features import LABS
from vitals.recording import RecordingError, from_readings, join
from vitals.records import CHALLENGE_LABS, Channels, Text, challenge, monitor, numbers, recording
from vitals.signs import HOUR_NS, SECOND_NS, Sign

NAN = float("nan")


def words(*cells):
    names = tuple(dict.fromkeys(cell for cell in cells if cell is not None))
    return Text(names, np.array([-1 if cell is None else names.index(cell) for cell in cells]))


def table(**columns):
    wide = {"patient": words("b", "a", "b", "a"), "t_s": np.array([60.0, 0.0, 0.0, 60.0])}
    wide["hr"] = np.array([81.0, 70.0, 80.0, NAN])
    return wide | columns


def test_patients_stand_as_they_appear_and_their_rows_by_time():
    read = recording(table())
    assert read.patients == ("b", "a")
    assert read.offsets.tolist() == [0, 2, 4]
    assert read.time_ns.tolist() == [0, 60 * SECOND_NS, 0, 60 * SECOND_NS]
    assert read.signs[Sign.HR].tolist()[:3] == [80, 81, 70]
    assert read.row.tolist() == [2, 0, 1, 3]
    assert (read.rows, read.readings) == (4, 3)


def test_rows_of_equal_time_keep_the_order_of_the_source():
    read = recording(table(t_s=np.zeros(4)))
    assert read.row.tolist() == [0, 2, 1, 3]


def test_iteration_gives_a_patient_at_a_time():
    read = recording(table(age=np.array([NAN, 50, 70, NAN]), sex=words("m", "F", None, None)))
    first, second = read
    assert (first.patient, first.age, first.sex) == ("b", 70, 1)
    assert (second.patient, second.age, second.sex) == ("a", 50, 0)
    assert read.of("a").readings().value.tolist() == [70]
    with pytest.raises(KeyError, match="nobody"):
        read.of("nobody")


def test_readings_come_by_time_and_then_by_sign_without_what_was_not_measured():
    read = recording(table(spo2=np.array([97.0, NAN, 98.0, 99.0]), device=words("w1", None, "w2", None)))
    told = read.of("b").readings()
    assert told.time_ns.tolist() == [0, 0, 60 * SECOND_NS, 60 * SECOND_NS]
    assert told.sign.tolist() == [Sign.HR, Sign.SPO2, Sign.HR, Sign.SPO2]
    assert told.value.tolist() == [80, 98, 81, 97]
    assert [read.devices[i] for i in told.device] == ["w2", "w2", "w1", "w1"]
    assert read.of("a").readings().device.tolist() == [-1, -1]


def test_a_recording_without_a_single_value_has_no_readings():
    read = recording(table(hr=np.full(4, NAN)))
    assert read.readings == len(read.of("a").readings().value) == 0


def test_impossible_values_stay_for_the_validator_to_refuse():
    read = recording(table(hr=np.array([900.0, -3.0, np.inf, NAN])))
    assert read.readings == 3


def test_values_has_every_sign_in_its_column():
    value = recording(table()).values()
    assert value.shape == (4, len(Sign))
    assert value[:3, Sign.HR].tolist() == [80, 81, 70]
    assert np.isnan(np.delete(value, Sign.HR, axis=1)).all()


def test_consciousness_travels_as_letters_and_oxygen_as_true_and_false():
    read = recording(table(consciousness=words("A", "c", None, "U"), oxygen=words("true", "False", None, "1")))
    assert read.signs[Sign.CONSCIOUSNESS].tolist()[1:] == [0, 1, 4]
    assert read.signs[Sign.OXYGEN].tolist()[1:] == [1, 0, 1]


def test_time_ns_keeps_every_nanosecond():
    exact = np.array([2**60 + 1, 2**60, 2**60 + 3, 2**60 + 2])
    assert sorted(recording(table(time_ns=exact)).time_ns.tolist()) == [2**60, 2**60 + 1, 2**60 + 2, 2**60 + 3]


def test_t_s_is_rounded_to_the_nearest_nanosecond():
    read = recording(table(t_s=np.array([0.1, 0.2, 0.3, 1.1])))
    assert sorted(read.time_ns.tolist()) == [100_000_000, 200_000_000, 300_000_000, 1_100_000_000]


def test_columns_that_mean_nothing_are_named():
    assert recording(table(skin_temp_c=np.zeros(4), wbc=np.zeros(4))).unknown == ("skin_temp_c",)


def test_laboratory_columns_keep_name_and_precision():
    read = recording(table(lactate=np.array([1, 2, 3, NAN], np.float32), wbc=np.array([1, 2, 3, 4])))
    assert read.labs["lactate"].dtype == np.float32
    assert read.of("b").labs["lactate"].tolist() == [3, 1]
    assert read.labs["wbc"].dtype == np.float64


def test_a_float32_stands_for_the_decimal_it_was_written_as():
    written = [38.05, 36.6, 75.33, 120.0, -0.1, 1e-4, 98.75, 35.05]
    assert numbers(np.array(written, np.float32), "temp_c").tolist() == written


def test_a_float32_of_no_short_decimal_keeps_its_value():
    third = np.array([1 / 3, np.inf, NAN], np.float32)
    assert numbers(third, "hr").astype(np.float32).tolist()[:2] == third.tolist()[:2]


BAD = [
    ({"patient": words("a", None, "a", "b")}, "names no patient", 1, "patient"),
    ({"patient": words("a", "x y", "a", "b")}, "'x y' cannot be an id", 1, "patient"),
    ({"patient": np.arange(4)}, "must hold text", None, "patient"),
    ({"device": words("d", "d", "-d", "d")}, "'-d' cannot be an id", 2, "device"),
    ({"t_s": np.array([0, NAN, 1, 2])}, "has no time", 1, "t_s"),
    ({"time_ns": np.array([0.0, 1, 2, 3])}, "whole numbers", None, "time_ns"),
    ({"received_ns": np.array([0.0, 1, 2, 3])}, "whole numbers", None, "received_ns"),
    ({"hr": words(None, "fast", None, None)}, "'fast' is not a number; leave the cell empty", 1, "hr"),
    ({"consciousness": words("A", "A", "X", "A")}, "'X' is not one of A, C, V, P, U", 2, "consciousness"),
    ({"consciousness": np.array([NAN, 1, 2, 3])}, "1 is not one of A", 1, "consciousness"),
    ({"oxygen": words("true", "maybe", None, None)}, "'maybe' is not true or false", 1, "oxygen"),
    ({"oxygen": np.array([0, 1, 0.5, NAN])}, "0.5 is not true or false", 2, "oxygen"),
    ({"sex": words("f", "m", "d", None)}, "'d' is not f or m", 2, "sex"),
]


@pytest.mark.parametrize("columns, what, row, column", BAD)
def test_a_bad_cell_is_a_sentence_with_its_row_and_column(columns, what, row, column):
    with pytest.raises(RecordingError, match=what) as caught:
        recording(table(**columns))
    assert (caught.value.row, caught.value.column) == (row, column)


@pytest.mark.parametrize(
    "gone, what",
    [("patient", "no column `patient`; its columns are t_s, hr"), ("t_s", "`time_ns`"), ("hr", "no column of a sign")],
)
def test_a_table_without_what_it_takes_is_refused(gone, what):
    with pytest.raises(RecordingError, match=what):
        recording({name: column for name, column in table().items() if name != gone})


def test_a_table_without_rows_is_refused():
    with pytest.raises(RecordingError, match="no rows"):
        recording({"patient": words(), "t_s": np.empty(0), "hr": np.empty(0)})


def test_empty_columns_of_any_kind_are_taken_as_not_measured():
    empty = np.full(4, NAN)
    read = recording(table(spo2=words(*[None] * 4), oxygen=empty, consciousness=empty, received_ns=empty))
    assert read.readings == 3
    assert read.received_ns.tolist() == [-1] * 4


def test_the_cadence_is_the_median_interval_of_a_patients_sign():
    t_s = np.array([0, 60, 120, 600, 0, 0, 30, 0])
    patient = words("a", "a", "a", "a", "b", "b", "b", "c")
    hr = np.array([1, 1, 1, 1, 1, 1, 1, 1.0])
    temp = np.array([1, NAN, NAN, 1, 1, NAN, NAN, NAN])
    cadence = recording({"patient": patient, "t_s": t_s, "hr": hr, "temp_c": temp}).cadence_ns()
    assert (cadence[:, Sign.HR] / SECOND_NS).tolist() == [60, 30, -1 / SECOND_NS]
    assert (cadence[:, Sign.TEMP_C] / SECOND_NS).tolist() == [600, -1 / SECOND_NS, -1 / SECOND_NS]
    assert (cadence[:, Sign.SPO2] == -1).all()


def test_a_part_can_be_selected_by_patient_and_by_time():
    read = recording(table(age=np.array([1.0, 2, 3, 4]), wbc=np.arange(4.0), received_ns=np.arange(4)))
    part = read.select(["a", "nobody"])
    assert (part.patients, part.rows, part.age.tolist()) == (("a",), 2, [2])
    early = read.select(to_ns=1)
    assert (early.patients, early.row.tolist(), early.received_ns.tolist()) == (("b", "a"), [2, 1], [2, 1])
    late = read.select(from_ns=1)
    assert late.labs["wbc"].tolist() == [0, 3]
    assert read.select([]).rows == 0


STAYS = {
    "patient_id": np.array([7, 7, 3, 3, 3]),
    "HR": np.array([80, NAN, 90, 91, 92], np.float32),
    "O2Sat": np.array([97, 98, NAN, 95, 94], np.float32),
    "Temp": np.array([NAN, 38.05, NAN, NAN, 36.6], np.float32),
    "WBC": np.array([NAN, 11.5, NAN, NAN, NAN], np.float32),
    "Age": np.array([60.5, 60.5, 40, 40, 40], np.float32),
    "Gender": np.array([1, 1, 0, 0, 0], np.float32),
    "ICULOS": np.array([4, 5, 1, 2, 3]),
    "SepsisLabel": np.array([0, 1, 0, 0, 0]),
}


def test_a_challenge_stay_counts_its_hours_from_its_first_row():
    read = challenge(STAYS)
    assert read.patients == ("7", "3")
    assert (read.time_ns / HOUR_NS).tolist() == [0, 1, 0, 1, 2]
    assert read.age.tolist() == [60.5, 40]
    assert read.sex.tolist() == [1, 0]
    assert read.of("7").signs[Sign.TEMP_C].tolist()[1] == 38.05
    assert read.of("3").signs[Sign.HR].tolist() == [90, 91, 92]
    assert read.of("7").labs["wbc"].tolist()[1] == 11.5


def test_the_challenges_label_never_enters_a_recording():
    read = challenge(STAYS)
    assert read.unknown == ()
    assert set(read.labs) == {"wbc"}


def test_a_challenge_stay_whose_rows_are_scattered_is_put_together():
    order = np.array([0, 2, 1, 3, 4])
    scattered = challenge({name: column[order] for name, column in STAYS.items()})
    assert scattered.of("7").signs[Sign.SPO2].tolist() == [97, 98]


def test_a_challenge_table_without_patients_is_refused():
    with pytest.raises(RecordingError, match="patient_id"):
        challenge({"HR": np.zeros(1)})


def test_laboratory_names_are_those_that_features_ask_for():
    assert set(CHALLENGE_LABS.values()) == {lab.name for lab in LABS}


def channels(**changed):
    given = {
        "patient": "s1",
        "rate_hz": 0.0166666666667,
        "names": ["HR", "ABP Sys", "NBPMean", "RESP", "%SpO2", "II", "Temp"],
        "units": ["bpm", "mmHg", "kPa", "pm", "%", "mV", "deg F"],
        "value": np.array([[80, 120, 12, 14, 97, 0.3, 98.6], [0, 118, NAN, 15, 96, 0.1, 0]]),
    }
    return Channels(**(given | changed))


def test_a_monitors_channels_become_signs_in_their_units():
    read = monitor(channels(age=60.0, sex=0.0))
    assert read.patients == ("s1",)
    assert (read.time_ns / SECOND_NS).tolist() == [0, 60]
    first = {sign: value[0] for sign, value in read.signs.items()}
    assert first[Sign.HR] == 80
    assert first[Sign.SBP] == 120
    assert first[Sign.RESP] == 14
    assert first[Sign.SPO2] == 97
    assert first[Sign.NIBP_MAP] == pytest.approx(90.007, abs=1e-3)
    assert first[Sign.TEMP_C] == pytest.approx(37.0)
    assert read.unknown == ("II (mV)",)
    assert (read.age.tolist(), read.sex.tolist()) == ([60], [0])


def test_a_monitors_zero_is_no_reading_unless_asked_for():
    assert np.isnan(monitor(channels()).signs[Sign.HR][1])
    assert monitor(channels(), zero_is_missing=False).signs[Sign.HR][1] == 0


def test_a_wave_that_only_shares_the_name_of_a_sign_is_left_alone():
    read = monitor(channels(units=["bpm", "mmHg", "kPa", "mV", "%", "mV", "deg F"]))
    assert Sign.RESP not in read.signs
    assert read.unknown == ("RESP (mV)", "II (mV)")


def test_of_two_channels_of_one_sign_the_second_is_left_alone():
    read = monitor(channels(names=["HR", "HR", "a", "b", "c", "d", "e"], units=["bpm"] * 7))
    assert read.signs[Sign.HR][0] == 80
    assert read.unknown[0] == "HR (bpm)"


def test_samples_of_a_fast_monitor_are_spaced_to_the_nanosecond():
    value = np.ones((4, 7))
    assert monitor(channels(rate_hz=125.0, value=value)).time_ns.tolist() == [0, 8_000_000, 16_000_000, 24_000_000]
    assert monitor(channels(rate_hz=0.9765625, value=value)).time_ns[1] == 1_024_000_000
    assert monitor(channels(rate_hz=360.0, value=value)).time_ns[3] == 8_333_333


def test_a_monitor_without_a_sign_is_refused():
    with pytest.raises(RecordingError, match=r"none of its channels is a sign .*: HR \(furlong\)"):
        monitor(channels(names=["HR"], units=["furlong"], value=np.zeros((1, 1))))


def test_recordings_join_by_patient_and_keep_what_only_one_of_them_knows():
    one = recording(table(age=np.array([1.0, NAN, 1, NAN]), device=words("w", "w", "v", "v")), "one")
    other = recording(
        {"patient": words("c", "a"), "t_s": np.array([0.0, 30.0]), "spo2": np.array([97.0, 96.0]), "x": np.zeros(2)}
        | {"sex": words(None, "f"), "received_ns": np.array([5, 6])},
        "other",
    )
    both = join([one, other])
    assert both.patients == ("b", "a", "c")
    assert (both.rows, both.readings) == (6, 5)
    assert (both.of("a").time_ns / SECOND_NS).tolist() == [0, 30, 60]
    assert both.of("a").sex == 0
    assert both.of("b").age == 1
    assert both.of("a").received_ns.tolist() == [-1, 6, -1]
    assert [both.devices[i] if i >= 0 else "" for i in both.of("a").device] == ["w", "", "v"]
    assert (both.unknown, both.source) == (("x",), "one, other")


def test_single_readings_become_rows_by_patient_instant_and_device():
    read = from_readings(
        patients=["a", "b", "nobody"],
        devices=["w", "v"],
        patient=np.array([1, 0, 0, 0, 0]),
        device=np.array([0, 0, 0, 1, 0]),
        sign=np.array([Sign.HR, Sign.SPO2, Sign.HR, Sign.HR, Sign.HR]),
        time_ns=np.array([5, 7, 7, 7, 7]),
        value=np.array([70.0, 97, 80, 81, 99]),
        received_ns=np.array([-1, 20, 10, 30, 40]),
    )
    assert read.patients == ("a", "b")
    assert read.of("a").signs[Sign.HR].tolist() == [80, 81]  # the 99 came second for the same place
    assert read.of("a").device.tolist() == [0, 1]
    assert read.of("a").received_ns.tolist() == [10, 30]
    assert read.of("b").received_ns.tolist() == [-1]
