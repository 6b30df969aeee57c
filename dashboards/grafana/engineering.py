"""*Latency*: how long every hop takes. *Pipeline*: what flows, what waits, what was refused, what is not explained."""

from __future__ import annotations

from typing import Any, Final

from dashboards.grafana.boards import LATENCY, PIPELINE, Board
from dashboards.grafana.influxql import Query
from dashboards.grafana.panels import COLOURS, GREEN, STATUS_WORDS, column, lines, number, rows, states, words_panel
from vitals.events import Priority
from vitals.faults import EXPLAINED, Fault
from vitals.hops import HOPS, Hop
from vitals.measurements import ALARM_EVENTS, ALARM_STATE, BUNDLES, LEDGER
from vitals.measurements import HOPS as HOPS_MEASUREMENT
from vitals.measurements import PIPELINE as PIPELINE_MEASUREMENT

_PERCENTILES: Final = (("p50_ns", "p50"), ("p95_ns", "p95"), ("p99_ns", "p99"), ("p999_ns", "p99.9"))
_PARTS: Final = PIPELINE_MEASUREMENT.source
_LETTERS: Final = "ABCDEFGHIJKLMNOP"


def latency(console_url: str) -> dict[str, Any]:
    """The dashboard *Latency*."""
    board = Board(LATENCY, "Latency", "How long every hop takes.", console_url, since="now-1h", refresh="30s")
    board.add(words_panel("", "What this page is.", _LATENCY_TEXT), 24, 4)
    board.add(_hops_now(), 24, 10)
    board.row("From the patient to the alarm")
    board.add(_to_alarm("partition", "By partition of the input: one that stands out has a slow worker."), 12, 9)
    board.add(_to_alarm("rule", "By rule: what waits for a frame to close takes up to a minute and more."), 12, 9)
    board.row("Clocks of devices")
    _clocks(board)
    board.row("Hop by hop")
    for hop in HOPS:
        board.add(_hop(hop), 12, 8)
    return board.build()


_LATENCY_TEXT: Final = """\
Times are ward time; percentiles are exact to 1 % and count **since the part started**: a restart begins anew.
A hop that crosses clocks holds the error of the device's clock; how far it can be off stands below, for devices that
echo the ward's time (docs/wire-format.md)."""


def _hops_now() -> Any:
    fields = ", ".join(f'last("{field}") AS "{name}"' for field, name in _PERCENTILES)
    panel = rows(
        "Every hop, as last told",
        "Count, percentiles, mean and greatest of every hop, as each part measured it.",
        Query(
            f'SELECT last("count") AS "count", {fields}, last("mean_ns") AS "mean", last("max_ns") AS "greatest" '
            f'FROM {HOPS_MEASUREMENT.source} WHERE $timeFilter GROUP BY "hop", "part"',
            result_format="table",
        ),
        sort_by="p99",
        unit="ns",
    )
    return panel.override_by_name("count", column(unit="short"))


def _to_alarm(tag: str, description: str) -> Any:
    return rows(
        f"Measured to alarm, by {tag}",
        f"{description} Of the alarm events whose stamps tell it, in the time shown; p99 at least and at most of "
        "those whose device's clock is known.",
        Query(
            'SELECT count("to_alarm_s") AS "count", '
            + ", ".join(f'percentile("to_alarm_s", {p}) AS "p{p}"' for p in ("50", "95", "99", "99.9"))
            + ', percentile("to_alarm_least_s", 99) AS "p99 at least"'
            + ', percentile("to_alarm_most_s", 99) AS "p99 at most"'
            + f' FROM {ALARM_EVENTS.source} WHERE $timeFilter GROUP BY "{tag}"',
            result_format="table",
        ),
        sort_by="p99",
        unit="s",
    ).override_by_name("count", column(unit="short"))


def _clocks(board: Board) -> None:
    board.add(
        lines(
            "Devices whose clock is known in both directions", "Those that echo the ward's time. Of the others, hops "
            "that cross clocks hold the clock's error, and nobody knows how much it is.",
            Query(_gauge("clocks"), alias="devices"),
        ).interval("10s"), 12, 8,
    )  # fmt: skip
    board.add(
        lines(
            "How far clocks are off, and how well that is known", "The most that any device's clock is surely off, and "
            "the widest distance between the bounds of one: what is left uncertain of its hops.",
            Query(_gauge("clock_off_ms"), "A", alias="off by at least"),
            Query(_gauge("clock_width_ms"), "B", alias="uncertain by"), unit="ms",
        ).interval("10s"), 12, 8,
    )  # fmt: skip


def _hop(hop: Hop) -> Any:
    row = HOPS[hop]
    clocks = " Crosses the device's clock and ours: holds the error between them." if row.crosses_clocks else ""
    return lines(
        f"{hop.value}: {row.start.value} → {row.end.value}",
        f"{row.contains.capitalize()}.{clocks}",
        *(
            Query(
                f'SELECT last("{field}") FROM {HOPS_MEASUREMENT.source} WHERE "hop" = \'{hop.value}\' AND $timeFilter '
                'GROUP BY time($__interval), "part" fill(none)',
                _LETTERS[index],
                alias=f"$tag_part {name}",
            )
            for index, (field, name) in enumerate(_PERCENTILES)
        ),
        unit="ns",
    ).interval("10s")


def pipeline(console_url: str) -> dict[str, Any]:
    """The dashboard *Pipeline*."""
    board = Board(PIPELINE, "Pipeline", "What flows, what waits, what was refused.", console_url,
                  since="now-1h", refresh="30s")  # fmt: skip
    board.add(words_panel("", "What this page is.", _PIPELINE_TEXT), 24, 3)
    _health(board)
    board.row("What flows")
    _rates(board)
    board.row("What was refused, and how good the data are")
    _quality(board)
    board.row("Ledger: sent = stored + duplicate + refused + quarantined + queued + remainder")
    _ledger(board)
    return board.build()


_PIPELINE_TEXT: Final = """\
The parts of Teleward, by what they say of themselves. **A part that says nothing is not well**: its line ends."""


def _health(board: Board) -> None:
    board.add(
        states(
            "What the parts say of themselves", "ok, slow or down; a gap: it said nothing.",
            Query(f'SELECT max("status") FROM {_PARTS} WHERE $timeFilter GROUP BY time($__interval), "part" fill(none)',
                  alias="$tag_part"),
            words=STATUS_WORDS,
        ).interval("10s"), 12, 8,
    )  # fmt: skip
    board.add(
        lines(
            "Alarm states written, by partition",
            "Every watched patient has a point each ten seconds, alarms or not: a partition at 0 is not watched by "
            "anybody.",
            Query(f'SELECT count("watch") FROM {ALARM_STATE.source} WHERE $timeFilter GROUP BY time($__interval), '
                  '"partition" fill(0)', alias="partition $tag_partition"),
        ).interval("1m"), 12, 8,
    )  # fmt: skip
    board.add(
        lines(
            "How far work is behind ward time", "By part, where it tells. Nothing may stay behind for longer than a "
            "frame.",
            Query(_gauge("behind_s"), alias="$tag_part"), unit="s",
            steps=[(None, GREEN), (60.0, COLOURS[Priority.MEDIUM]), (130.0, COLOURS[Priority.HIGH])],
        ).interval("10s"), 12, 8,
    )  # fmt: skip
    board.add(
        lines(
            "Records that wait in a part",
            "Held and not done: the storing app's backlog when the store is slow or away (Kafka keeps what it did "
            "not fetch).",
            Query(_gauge("waiting"), alias="$tag_part"),
        ).interval("10s"), 12, 8,
    )  # fmt: skip


def _gauge(field: str) -> str:
    return f'SELECT max("{field}") FROM {_PARTS} WHERE $timeFilter GROUP BY time($__interval), "part" fill(none)'


def _rate(field: str, part: str) -> str:
    return (
        f'SELECT non_negative_derivative(max("{field}"), 1s) FROM {_PARTS} WHERE "part" = \'{part}\' AND $timeFilter '
        "GROUP BY time($__interval) fill(none)"
    )


# What the parts count (`counts` of their records in the health topic), and what it means.
_RATES: Final = (
    ("Through the bridge", ("Accepted by the bridge and acknowledged by Kafka, a "
                           "second."), "bridge", ("readings", "bundles",
     "blocks")),
    ("Judged", "Through the ward, a second: readings, closed frames, alarm events.", "monitoring",
     ("readings", "frames", "events")),
    ("Kept", "Acknowledged by the store, a second: records and batches.", "storing", ("written", "batches")),
)  # fmt: skip
_TROUBLE: Final = (
    ("Refused by the bridge", ("Readings refused one by one, messages refused whole (kept in the quarantine with the "
     "reason)."), "bridge", ("refused", "quarantined")),
    ("Trouble of monitoring", ("Records that could not be read, records that Kafka deleted before they were judged; "
     "either must stay 0."), "monitoring", ("dead", "lost")),
    ("Trouble of storing", ("Tries that the store did not take, records that could not be read, and records that Kafka "
     "deleted before they were kept; the last two must stay 0."), "storing", ("retries", "unreadable", "lost")),
)  # fmt: skip


def _rates(board: Board) -> None:
    for title, description, part, fields in _RATES:
        queries = (Query(_rate(field, part), _LETTERS[i], alias=field) for i, field in enumerate(fields))
        board.add(lines(title, description, *queries, unit="suffix:/s").interval("30s"), 8, 8)
    for title, description, part, fields in _TROUBLE:
        queries = (
            Query(f'SELECT max("{field}") FROM {_PARTS} WHERE "part" = \'{part}\' AND $timeFilter '
                  "GROUP BY time($__interval) fill(none)", _LETTERS[i], alias=field) for i, field in enumerate(fields)
        )  # fmt: skip
        board.add(lines(f"{title} since its start", description, *queries).interval("30s"), 8, 8)
    board.add(
        lines(
            "Risk scores late or missing",
            "Alarms of the rule model-late that were raised: a detector missed its deadline, the published scores "
            "went on.",
            Query(f'SELECT count("n") FROM {ALARM_EVENTS.source} WHERE "rule" = \'model-late\' AND "event" = '
                  f'\'raised\' '
                  "AND $timeFilter GROUP BY time($__interval) fill(0)", alias="raised"),
        ).interval("5m"), 24, 6,
    )  # fmt: skip


def _refused() -> Any:
    explained = "\n".join(f"- **{fault.value}**: {EXPLAINED[fault]}" for fault in Fault)
    return lines(
        "Refused since the bridge's start, by reason",
        f"Messages and readings that the bridge refused; all are kept in the quarantine.\n\n{explained}",
        *(
            Query(
                f'SELECT max("faults_{fault.value}") FROM {_PARTS} WHERE "part" = \'bridge\' AND $timeFilter '
                "GROUP BY time($__interval) fill(none)",
                _LETTERS[index],
                alias=fault.value,
            )
            for index, fault in enumerate(Fault)
        ),
    ).interval("30s")


def _quality(board: Board) -> None:
    board.add(_refused(), 24, 9)
    sums = ("n", "refused", "doubtful", "unusable")
    board.add(
        lines(
            "Readings of the bundles that came", "As the devices put them in, and of these refused, doubtful "
            "(outside the "
            "plausible range, kept) and unusable (poor signal, no contact).",
            *(Query(f'SELECT sum("{field}") FROM {BUNDLES.source} WHERE $timeFilter GROUP BY time($__interval) fill(0)',
                    _LETTERS[i], alias=field) for i, field in enumerate(sums)),
        ).interval("1m"), 12, 8,
    )  # fmt: skip
    fields = "".join(f', sum("{field}") AS "{field}"' for field in sums)
    board.add(
        rows(
            "Devices by what was refused", "Devices whose bundles came in the time shown: what was refused, how long "
            "bundles "
            "were under way, what still waits on the device, its battery.",
            Query(f'SELECT count("seq") AS "bundles"{fields}, percentile("delay_s", 95) AS "delay p95", '
                  'last("queued") AS "queued", last("battery_pct") AS "battery" '
                  f'FROM {BUNDLES.source} WHERE $timeFilter GROUP BY "device"', result_format="table"),
            sort_by="refused",
        ).override_by_name("delay p95", column(unit="s")).override_by_name("battery", column(unit="percent")), 12, 8,
    )  # fmt: skip


def _ledger(board: Board) -> None:
    names = ("sent", "stored", "duplicate", "refused", "quarantined", "remainder", "missing")
    inner = ", ".join(f'last("{field}") AS "{field}"' for field in names)
    outer = ", ".join(f'sum("{field}") AS "{field}"' for field in names)
    panel = number(
        "All devices", "Where every reading went, as the newest point of each device says. A remainder that stays is "
                       "loss "
        "that nobody explained; just after a reconnection it is what the device has yet to send again.",
        Query(f'SELECT {outer} FROM (SELECT {inner} FROM {LEDGER.source} WHERE $timeFilter GROUP BY "device") '
              "WHERE $timeFilter"),
    )  # fmt: skip
    board.add(panel, 24, 4)
    board.add(
        rows(
            "Device by device", "As its newest point says.",
            Query(f'SELECT {inner} FROM {LEDGER.source} WHERE $timeFilter GROUP BY "device"', result_format="table"),
            sort_by="remainder",
        ), 24, 10,
    )  # fmt: skip
