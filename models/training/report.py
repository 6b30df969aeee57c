"""The evaluation as one HTML page: tables and plots drawn here, nothing fetched."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.training.evaluate import Curves

    Points = Sequence[tuple[float, float]]

_COLOURS = ("#0b5fa5", "#c2410c", "#4d7c0f", "#7e22ce", "#0f766e", "#a16207", "#6b7280")
_W, _H, _LEFT, _BOTTOM = 360, 260, 46, 36
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1180px;margin:2rem auto;padding:0 1rem;color:#111827}
table{border-collapse:collapse;margin:.6rem 0}
td,th{border-bottom:1px solid #d1d5db;padding:.2rem .7rem;text-align:right}
td:first-child,th:first-child{text-align:left}figure{display:inline-block;margin:.5rem}figcaption{font-weight:600}
.warn{border-left:4px solid #c2410c;padding:.3rem .8rem;background:#fff7ed}small{color:#4b5563}"""


def write_report(numbers: Mapping[str, Any], curves: Curves) -> str:
    """The page.

    Args:
        numbers: As `evaluate_stays` returns them.
        curves: Likewise.
    """
    title = f"{numbers['artifact']} {numbers['version']}"
    head = (
        f"{numbers['patients']} patients ({numbers['septic']} with sepsis), {numbers['hours']} hours, split "
        f"{numbers['split']}, hospital {numbers['hospital']}; intervals: 95 %, {numbers['bootstraps']} resamples of "
        "patients"
    )
    plots = [
        _plot("ROC", "false positive rate", "sensitivity (hours)", curves.roc, diagonal=True),
        _plot("Precision and recall", "recall", "precision", curves.precision),
        _plot("Calibration", "score", "share septic", {"network": curves.calibration}, diagonal=True),
        _plot("Utility", "share of hours above threshold", "utility", {"network": curves.utility}),
        _plot("Alert budget", "alerts per patient-day", "sensitivity (patients)", curves.budget),
        _plot("Lead time before onset", "hours before onset", "patients warned by then", {"network": _leads(curves)}),
        _subgroup_plot(numbers["subgroups"]),
    ]
    body = [
        f"<h1>{escape(title)}</h1><p>{escape(head)}</p>",
        '<p class="warn">Research software, not a medical device. Intensive-care records, not home wearables.</p>',
        "<h2>Ranking of hours</h2>", _score_table(numbers["scores"], numbers["utility"]),
        *(f"<h2>At {b} alerts per patient-day</h2>" + _alert_table(t) for b, t in numbers["at_equal_alerts"].items()),
        _threshold(numbers), _against(numbers.get("against")), "<h2>Plots</h2>", *plots, "<h2>Subgroups</h2>",
        _subgroup_table(numbers["subgroups"]),
    ]  # fmt: skip
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<body>{''.join(body)}</body></html>\n"
    )


def _with(value: Sequence[float | None], digits: int = 3) -> str:
    """A value and its interval, small."""
    if value[0] is None:
        return "–"
    text = f"{value[0]:.{digits}f}"
    if len(value) == 3 and value[1] is not None and value[2] is not None:
        text += f" <small>{value[1]:.{digits}f}–{value[2]:.{digits}f}</small>"
    return text


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _score_table(scores: Mapping[str, Any], utilities: Mapping[str, Any]) -> str:
    rows = []
    for name, s in scores.items():
        worth = utilities.get(name)
        last = "–" if worth is None else f"{worth:.3f}"
        rows.append([escape(name), _with(s["hm"]), _with(s["auroc"]), _with(s["auprc"]), last])
    note = f"<p><small>Utility: threshold chosen on {utilities['threshold_chosen_on']}.</small></p>"
    return _table(["score", "hour-matched AUROC", "AUROC", "AUPRC", "utility"], rows) + note


def _alert_table(table: Mapping[str, Any]) -> str:
    keys = {"per_day": "alerts/day", "precision": "precision", "sensitivity": "sensitivity",
            "before_onset": "before onset", "lead_h": "median lead, h"}  # fmt: skip
    return _table(
        ["score", *keys.values()],
        [[escape(name), *(_with(n[k], 1 if k == "lead_h" else 3) for k in keys)] for name, n in table.items()],
    )


def _threshold(numbers: Mapping[str, Any]) -> str:
    own, silent, ratio = numbers["at_threshold"], numbers["not_assessable"], numbers["versus_news2"]
    hourly = ", ".join(f"{k} {v:.3f}" for k, v in own["hourly"].items())
    alerts = ", ".join(f"{k.replace('_', ' ')} {_with(v)}" for k, v in own["alerts"].items())
    return (
        f"<h2>At the artifact's threshold {own['threshold']:.4f}</h2><p>Alerts: {alerts}.</p><p>Hours: {hourly}. "
        f"Expected calibration error {numbers['ece']:.4f}.</p><p>Against NEWS2 at 0.3 alerts a patient-day: precision "
        f"&times;{_with(ratio['precision'], 2)}, sensitivity &times;{_with(ratio['sensitivity'], 2)}.</p>"
        f"<p>Not assessable: {100 * silent['share_of_hours']:.1f} % of hours, "
        f"{100 * silent['share_of_septic_window']:.1f} % of the hours around an onset.</p>"
    )


def _against(found: Mapping[str, Any] | None) -> str:
    """The comparison with another artifact; nothing where there was none."""
    if found is None:
        return ""
    rows = [
        [f"{b} a patient-day", f"&times;{_with(t['precision'], 2)}", f"&times;{_with(t['sensitivity'], 2)}"]
        for b, t in found["at_equal_alerts"].items()
    ]
    return (
        f"<h2>Against {escape(found['name'])}</h2><p>Hour-matched AUROC: {_with(found['hm_difference'])} more than it "
        f"has.</p>{_table(['at equal alerts', 'precision', 'sensitivity'], rows)}"
    )


def _subgroup_table(groups: Mapping[str, Any]) -> str:
    rows = [
        [escape(n), str(g["patients"]), str(g["septic"]), _with(g["hm"]), _with(g["auroc"]), f"{g['ece']:.4f}",
         f"{g['alerts']['per_day']:.2f}", f"{g['alerts']['sensitivity']:.2f}"]
        for n, g in groups.items()
    ]  # fmt: skip
    return _table(["group", "patients", "septic", "hm", "AUROC", "ECE", "alerts/day", "sensitivity"], rows)


def _leads(curves: Curves) -> Points:
    leads = sorted(curves.leads_h, reverse=True)
    return [(h, (i + 1) / len(leads)) for i, h in enumerate(leads)]


def _plot(title: str, x: str, y: str, lines: Mapping[str, Points], *, diagonal: bool = False) -> str:
    points = [p for line in lines.values() for p in line]
    if not points:
        return ""
    x0, x1 = min(0.0, *(p[0] for p in points)), max(p[0] for p in points)
    y0, y1 = min(0.0, *(p[1] for p in points)), max(p[1] for p in points)

    def at(p: tuple[float, float]) -> str:
        px = _LEFT + (p[0] - x0) / max(x1 - x0, 1e-9) * (_W - _LEFT - 10)
        py = _H - _BOTTOM - (p[1] - y0) / max(y1 - y0, 1e-9) * (_H - _BOTTOM - 10)
        return f"{px:.1f},{py:.1f}"

    parts = [_axes(x, y, (x0, x1), (y0, y1))]
    if diagonal:
        ends = f"{at((0, 0))} {at((min(x1, y1), min(x1, y1)))}"
        parts.append(f'<polyline points="{ends}" fill="none" stroke="#9ca3af" stroke-dasharray="4"/>')
    for (name, line), colour in zip(lines.items(), _COLOURS, strict=False):
        path = " ".join(at(p) for p in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(lines) > 1:
            above = 13 * (len(lines) - 1 - list(lines).index(name))
            parts.append(f'<text x="{_W - 12}" y="{_H - _BOTTOM - 8 - above}" text-anchor="end" font-size="11" '
                         f'fill="{colour}">{escape(name)}</text>')  # fmt: skip
    return _figure(title, "".join(parts))


def _subgroup_plot(groups: Mapping[str, Any]) -> str:
    parts = []
    for i, (name, g) in enumerate(groups.items()):
        value, low, high = g["hm"]
        if value is None or low is None:
            continue
        y = 20 + i * 24
        x, a, b = (130 + (v - 0.5) / 0.5 * 210 for v in (value, max(low, 0.5), min(high, 1.0)))
        parts.append(f'<text x="4" y="{y + 4}" font-size="12">{escape(name)}</text>'
                     f'<line x1="{a:.1f}" x2="{b:.1f}" y1="{y}" y2="{y}" stroke="#0b5fa5" stroke-width="2"/>'
                     f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="#0b5fa5"/>')  # fmt: skip
    parts += [f'<text x="{x}" y="{_H - 8}" font-size="11">{v}</text>' for x, v in ((130, 0.5), (330, 1.0))]
    return _figure("Hour-matched AUROC by group, 95 % intervals", "".join(parts))


def _axes(x: str, y: str, xs: tuple[float, float], ys: tuple[float, float]) -> str:
    floor = _H - _BOTTOM
    return (
        f'<path d="M{_LEFT},10V{floor}H{_W - 10}" fill="none" stroke="#374151"/><g font-size="11" fill="#374151">'
        f'<text x="{_LEFT}" y="{floor + 14}">{xs[0]:.3g}</text>'
        f'<text x="{_W - 10}" y="{floor + 14}" text-anchor="end">{xs[1]:.3g}</text>'
        f'<text x="{_LEFT - 4}" y="{floor}" text-anchor="end">{ys[0]:.3g}</text>'
        f'<text x="{_LEFT - 4}" y="18" text-anchor="end">{ys[1]:.3g}</text>'
        f'<text x="{(_LEFT + _W) // 2}" y="{_H - 8}" text-anchor="middle">{escape(x)}</text>'
        f'<text transform="translate(12,{floor // 2}) rotate(-90)" text-anchor="middle">{escape(y)}</text></g>'
    )


def _figure(title: str, inside: str) -> str:
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg role="img" aria-label="{escape(title)}" '
        f'viewBox="0 0 {_W} {_H}" width="{_W}" height="{_H}">{inside}</svg></figure>'
    )
