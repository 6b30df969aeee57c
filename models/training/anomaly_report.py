"""Evaluates an anomaly artifact on patients it was not fitted on, beside the controls; numbers and one page.

The served artifact itself is stepped, as a ward would, over every stretch; nothing here knows its insides.
"""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from models.anomaly_grid import HOURS
from models.anomaly_model import AnomalyModel
from models.artifact import ArtifactMismatchError, load
from models.training import anomaly_controls as controls
from models.training.anomaly_bench import (
    BUDGETS,
    Bench,
    Rows,
    alerts,
    build,
    hits,
    recall_table,
    stretches_of,
    threshold_for,
)  # fmt: skip
from models.training.anomaly_data import hourly_stays, hourly_test, is_test, minute_stays, wrist_bands
from models.training.injections import HOURLY, KINDS, MINUTE, Plan, Sizes, sizes_of
from vitals.signs import Sign

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Floats = npt.NDArray[np.float32]
Table = dict[str, dict[str, list[float]]]

HOUR_STRETCH: Final = 36
HOUR_SEEN: Final = 0.6
OFF_WRIST_C: Final = 25.0
"""A wrist cooler than this wears no band (NOTICE of wearable_exam_stress)."""


def serve(model: AnomalyModel, x: Floats) -> Floats:
    """Scores of stretches as a ward gives them: shape (n, rows), NaN where not assessable."""
    state = model.start(len(x))
    out = np.full(x.shape[:2], np.nan, np.float32)
    for t in range(x.shape[1]):
        row, state = model.step(x[:, t], np.isfinite(x[:, t]), state)
        out[:, t] = np.where(row.assessable, row.score, np.nan)
    return out


def minute_bench(data: Path, *, seeds: int, most: int, plan: Plan = MINUTE) -> tuple[Bench, Floats, Sizes]:
    """The bench of test patients by the minute, the stretches of the others, and the sizes measured on those."""
    stays = minute_stays(data)
    fit = np.stack([s for p, x in stays.items() if not is_test(p) for s in stretches_of(x, most=most)])
    sizes = sizes_of(fit)
    return build({p: x for p, x in stays.items() if is_test(p)}, sizes, seeds, most, plan), fit, sizes


def hourly_bench(data: Path, *, seeds: int, patients: int, plan: Plan = HOURLY) -> tuple[Bench, Floats, Sizes]:
    """The same by the hour: one stretch of each of so many test patients."""
    stays = hourly_stays(data, most=6 * patients, least_hours=HOUR_STRETCH)
    fit = np.stack(
        [s for p, x in stays.items() if not hourly_test(p) for s in stretches_of(x, HOUR_STRETCH, 1, HOUR_SEEN)]
    )
    sizes = sizes_of(fit)
    test = {p: x for p, x in stays.items() if hourly_test(p)}
    return build(test, sizes, seeds, 1, plan, stretch=HOUR_STRETCH, least_seen=HOUR_SEEN), fit, sizes


def control_scores(x: Floats, fit: Floats, sizes: Sizes, half_life: float) -> dict[str, Floats]:
    """Every control's scores on stretches `x`; what has to be fitted is fitted on the raw stretches `fit`."""
    largest, summed = controls.gaussian_gru(x, fit)
    return {
        "random": controls.random(x),
        "EWMA, largest": controls.ewma_largest(x, sizes, half_life),
        "EWMA, CUSUM": controls.ewma_cusum(x, sizes, 4 * half_life),
        "GRU Gaussian, largest": largest,
        "GRU Gaussian, CUSUM": summed,
        "isolation forest": controls.isolation_forest(x, fit),
        "stuck-run rule": controls.stuck_run(x, fit),
    }


def wrist_alerts(model: AnomalyModel, data: Path) -> dict[str, float]:
    """Alerts a day on the wrist bands of healthy people, where the band was on the wrist, at the shipped threshold."""
    days, given = 0.0, 0
    for x, skin in wrist_bands(data).values():
        score = serve(model, x[None])
        score[0, ~(skin >= OFF_WRIST_C)] = np.nan
        days += float(np.isfinite(score).sum()) / 1440
        given += int(alerts(score, model.head.threshold).sum())
    return {"alerts": given, "days": round(days, 2), "per_day": round(given / max(days, 1e-9), 3)}


def by_sign(score: Floats, bench: Bench, budget: float, rows: Rows) -> dict[str, dict[str, float]]:
    """Recall of every kind on every sign at one budget."""
    clean = np.array([e is None for e in bench.event])
    hit = hits(score, bench, threshold_for(score[clean], budget, rows.refractory, rows.a_day), rows.refractory)
    out: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        of: dict[str, list[bool]] = {}
        for e, h in zip(bench.event, hit, strict=True):
            if e is not None and e.kind == kind and e.sign >= 0:
                of.setdefault(Sign(e.sign).column, []).append(bool(h))
        if of:
            out[kind] = {s: round(float(np.mean(v)), 3) for s, v in sorted(of.items())}
    return out


def evaluate(
    artifact: Path, data: Path, out: Path, *, seeds: int = 5, most: int = 8, patients: int = 400,
    without: Path | None = None, against: Path | None = None, tell: Callable[[str], None] = print,
) -> dict[str, Any]:  # fmt: skip
    """Evaluate an artifact on test patients.

    Args:
        artifact: Its folder.
        data: Folder of the recordings.
        out: Where `report.json` and `index.html` go.
        seeds: Independent injections.
        most: Stretches of one test patient (minutes).
        patients: Test patients (hours).
        without: Folder of the same artifact fitted without its network, to tell what the network adds.
        against: Folder of another artifact, compared at equal alert rates.
        tell: Called with a line of progress now and then.

    Returns:
        What `report.json` holds.

    Raises:
        ArtifactMismatchError: If the other one steps on another grid.
    """
    model = AnomalyModel(artifact)
    others = {"teleward without its network": without}
    if against is not None:
        manifest = load(against).manifest
        if manifest.grid_ns != model.grid.grid_ns:
            wrong = f"frame length in ns: {manifest.grid_ns}, compared with {model.grid.grid_ns}"
            raise ArtifactMismatchError(manifest.name, [wrong])
        others[f"{manifest.name} {manifest.version}"] = against
    hourly = model.grid is HOURS
    rows = Rows(6, 24) if hourly else Rows()
    if hourly:
        bench, fit, sizes = hourly_bench(data, seeds=seeds, patients=patients)
    else:
        bench, fit, sizes = minute_bench(data, seeds=seeds, most=most)
    clean = np.array([e is None for e in bench.event])
    tell(f"{clean.sum()} untouched stretches, {(~clean).sum()} with an event")
    score = serve(model, bench.x)
    days = np.isfinite(score[clean]).sum() / rows.a_day
    tables: dict[str, Table] = {"teleward": recall_table(score, bench, rows=rows)}
    for name, folder in others.items():
        if folder is not None:
            tables[name] = recall_table(serve(AnomalyModel(folder), bench.x), bench, rows=rows)
    tell("controls")
    half_life = 6.0 if hourly else 60.0
    # What is not assessed by the detector (warm-up) is no time watched for the controls either.
    for name, other in control_scores(bench.x, fit, sizes, half_life).items():
        tables[name] = recall_table(np.where(np.isfinite(score), other, np.nan).astype(np.float32), bench, rows=rows)
    report: dict[str, Any] = {
        "artifact": {"name": model.artifact.manifest.name, "version": model.artifact.manifest.version},
        "stretches": int(clean.sum()), "patients": len(set(bench.patient)), "days": round(float(days), 1),
        "seeds": seeds, "recall": tables,
        "by_sign": {str(b): by_sign(score, bench, b, rows) for b in BUDGETS},
        "realised_per_day_at_shipped_threshold": round(
            float(alerts(score[clean], model.head.threshold, rows.refractory).sum() / days), 3
        ),
    }  # fmt: skip
    if not hourly:
        tell("variants")
        report["variants"] = _variants(model, data, seeds=min(seeds, 2), most=most)
        report["wrist"] = wrist_alerts(model, data)
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (out / "index.html").write_text(page(report), encoding="utf-8")
    return report


def _variants(model: AnomalyModel, data: Path, *, seeds: int, most: int) -> dict[str, Table]:
    """The same with other sizes of event: how far the answer hangs on the table's definitions."""
    plans = {
        "companions move too": Plan(together=True),
        "companions move too, deterioration 1 SD, spike 12 changes, shift 2 SD": Plan(
            together=True, ramp_sd=1.0, spike_changes=12.0, shift_sd=2.0
        ),
        "deterioration 1 SD": Plan(ramp_sd=1.0),
        "deterioration over 6 h": Plan(ramp_rows=360),
        "spike 4 changes": Plan(spike_changes=4.0),
        "shift 1 SD": Plan(shift_sd=1.0),
    }
    out: dict[str, Table] = {}
    for name, plan in plans.items():
        bench, _, _ = minute_bench(data, seeds=seeds, most=most, plan=plan)
        out[name] = recall_table(serve(model, bench.x), bench)
    return out


def markdown(tables: Mapping[str, Table]) -> str:
    """Recall at both budgets as a table, with intervals."""

    def cell(table: Table, kind: str) -> str:
        parts = []
        for budget in table:
            value, low, high, _ = table[budget][kind]
            parts.append(f"{value:.2f} ({low:.2f}-{high:.2f})" if kind != "mean" else f"{value:.2f}")
        return " / ".join(parts)

    kinds = [*KINDS, "mean"]
    lines = ["| detector | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(cell(t, k) for k in kinds) + " |" for name, t in tables.items()]
    return "\n".join(lines)


def page(report: Mapping[str, Any]) -> str:
    """One page of HTML: tables, and bars of the recall."""
    name = f"{report['artifact']['name']} {report['artifact']['version']}"
    head = (
        "<!doctype html><meta charset=utf-8><title>" + html.escape(name) + "</title><style>body{font:15px sans-serif;"
        "margin:2em;max-width:70em}td,th{padding:.3em .7em;text-align:left;border-bottom:1px solid #ccc}"
        ".b{background:#2a6f97;height:.6em;display:block}</style>"
    )
    body = [
        f"<h1>{html.escape(name)}</h1><p>Research software, not a medical device.</p>",
        (
            f"<p>{report['patients']} test patients, {report['stretches']} stretches, {report['days']} patient-days, "
            f"{report['seeds']} seeds of injections. Recall at equal alert rates, 95 % intervals over patients.</p>"
        ),
    ]
    for budget in next(iter(report["recall"].values())):
        body.append(f"<h2>At {budget} false alerts a patient-day</h2><table><tr><th>detector")
        body.extend(f"<th>{k}" for k in (*KINDS, "mean"))
        for detector, table in report["recall"].items():
            body.append(f"<tr><td>{html.escape(detector)}")
            for kind in (*KINDS, "mean"):
                value, low, high, _ = table[budget][kind]
                between = f" <small>{low:.2f}-{high:.2f}</small>" if kind != "mean" else ""
                body.append(f"<td>{value:.2f}{between}<span class=b style='width:{value * 6:.2f}em'></span>")
        body.append("</table>")
    rest = {k: v for k, v in report.items() if k not in {"recall", "artifact"}}
    body.append("<h2>Everything else</h2><pre>" + html.escape(json.dumps(rest, indent=1)) + "</pre>")
    return head + "".join(body)
