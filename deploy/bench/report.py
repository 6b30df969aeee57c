"""Reports: in words, as JSON, and as one HTML page with percentile curves that needs nothing from elsewhere."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

_COLOURS: Final = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f")
_WIDTH: Final = 720
_HEIGHT: Final = 300
_MEANS: Final = {
    "to_event": "meant to be sent, until somebody has read the alarm event that it raised",
    "event.to_bridge": "of that: until the bridge has it",
    "event.to_monitoring": "then until a worker has it",
    "event.judged": "then until the ward has judged it",
    "event.to_reader": "then until a reader of the topic has the event",
    "to_page": "meant to be sent, until the console's stream has brought the alarm",
    "to_alarm": "published, until Kafka has the alarm event",
    "to_scored": "every bundle: meant to be sent, until the ward has judged it",
    "to_stored": "every bundle: meant to be sent, until the store has acknowledged it",
    "radio": "published, until the bridge has it",
    "ingest": "with the bridge, until Kafka has it",
    "log": "with Kafka, until a worker has it",
    "storing.log": "with Kafka, until storing has it",
    "judge": "a record with a worker, until the ward has judged it",
    "emit": "judged, until Kafka has the alarm event",
    "store": "an alarm event with Kafka, until the store has it",
}
_COLUMNS: Final = ("count", "mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99.9_ms", "max_ms")


def write_report(path: Path, result: Mapping[str, Any]) -> None:
    """Write ``NAME.json`` and ``NAME.html``, whatever suffix the path has."""
    path.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".html").write_text(page(result), encoding="utf-8")


def in_words(result: Mapping[str, Any]) -> str:
    """A report for a terminal: every table of times, and what each process took."""
    lines: list[str] = []
    for name, part in _parts(result):
        table = list(_table_lines(part))
        lines += [f"\n{name}" if name else "", *table] if table else []
    if "goals" in result:
        lines += ["", f"{'goal':58} {'measured':>24} {'wanted':>14}"]
        lines += [f"{g['goal']:58} {g['measured']!s:>24} {g['wanted']!s:>14}  {g['verdict']}" for g in result["goals"]]
    for name in ("peers", "ratios", "stages"):
        if name in result:
            lines += ["", *_plain(name, result[name])]
    if not lines or not any(lines):
        lines = [json.dumps(result, indent=2)]
    return "\n".join(lines)


def _table_lines(part: Mapping[str, Any]) -> Iterator[str]:
    rows = _times(part)
    if rows:
        yield f"{'':28}" + "".join(f"{column.removesuffix('_ms'):>10}" for column in _COLUMNS) + "   (ms)"
    for name, row in rows.items():
        yield f"{name:28}" + "".join(f"{row.get(column, ''):>10}" for column in _COLUMNS)
    processes = part.get("processes", {})
    if processes:
        yield f"{'process':28}{'CPU s':>10}{'/1,000':>10}{'share':>10}{'MB':>10}"
    for name, row in processes.items():
        values = (row["cpu_s"], row["cpu_s_per_1000"], row["share"], row["memory_mb"])
        yield f"{name:28}" + "".join(f"{value if value is not None else '':>10}" for value in values)
    if "busy" in part:
        yield f"machine {part['busy']:.0%} busy, {part['ours']:.0%} ours, {part['others']:.0%} of others"
    for name in ("runs", "steps"):
        for row in part.get(name, ()):
            yield "  " + "  ".join(f"{key} {value}" for key, value in row.items() if not isinstance(value, dict))


def _plain(name: str, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A table of whatever its rows hold."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row if column != "what"))
    yield f"{name:36}" + "".join(f"{column:>16}" for column in columns)
    for of, row in rows.items():
        yield f"{of:36}" + "".join(f"{row.get(column, ''):>16}" for column in columns)


def _times(part: Mapping[str, Any]) -> dict[str, Any]:
    found = {**part.get("ways", {}), **part.get("hops", {})}
    return {name: row for name, row in found.items() if row.get("count")}


def _parts(result: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The report itself and every report inside it."""
    yield str(result.get("bench", "")), result
    for name, value in result.items():
        if isinstance(value, Mapping) and name not in {
            "machine",
            "settings",
            "processes",
            "ways",
            "hops",
            "load",
            "peers",
            "ratios",
        }:
            for inner, part in _parts(value):
                yield f"{name} {inner}".strip(), part


def page(result: Mapping[str, Any]) -> str:
    """The report as one page."""
    body: list[str] = []
    for name, part in _parts(result):
        rows = _times(part)
        if rows or part.get("processes") or part.get("runs") or part.get("steps"):
            body.append(f"<h2>{html.escape(name)}</h2>")
        if rows:
            body += [_curves({n: r["curve"] for n, r in rows.items() if "curve" in r}), _table(rows, _COLUMNS)]
        if part.get("processes"):
            body.append(_table(part["processes"], ("cpu_s", "cpu_s_per_1000", "share", "memory_mb")))
        for kind in ("runs", "steps"):
            body += [_rows(part[kind])] if part.get(kind) else []
    for name in ("peers", "ratios"):
        if result.get(name):
            body += [f"<h2>{name}</h2>", _rows([{"": of, **row} for of, row in result[name].items()])]
    if result.get("goals"):
        body.insert(0, _rows(result["goals"]))
    return _PAGE.format(title=html.escape(str(result.get("bench", "report"))), body="\n".join(body),
                        machine=html.escape(json.dumps(result.get("machine", {}))),
                        settings=html.escape(json.dumps(result.get("settings", {}))))  # fmt: skip


def _table(rows: Mapping[str, Mapping[str, Any]], columns: tuple[str, ...]) -> str:
    head = "".join(f"<th>{html.escape(column.replace('_ms', ', ms').replace('_', ' '))}</th>" for column in columns)
    lines = [
        f"<tr><td>{html.escape(name)}{_meaning(name)}</td>"
        + "".join(f"<td>{row.get(c, '')}</td>" for c in columns)
        + "</tr>"
        for name, row in rows.items()
    ]
    return f"<table><tr><th></th>{head}</tr>{''.join(lines)}</table>"


def _meaning(name: str) -> str:
    return f"<br><small>{html.escape(_MEANS[name])}</small>" if name in _MEANS else ""


def _rows(rows: list[Mapping[str, Any]]) -> str:
    columns = [key for key, value in rows[0].items() if not isinstance(value, dict | list)] if rows else []
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(row.get(c, '')))}</td>" for c in columns) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{lines}</table>"


def _x(percent: float) -> float:
    """Percentiles as people draw them: each further nine takes the same room."""
    nines = min(4.0, -math.log10(max(1e-4, 1 - percent / 100)))
    return 60 + (_WIDTH - 80) * nines / 4


def _curves(curves: Mapping[str, list[list[float]]]) -> str:
    values = [value for curve in curves.values() for _, value in curve if value > 0]
    if not values:
        return ""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def y(value: float) -> float:
        place = (math.log10(max(value, 10.0**low)) - low) / (high - low)
        return _HEIGHT - 30 - (_HEIGHT - 50) * place

    parts = [f'<svg viewBox="-16 0 {_WIDTH + 216} {_HEIGHT}" role="img" aria-label="percentile curves">']
    for power in range(low, high + 1):
        at = y(10.0**power)
        parts.append(
            f'<line x1="60" x2="{_WIDTH - 20}" y1="{at:.1f}" y2="{at:.1f}" class="grid"/>'
            f'<text x="54" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g} ms</text>'
        )
    parts += [
        f'<text x="{_x(percent):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">p{percent:g}</text>'
        for percent in (0, 90, 99, 99.9, 99.99)
    ]
    for place, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        dash = ' stroke-dasharray="5 3"' if place >= len(_COLOURS) else ""
        points = " ".join(f"{_x(percent):.1f},{y(value):.1f}" for percent, value in curve)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(f'<text x="{_WIDTH}" y="{20 + 18 * place}" fill="{colour}">{html.escape(name)}</text>')
    return "".join([*parts, "</svg>"])


_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Teleward: {title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; color: #111827; }}
table {{ border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }}
td, th {{ border-bottom: 1px solid #d1d5db; padding: .25rem .7rem; text-align: right; }}
td:first-child, th:first-child {{ text-align: left; }}
svg {{ width: 100%; height: auto; }} svg text {{ font-size: 12px; }} .grid {{ stroke: #e5e7eb; }}
pre {{ white-space: pre-wrap; color: #4b5563; }}
</style></head><body><h1>Teleward: {title}</h1>
{body}
<h2>Machine and settings</h2><pre>{machine}
{settings}</pre>
<p>Times count from the instant at which a bundle was meant to be sent. Mean is total time / number of samples.</p>
</body></html>
"""
