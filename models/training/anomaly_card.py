"""The model card of an anomaly artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.anomaly_model import AnomalyHead

_TEXT = """# {name}

**Research software, not a medical device.** It has not been tried on patients in care, and nobody may treat, or leave
untreated, by it.

## What it is

One step {each}: `vitals.artefacts` names artefacts and takes them out; a GRU that stands three rows back forecasts
every sign that is there with heavy-tailed (Student) residuals, once from the past alone and once more given what the
other signs show now; small scorers weigh its surprise together with plain evidence (`models.anomaly_evidence`). Five
parts speak: spike, shift, stuck and flat about one sign, drift about all. Each has its own share of the alert budget:
{shares}. Score 1 / (1 + r / 0.5), r being alerts a patient-day as rare as this row: one threshold is one budget;
{threshold:g} is about one alert in two patient-days.

Inputs: heart rate, pulse, SpO2, respiration, temperature, systolic, diastolic and mean arterial pressure; any subset.
Warm-up {warm_up} rows: no score before. Until a patient's own habits are known the population's stand in. Baselines
of the drift reach back six hours and leave out the newest: it does not adapt to a slow decline within that time.

## What for, what not for

For research on deviations from a patient's own course, and as an example of a learned detector in a stream of vital
signs. Not for diagnosis, not for children. The data are of intensive care, with arterial lines; a home has other
patients, sensors and noise.

## Data and licence

{data}. {patients} patients, split by hash; events were injected into {stretches} real stretches (sizes and lengths
around those of the evaluation), the untouched stretches are the counter-examples. That these hold real events of
illness too is part of what limits the recall.

## How good

{numbers}

## Known failures

* A saturation or a respiratory rate that is as good as constant by nature (ventilated, 100 %) hides a stuck or flat
  sensor.
* Events of one sign are easy where its companions are measured (mean pressure beside systolic and diastolic). A body
  moves all three together; recall for that is given apart where it was measured.
* The alert rate does not travel: watch the realised rate and set the threshold on local data.
* Temperature by the minute was in none of the data.
"""

_DATA = {
    "mimic2_challenge2009": (
        "PhysioNet/CinC Challenge 2009, MIMIC-II numerics (Moody & Lehman, Computers in Cardiology 2009;36:541-544; "
        "Saeed et al., Crit Care Med 2011;39:952-960; Goldberger et al. 2000), open access at PhysioNet; treat as Open "
        "Data Commons Attribution 1.0 and confirm there before publishing"
    ),
    "physionet2019": (
        "PhysioNet/CinC Challenge 2019 (Reyna et al., Crit Care Med 48(2):210-217, 2020; doi:10.13026/v64v-d857; "
        "Goldberger et al. 2000), of which two licences are named: Open Data Commons Open Database License 1.0 in the "
        "notice beside the copy used here, Creative Commons Attribution 4.0 on PhysioNet's public page. Both ask for "
        "this attribution; under the first these weights are a produced work of that database; confirm on PhysioNet "
        "before publishing"
    ),
}


def card_of(name: str, head: AnomalyHead, trained: dict[str, Any], numbers: str = "") -> str:
    """The card of an artifact.

    Args:
        name: Of the artifact.
        head: Its rate tables.
        trained: What the manifest says about training.
        numbers: Measured results, Markdown; a pointer to the documentation when empty.
    """
    shares = ", ".join(f"{p} {s:.0%}" for p, s in zip(head.parts, head.shares, strict=True))
    return _TEXT.format(
        name=name, each="an hour" if name.endswith("hourly") else "a minute", shares=shares, threshold=head.threshold,
        warm_up=head.warm_up, data=_DATA[trained["data"]], patients=trained["patients"],
        stretches=trained["stretches"], numbers=numbers or "See docs/models.md, section Anomaly.",
    )  # fmt: skip
