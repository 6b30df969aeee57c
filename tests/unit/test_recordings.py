"""Recordings on disk: every format, there and back, and a sentence for every way to be bad."""

import logging
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transport.recordings import open_recording, write_recording
from vitals.recording import RecordingError
from vitals.signs import HOUR_NS, SECOND_NS, Sign

CSV = """patient,t_s,hr,temp_c,consciousness,oxygen,sex,age
b,60,81,38.05,A,true,m,70
b,0,80,,,,m,70
a,0,NaN,36.6,V,false,f,
"""
PSV = "HR|O2Sat|Temp|WBC|Age|Gender|ICULOS|SepsisLabel\n"


@pytest.fixture
def file(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def same(one, other):
    """Everything but where it came from."""
    assert one.patients == other.patients
    np.testing.assert_array_equal(one.time_ns, other.time_ns)
    assert set(one.signs) == set(other.signs)
    for sign, value in one.signs.items():
        np.testing.assert_array_equal(value, other.signs[sign])
    for name, value in one.labs.items():
        np.testing.assert_array_equal(value, other.labs[name])
    np.testing.assert_array_equal(one.age, other.age)
    np.testing.assert_array_equal(one.sex, other.sex)
    assert [one.devices[i] if i >= 0 else "" for i in one.device] == [
        other.devices[i] if i >= 0 else "" for i in other.device
    ]
    assert (one.received_ns is None) == (other.received_ns is None)
    np.testing.assert_array_equal(one.received_ns, other.received_ns)


def test_a_csv_is_read_with_its_decimals_as_written(file):
    read = open_recording(file("ward.csv", CSV))
    assert read.patients == ("b", "a")
    assert (read.time_ns / SECOND_NS).tolist() == [0, 60, 0]
    assert read.of("b").signs[Sign.TEMP_C][1] == 38.05
    assert np.isnan(read.of("a").signs[Sign.HR]).all()
    assert read.of("a").signs[Sign.CONSCIOUSNESS].tolist() == [2]
    assert read.of("b").signs[Sign.OXYGEN].tolist()[1] == 1
    assert read.sex.tolist() == [1, 0]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_what_is_written_is_read_again(file, tmp_path, suffix):
    text = "patient,time_ns,hr,spo2,consciousness,oxygen,device,age,sex,lactate,received_ns\n"
    text += "b,1700000000123456789,81.5,97,C,false,w-1,70.5,m,1.25,1700000000223456789\n"
    text += "b,1700000000123456790,,96.1,,,,,,,\n"
    text += "a,5,0.1,,U,true,w-2,,,,7\n"
    first = open_recording(file("first.csv", text))
    write_recording(tmp_path / f"again{suffix}", first)
    same(first, open_recording(tmp_path / f"again{suffix}"))
    assert first.time_ns[1] == 1700000000123456790
    assert not list(tmp_path.glob("*.part"))


def test_a_recording_is_written_only_as_what_can_be_read(file, tmp_path):
    with pytest.raises(RecordingError, match="name the file so"):
        write_recording(tmp_path / "ward.xls", open_recording(file("ward.csv", CSV)))


def test_unknown_columns_are_named_in_one_warning_and_left_alone(file, caplog):
    with caplog.at_level(logging.WARNING):
        read = open_recording(file("band.csv", "patient,t_s,hr,skin_temp_c,mood\na,0,60,33.1,good\n"))
    assert read.unknown == ("skin_temp_c", "mood")
    assert [record.getMessage() for record in caplog.records] == [
        "band.csv: left alone, as no sign is called so: skin_temp_c, mood"
    ]


def test_a_byte_order_mark_and_spaces_around_names_do_no_harm(file):
    assert open_recording(file("w.csv", "\ufeffpatient, t_s, hr\na,0,60\n")).readings == 1


BAD_CSV = [
    ("", r"it is empty; a recording has a line of column names"),
    ("patient,t_s,hr\n", r"it has a header and no rows"),
    ("t_s,hr\n0,60\n", r"no column `patient`; its columns are t_s, hr"),
    ("patient,hr\na,60\n", r"neither a column `time_ns` \(UTC\) nor `t_s`"),
    ("patient,t_s,pulsrate\na,0,60\n", r"no column of a sign; the signs are hr, pulse"),
    ("patient,t_s,hr\na,0,60\n\na,60,fast\n", r"line 4, column hr: 'fast' is not a number; leave the cell empty"),
    ("patient,t_s,hr\na,0,60\na,60\n", r"line 3: it has 2 cells, the header 3; mend the line"),
    ("patient,t_s,hr,hr\na,0,60,61\n", r"line 1: two columns are called 'hr'"),
    ("patient,t_s,hr\na,0,60\n\n,60,70\n", r"line 4, column patient: the row names no patient"),
    ("patient,t_s,hr\na,,60\n", r"line 2, column t_s: the row has no time"),
    ("patient,time_ns,hr\na,,60\n", r"line 2, column time_ns: the row has no time"),
    ("patient,time_ns,hr\na,1.5,60\n", r"line 2, column time_ns: '1.5' is not a whole number"),
    ("patient,t_s,consciousness\na,0,A\na,1,awake\n", r"line 3, column consciousness: 'awake' is not one of A, C"),
    ("patient,t_s,hr\nMr Smith,0,60\n", r"line 2, column patient: 'Mr Smith' cannot be an id"),
    ("patient;t_s;hr\na;0;60\n", r"no column `patient`; its columns are patient;t_s;hr"),
]


@pytest.mark.parametrize("text, sentence", BAD_CSV)
def test_a_bad_csv_is_a_sentence_with_file_and_line(file, text, sentence):
    path = file("ward.csv", text)
    with pytest.raises(RecordingError, match=sentence) as caught:
        open_recording(path)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).count(str(path)) == 1


def test_bytes_that_are_no_text_are_a_sentence(tmp_path):
    (tmp_path / "ward.csv").write_bytes(b"patient,t_s,hr\n\xff\xfe,0,60\n")
    with pytest.raises(RecordingError, match="not UTF-8 text"):
        open_recording(tmp_path / "ward.csv")
    (tmp_path / "head.csv").write_bytes(b"\xff\xfepatient,t_s,hr\n")
    with pytest.raises(RecordingError, match="line 1: not text that can be read"):
        open_recording(tmp_path / "head.csv")


def parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_a_parquet_may_hold_its_columns_in_any_sensible_type(tmp_path):
    path = parquet(
        tmp_path / "ward.parquet",
        patient=pa.array(["b", "a", "b"]).dictionary_encode(),
        time_ns=pa.array([2, 1, 1], pa.timestamp("ns")),
        hr=pa.array([80, None, 82], pa.int16()),
        spo2=pa.array([97.5, float("nan"), 95.5], pa.float32()),
        temp_c=pa.nulls(3),
        oxygen=pa.array([True, None, False]),
        consciousness=pa.array(["A", "", None]),
        received_ns=pa.array([5, None, 6], pa.int64()),
    )
    read = open_recording(path)
    assert read.patients == ("b", "a")
    assert read.of("b").signs[Sign.HR].tolist() == [82, 80]
    assert read.of("b").signs[Sign.OXYGEN].tolist() == [0, 1]
    assert read.of("b").received_ns.tolist() == [6, 5]
    assert read.of("a").received_ns.tolist() == [-1]
    assert len(read.of("a").readings().value) == 0
    assert read.readings == 7


def test_patients_numbered_in_a_parquet_are_named_by_their_numbers(tmp_path):
    path = parquet(tmp_path / "ward.parquet", patient=[12, 12], t_s=[0, 1], hr=[60.0, 61.0])
    assert open_recording(path).patients == ("12",)


BAD_PARQUET = [
    ({"patient": ["a", None], "t_s": [0, 1], "hr": [1.0, 2.0]}, "row 2, column patient: the row names no patient"),
    ({"patient": ["a", "a"], "time_ns": [0, None], "hr": [1.0, 2.0]}, "row 2, column time_ns: the row has no time"),
    ({"patient": ["a", "a"], "t_s": [0, 1], "hr": [[1.0], [2.0]]}, "column hr: it holds list"),
    ({"patient": ["a", "a"], "t_s": [0, 1], "hr": ["80", "x"]}, "row 1, column hr: '80' is not a number"),
]


@pytest.mark.parametrize("columns, sentence", BAD_PARQUET)
def test_a_bad_parquet_is_a_sentence_with_file_and_row(tmp_path, columns, sentence):
    path = parquet(tmp_path / "ward.parquet", **columns)
    with pytest.raises(RecordingError, match=sentence) as caught:
        open_recording(path)
    assert str(caught.value).startswith(str(path))


def test_a_file_that_only_calls_itself_parquet_is_a_sentence(file):
    with pytest.raises(RecordingError, match="not a Parquet file"):
        open_recording(file("ward.parquet", "patient,t_s,hr\n"))


@pytest.mark.parametrize("name, sentence", [("gone.csv", "no such file"), ("ward.xlsx", "no such file")])
def test_a_path_that_is_not_there_is_a_sentence(tmp_path, name, sentence):
    with pytest.raises(RecordingError, match=sentence):
        open_recording(tmp_path / name)


def test_a_kind_of_file_that_nobody_knows_is_a_sentence(file):
    with pytest.raises(RecordingError, match=r"known are \.parquet, \.csv, \.psv"):
        open_recording(file("ward.xlsx", "x"))


def test_an_empty_folder_is_a_sentence(tmp_path):
    with pytest.raises(RecordingError, match="no recording in this folder"):
        open_recording(tmp_path)


def test_a_folder_of_patient_files_is_one_recording(file, tmp_path):
    file("p000001.psv", PSV + "80|97|NaN|NaN|60.5|1|3|0\n81|96|38.05|11.5|60.5|1|4|1\n")
    file("p000002.psv", PSV + "NaN|95|NaN|NaN|40|0|1|0")
    read = open_recording(tmp_path)
    assert read.patients == ("p000001", "p000002")
    assert (read.time_ns / HOUR_NS).tolist() == [0, 1, 0]
    assert read.of("p000001").signs[Sign.TEMP_C][1] == 38.05
    assert read.of("p000001").labs["wbc"][1] == 11.5
    assert (read.age.tolist(), read.sex.tolist(), read.unknown) == ([60.5, 40], [1, 0], ())
    assert open_recording(tmp_path / "p000002.psv").patients == ("p000002",)
    assert open_recording(tmp_path, labs=False).labs == {}


def test_a_bad_patient_file_among_many_is_named_with_its_line(file, tmp_path):
    file("p1.psv", PSV + "80|97|NaN|NaN|60|1|3|0\n")
    file("p2.psv", PSV + "80|97|NaN|NaN|60|1|3|0\n80|low|NaN|NaN|60|1|3|0\n")
    with pytest.raises(RecordingError, match=r"p2\.psv, line 3, column O2Sat: 'low' is not a number"):
        open_recording(tmp_path)
    file("p2.psv", PSV + "80|97\n")
    with pytest.raises(RecordingError, match=r"p2\.psv, line 2: it has 2 cells, the header 8"):
        open_recording(tmp_path)
    file("p2.psv", "HR|O2Sat\n80|97\n")
    with pytest.raises(RecordingError, match=r"p2\.psv, line 1: its columns are not those"):
        open_recording(tmp_path)


def test_a_folder_of_csv_files_is_joined(file, tmp_path):
    file("one.csv", "patient,t_s,hr\na,0,60\n")
    file("two.csv", "patient,t_s,spo2\na,60,97\nb,0,95\n")
    read = open_recording(tmp_path)
    assert (read.patients, read.rows, read.readings) == (("a", "b"), 3, 3)


def wfdb_record(folder, names=("HR", "RESP", "SpO2", "ABPSys", "II")):
    """A record of numerics as the MIMIC databases have them, written by hand: tenths as 16-bit numbers."""
    pytest.importorskip("wfdb")
    units = ("bpm", "pm", "%", "mmHg", "mV")
    samples = np.array([[800, 145, 970, 1200, 1], [810, -32768, 0, 1190, 2]], "<i2")  # -32768: no sample
    lines = [f"s00001n {len(names)} 0.0166666666667/125 2 1:56:25.894 09/10/2896"]
    lines += [f"s00001n.dat 16 10/{unit} 16 0 0 0 0 {name}" for name, unit in zip(names, units, strict=True)]
    (folder / "s00001n.hea").write_text("\n".join([*lines, "# <age>: 60 <sex>: F"]) + "\n")
    (folder / "s00001n.dat").write_bytes(samples.tobytes())
    return folder / "s00001n"


def test_a_wfdb_record_is_read_by_name_by_header_and_by_folder(tmp_path, caplog):
    record = wfdb_record(tmp_path)
    read = open_recording(record)
    assert read.patients == ("s00001n",)
    assert (read.time_ns / SECOND_NS).tolist() == [0, 60]
    assert read.signs[Sign.RESP][0] == 14.5
    assert read.signs[Sign.SBP].tolist() == [120, 119]
    assert np.isnan(read.signs[Sign.SPO2][1])
    assert (read.age.tolist(), read.sex.tolist(), read.unknown) == ([60], [0], ("II (mV)",))
    assert "1 zeros taken as not measured" in caplog.text
    same(read, open_recording(record.with_suffix(".hea")))
    same(read, open_recording(tmp_path))
    assert open_recording(record, zero_is_missing=False).signs[Sign.SPO2][1] == 0


def test_a_broken_wfdb_record_is_a_sentence(tmp_path):
    record = wfdb_record(tmp_path)
    record.with_suffix(".dat").unlink()
    with pytest.raises(RecordingError, match="are all its files there"):
        open_recording(record)


def test_a_wfdb_record_without_a_sign_is_a_sentence(tmp_path):
    record = wfdb_record(tmp_path, names=("a", "b", "c", "d", "e"))
    with pytest.raises(RecordingError, match="none of its channels is a sign") as caught:
        open_recording(record)
    assert str(caught.value).startswith(str(record))


def test_without_the_wfdb_package_the_sentence_says_what_to_install(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "wfdb", None)
    with pytest.raises(RecordingError, match=r"pip install 'teleward\[wfdb\]'"):
        open_recording(file("s.hea", "s 1 1 1\n"))


@pytest.mark.data
def test_the_challenges_stays_are_read_whole(data_dir):
    read = open_recording(data_dir / "physionet2019", labs=False)
    column = pq.read_table(data_dir / "physionet2019" / "dev.parquet", columns=["patient_id", "HR", "Temp"])
    assert read.rows == len(column)
    assert read.patients[:2] == ("1", "2")
    for name, sign in (("HR", Sign.HR), ("Temp", Sign.TEMP_C)):
        np.testing.assert_array_equal(read.signs[sign].astype(np.float32), column[name].to_numpy())
    # Written with two decimals, kept in a float32: read as the two decimals again.
    temp = read.signs[Sign.TEMP_C][~np.isnan(read.signs[Sign.TEMP_C])]
    assert np.mean(temp == np.round(temp, 2)) > 0.99
    assert set(read.cadence_ns()[:, Sign.HR].tolist()) <= {-1, *(h * HOUR_NS for h in range(1, 400))}


@pytest.mark.data
@pytest.mark.parametrize("name, patients, period_s", [("mimic2_challenge2009", 46, 60), ("mimic2_numerics", 2, 60)])
def test_the_minute_by_minute_stays_are_recordings(data_dir, name, patients, period_s):
    (file,) = (data_dir / name).glob("dev.*")
    read = open_recording(file)
    assert len(read.patients) == patients
    assert (read.cadence_ns()[:, Sign.HR] == period_s * SECOND_NS).all()


@pytest.mark.data
def test_the_wrist_bands_skin_temperature_is_no_body_temperature(data_dir):
    read = open_recording(data_dir / "wearable_exam_stress" / "dev.parquet")
    assert read.unknown == ("skin_temp_c",)
    assert set(read.signs) == {Sign.HR}
    assert (read.cadence_ns()[:, Sign.HR] == SECOND_NS).all()
