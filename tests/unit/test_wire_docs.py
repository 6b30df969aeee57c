"""The contract for device makers says what the code does: its tables, its limits and its example."""

import json
import re
from pathlib import Path

import pytest

from vitals import topics, wire
from vitals.faults import EXPLAINED, Fault
from vitals.log import Binding
from vitals.signs import SIGNS, UNITS, Sign
from vitals.validate import DEFAULTS, Bindings, Checked, check, receive
from vitals.wire import Incoming

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "wire-format.md").read_text(encoding="utf-8")
CLINICAL = (ROOT / "docs" / "clinical.md").read_text(encoding="utf-8")
LETTERS = {Sign.CONSCIOUSNESS: "a letter: A C V P U", Sign.OXYGEN: "true or false"}


def section(name):
    """What stands between the marks of a table; the test says what ought to."""
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", TEXT, re.DOTALL)
    assert found is not None, f"docs/wire-format.md has lost its table of {name}"
    return found.group(1)


def span(ends):
    return f"{ends[0]:g} to {ends[1]:g}"


def test_the_table_of_signs_is_the_one_of_the_code():
    rows = [
        "| sign | what | value | unit | also taken | refused outside | doubtful outside |",
        "|---|---|---|---|---|---|---|",
    ]
    for sign, row in SIGNS.items():
        others = ", ".join(f"`{unit}`" for unit in UNITS[sign] if unit != row.unit) or "-"
        special = LETTERS.get(sign)
        ranges = "- | -" if special else f"{span(row.possible)} | {span(row.plausible)}"
        rows.append(f"| `{sign.column}` | {row.label} | {special or 'a number'} | `{row.unit}` | {others} | {ranges} |")
    assert section("signs") == "\n".join(rows)


def test_the_table_of_faults_is_the_one_of_the_code():
    rows = ["| fault | what it says |", "|---|---|"]
    rows += [f"| `{fault.value}` | {EXPLAINED[fault]} |" for fault in Fault]
    assert section("faults") == "\n".join(rows)


def test_the_table_of_fields_names_all_fields_in_their_order():
    named = re.findall(r"^\| `(\w+)` \|", section("header"), re.MULTILINE)
    assert named == [*wire.Header.__struct_fields__, "readings"]
    named = re.findall(r"^\| `(\w+)` \|", section("reading"), re.MULTILINE)
    assert named == list(wire.SentReading.__struct_fields__)


def test_the_example_is_the_same_bundle_in_both_encodings_and_is_accepted():
    text = re.search(r"```json\n(.*?)```", TEXT, re.DOTALL).group(1).strip().encode()
    packed = bytes.fromhex(re.search(r"```hex\n(.*?)```", TEXT, re.DOTALL).group(1))
    one, other = wire.decode(text), wire.decode(packed)
    assert isinstance(one, Incoming)
    assert isinstance(other, Incoming)
    assert (one.header, one.readings) == (other.header, other.readings)
    bindings = Bindings()
    assert check(one, one.header.device, one.header.sent_ns, bindings).fault is Fault.UNBOUND
    bindings.apply(Binding(device=one.header.device, patient="p-1", from_ns=0))
    checked = check(one, one.header.device, one.header.sent_ns, bindings)
    assert isinstance(checked, Checked)
    assert checked.refused == []
    assert json.loads(text)["v"] == wire.VERSION


def test_the_senml_example_is_taken():
    text = re.search(r"```senml\n(.*?)```", TEXT, re.DOTALL).group(1).strip().encode()
    bindings = Bindings()
    bindings.apply(Binding(device="dev-17", patient="p-1", from_ns=0))
    checked = receive(text, "dev-17", 1767268802000000000, bindings)
    assert isinstance(checked, Checked)
    assert (checked.accepted.value, checked.refused) == ([72.0, 97.0], [])


@pytest.mark.parametrize(
    "said",
    [
        f"{wire.MAX_BYTES:,} bytes",
        f"{wire.MAX_READINGS} readings",
        f"{DEFAULTS.future_tolerance_ns // 10**9} seconds",
        topics.bundle_topic("<device>"),
        topics.DEVICE_ID.pattern,
    ],
)
def test_the_limits_are_the_ones_of_the_code(said):
    assert said in TEXT


def test_the_codes_and_the_plausible_units_of_the_table_of_signs_stand_in_the_clinical_facts():
    for row in SIGNS.values():
        if row.loinc:
            assert row.loinc in CLINICAL, row.label
        if row.mdc:
            assert str(row.mdc) in CLINICAL, row.label


def test_every_clinical_section_that_the_code_names_is_there():
    headings = set(re.findall(r"^#+ \[CLIN ([0-9.]+)\]", CLINICAL, re.MULTILINE))
    for path in sorted((ROOT / "vitals").glob("*.py")):
        for named in re.findall(r"\[CLIN ([0-9.]+)\]", path.read_text(encoding="utf-8")):
            assert named in headings, f"{path.name} names [CLIN {named}]"
