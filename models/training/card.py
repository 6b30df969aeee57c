"""The model card of a sepsis artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
for diagnosis; not for children (the data hold ages from 14 to 100); not for a ward or a home without a local
evaluation: the data are of intensive care, charted by nurses about once an hour, and home wearables differ in
patients, sensors and noise.

## Data and licence

PhysioNet/CinC Challenge 2019 (Reyna et al., Crit Care Med 48(2):210-217, 2020; doi:10.13026/v64v-d857; Goldberger et
al. 2000), two hospitals, patients split by hash 70/10/20. Two licences are named for it: the notice beside the copy
used here asks to treat it as Open Data Commons Open Database License 1.0, PhysioNet's public page has said Creative
Commons Attribution 4.0. Both ask for the attribution above. Under the first these weights are a produced work, to go
out with the notice that they were made from that database, and a database derived from it would have to be shared
alike. Which one holds was not settled here: confirm it on PhysioNet before publishing.

## When it abstains

*Not assessable* in the first {warm_up_text}, when fewer than {fresh_groups} of the five vital groups (heart rate,
oxygen saturation, temperature, blood pressure, respiration) were measured within {fresh_h} h, or when the scaled
features lie further from the training patients' than 99.9 % of validation hours (mean square above {unlike:.2f}).

{numbers}"""

FAILURES = """## Where it fails

- Most alerts are false: read the precision above before showing one to anybody.
- About half of the patients with sepsis get no alert in time at 0.3 alerts a patient-day. The label itself rests on
  orders of antibiotics and cultures: a nurse or doctor often knew before.
- In a hospital it was not fitted on, it ranks little better than NEWS2: fitted on one of the two hospitals with vital
  signs, the same networks reached an hour-matched AUROC of 0.65 in the other (NEWS2 0.64). Alert rate and calibration
  shift as well. Evaluate and set the threshold on local patients, and watch the realised rate.
- The first hours of a stay rest on few measurements; one artefact weighs much there.
- On vital signs it ranks worst within the first twelve hours and after the third day.
- It ranks women's hours and those of patients over 65 less well than men's and younger patients' (see the groups).
- Treatment is invisible to it: vasopressors, ventilation and fever control change the very signs it reads.
"""

_NO_NUMBERS = """## Numbers

Not evaluated yet. `teleward evaluate` writes a report; on validation patients: hm {hm} (the epoch was chosen there, so
this flatters).
"""


def numbers_of(report: Mapping[str, Any]) -> str:
    """The results of an evaluation as Markdown: what a card or a page of the documents shows.

    Args:
        report: As `evaluate_stays` returns it.
    """
    budget = report["at_equal_alerts"]["0.3"]
    rows = [
        [name, *(_with(s[k]) for k in ("hm", "auroc", "auprc")), _one(report["utility"].get(name)),
         _with(budget[name]["precision"]), _with(budget[name]["sensitivity"])]
        for name, s in report["scores"].items()
    ]  # fmt: skip
    head = ["score", "hm", "AUROC", "AUPRC", "utility", "precision at 0.3", "sensitivity at 0.3"]
    groups = [
        [name, str(g["patients"]), str(g["septic"]), _with(g["hm"]), _with(g["auroc"]), f"{g['ece']:.4f}",
         f"{g['alerts']['per_day']:.2f}", f"{g['alerts']['sensitivity']:.2f}"]
        for name, g in report["subgroups"].items()
    ]  # fmt: skip
    group_head = ["group", "patients", "septic", "hm", "AUROC", "ECE", "alerts a day", "sensitivity"]
    own, silent, ratio = report["at_threshold"]["alerts"], report["not_assessable"], report["versus_news2"]
    return f"""{report["patients"]} patients ({report["septic"]} with sepsis, {report["hours"]} hours), split
{report["split"]}, hospital {report["hospital"]}; 95 % intervals from {report["bootstraps"]} resamples of patients.
*hm*: hour-matched AUROC. Precision and sensitivity of alerts at a rate of 0.3 a patient-day, set on these patients for
every score (refractory time 6 h; an alert is true from 12 h before to 3 h after the onset).

{_table(head, rows)}
Against NEWS2 at that rate: precision x{_with(ratio["precision"], 2)}, sensitivity x{_with(ratio["sensitivity"], 2)}.
At the artifact's own threshold: {own["per_day"][0]:.2f} alerts a patient-day, precision {_with(own["precision"])},
sensitivity {_with(own["sensitivity"])}, before the onset {_with(own["before_onset"])}, median lead
{own["lead_h"][0]:.1f} h. Expected calibration error {report["ece"]:.4f}. Utility: threshold chosen on
{report["utility"]["threshold_chosen_on"]} patients.

Not assessable: {100 * silent["share_of_hours"]:.1f} % of hours and
{100 * silent["share_of_septic_window"]:.1f} % of the hours from 12 h before to 3 h after an onset;
hm of the assessable hours {_one(silent["hm_assessable"])}, of the others {_one(silent["hm_not_assessable"])}.

{_table(group_head, groups)}"""


def _one(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _with(value: Sequence[float | None], digits: int = 3) -> str:
    if any(v is None for v in value):
        return _one(value[0])
    return f"{value[0]:.{digits}f} ({value[1]:.{digits}f}–{value[2]:.{digits}f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


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
        warm_up_text=f"{head['warm_up']} h" if head["warm_up"] != 1 else "hour", fresh_groups=head["fresh_groups"],
        fresh_h=head["fresh_h"], unlike=head["unlike_limit"],
        numbers=numbers or _NO_NUMBERS.format(hm=validation.get("ensemble", {}).get("hm", "unknown")),
    )  # fmt: skip
