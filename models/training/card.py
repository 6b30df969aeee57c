"""The model card of a sepsis artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.artifact import Manifest

_TEXT = """# {name} {version}

**Research software, not a medical device.** It has not been tried on patients in care, and nobody may treat, or leave
untreated, by it.

## What it is

{members} small recurrent networks ({parameters:,} numbers together), one step an hour, whose log-odds are averaged and
calibrated. Score: the share of hours with such log-odds, among validation patients, that were labelled septic (from
six hours before the onset by Sepsis-3 on). Threshold {threshold:.4f}, from a budget of {budget:g} alerts a
patient-day.

Inputs: {inputs}. Age and sex where known. Never: hour of stay, time of day, unit, time of admission, count of
measurements. Staleness is capped; sensors were dropped at random in training.

## What for, what not for

For research on early warning from vital signs, and as an example of a learned detector in a stream of vital signs. Not
for diagnosis; not for children (adults of 14 to 100 years in the data); not for a ward or a home without a local
evaluation: the data are of intensive care, charted by nurses about once an hour, and home wearables differ in
patients, sensors and noise.

## Data and licence

PhysioNet/CinC Challenge 2019 (Reyna et al., Crit Care Med 48(2):210-217, 2020; doi:10.13026/v64v-d857; Goldberger et
al. 2000), two hospitals, patients split by hash 70/10/20. Open Data Commons Open Database License 1.0: these weights
are a produced work of that database. Confirm the licence on PhysioNet before publishing.

## When it abstains

*Not assessable* in the first {warm_up_text}, when fewer than {fresh_groups} of the five vital groups (heart rate,
oxygen saturation, temperature, blood pressure, respiration) were measured within {fresh_h} h, or when the scaled
features lie further from the training patients' than 99.9 % of validation hours (mean square above {unlike:.2f}).

{numbers}"""

_NO_NUMBERS = """## Numbers

Not evaluated yet. `teleward evaluate` writes a report; on validation patients: hm {hm} (the epoch was chosen there, so
this flatters).
"""


def card_of(manifest: Manifest, numbers: str | None = None) -> str:
    """The card's text.

    Args:
        manifest: Of the artifact.
        numbers: The sections on results, Markdown; a note that there are none yet when absent.
    """
    head, trained = manifest.head, manifest.trained
    validation = trained.get("validation", {})
    return _TEXT.format(
        name=manifest.name, version=manifest.version, members=len(validation.get("members", [])) or 1,
        parameters=validation.get("parameters", 0), threshold=head["threshold"], budget=head["alerts_per_day"],
        inputs=", ".join(f"{name} ({unit})" for name, unit in manifest.inputs.items()),
        warm_up_text=f"{head['warm_up'] - 1} h" if head["warm_up"] != 2 else "hour", fresh_groups=head["fresh_groups"],
        fresh_h=head["fresh_h"], unlike=head["unlike_limit"],
        numbers=numbers or _NO_NUMBERS.format(hm=validation.get("ensemble", {}).get("hm", "unknown")),
    )  # fmt: skip
