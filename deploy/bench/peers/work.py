"""What everybody has to do, and what must come out.

1,000 patients send a bundle of five signs in turn. Of each bundle: an exponentially weighted moving mean of every sign
of its patient (``mean += alpha * (value - mean)``, the first value as it is), and the NEWS2 points of its five values.
A result for every bundle, back to Kafka. All numbers are exact: a peer's results are compared for equality.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from deploy.bench.workload import MEAN, SD, SIGNS, patient
from vitals import block
from vitals.reading import Block
from vitals.scores import NEWS2_ROWS, NEWS2_SPO2
from vitals.signs import SECOND_NS, Measure, Sign

ALPHA: Final = 0.125
BLOCK_BUNDLES: Final = 250
_MEASURES: Final = (Measure.RATE, Measure.SPO2, Measure.RESP, Measure.TEMP_C, Measure.SBP)
_BEGIN_NS: Final = 1_700_000_000 * SECOND_NS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def signs() -> dict[str, Any]:
    """Of each sign the cut points and NEWS2 points of the published chart, for whoever computes it."""
    rows = {row.measure: row for row in (*NEWS2_ROWS, NEWS2_SPO2[1, False])}
    return {
        name: {"cuts": rows[measure].cuts, "points": rows[measure].points}
        for name, measure in zip(SIGNS, _MEASURES, strict=True)
    }


@dataclass(frozen=True, slots=True)
class Workload:
    """The bundles, and what must come of them.

    Attributes:
        bundles: How many; whole rounds of all patients.
        patients: How many.
        period_ns: Between two bundles of a patient.
        value: Shape (rounds, patients, signs), of two decimals.
    """

    bundles: int
    patients: int = 1000
    ill: float = 0.02
    period_ns: int = 10 * SECOND_NS
    value: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the values."""
        if self.bundles % self.patients:
            raise ValueError(f"{self.bundles} bundles are no whole rounds of {self.patients} patients")
        rng = np.random.default_rng(7)
        rounds = self.bundles // self.patients
        value = MEAN + SD * rng.standard_normal((rounds, self.patients, len(SIGNS)))
        # Some become ill in the first half and stay so, as the ward's own benchmark has it.
        away = np.array([60.0, -9.0, 13.0, 2.0, -35.0]) * np.minimum(1, np.arange(rounds) * 2 / rounds)[:, None]
        value[:, : int(self.ill * self.patients)] += away[:, None]
        value[:, :, 1] = np.minimum(value[:, :, 1], 100.0)
        object.__setattr__(self, "value", np.round(value, 2))

    def sent_ns(self) -> IntArray:
        """When each bundle was sent, evenly."""
        return _BEGIN_NS + np.arange(self.bundles) * (self.period_ns // self.patients)

    def messages(self) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of every bundle as a message of its own."""
        names = [patient(i) for i in range(self.patients)]
        keys = [name.encode() for name in names]
        encoder = msgspec.json.Encoder()
        sent = self.sent_ns().tolist()
        at = 0
        for seq, all_of_it in enumerate(self.value):
            for i, row in enumerate(all_of_it.tolist()):
                told = {"patient": names[i], "seq": seq, "sent_ns": sent[at], **dict(zip(SIGNS, row, strict=True))}
                yield keys[i], encoder.encode(told)
                at += 1

    def blocks(self) -> Iterator[Block]:
        """The same bundles as blocks."""
        flat = self.value.reshape(-1, len(SIGNS))
        sent = self.sent_ns()
        sign = np.array([Sign[name.upper()] for name in SIGNS], dtype=np.uint8)
        for low in range(0, self.bundles, BLOCK_BUNDLES):
            at = np.arange(low, min(low + BLOCK_BUNDLES, self.bundles))
            who, n = at % self.patients, len(at)
            seq = at // self.patients
            yield Block(
                patients=[patient(i) for i in who.tolist()],
                devices=[f"bench-d-{i:06d}" for i in who.tolist()],
                patient=np.arange(n), device=np.arange(n), boot=np.ones(n, np.int64), seq=seq,
                sent_ns=sent[at], received_ns=sent[at] + 1_000_000, n=np.full(n, 5), n_before=5 * seq,
                refused=np.zeros(n, np.int64), battery_pct=np.full(n, 80.0), queued=np.zeros(n, np.int64),
                offsets=np.arange(0, 5 * n + 1, 5), sign=np.tile(sign, n), quality=np.zeros(5 * n, np.uint8),
                value=flat[at].ravel(), time_ns=np.repeat(sent[at] - SECOND_NS, 5),
            )  # fmt: skip

    def records(self) -> Iterator[bytes]:
        """The same blocks as bytes."""
        return (block.encode(each) for each in self.blocks())

    def expected(self, bundles: int) -> Results:
        """What must come of the first so many, computed apart from all who compete."""
        rounds = -(-bundles // self.patients)
        mean, moved = self.value[0], [self.value[0]]
        for value in self.value[1:rounds]:
            mean = mean + ALPHA * (value - mean)
            moved.append(mean)
        flat = self.value[:rounds].reshape(-1, len(SIGNS))
        news2 = np.zeros(len(flat), np.int64)
        for column, sign in enumerate(signs().values()):
            news2 += np.array(sign["points"])[np.digitize(flat[:, column], sign["cuts"])]
        at = np.arange(bundles)
        everything = np.stack(moved).reshape(-1, len(SIGNS))
        return Results(at % self.patients, at // self.patients, news2[:bundles], everything[:bundles])


@dataclass(frozen=True, slots=True)
class Results:
    """Results as arrays, a row for each bundle.

    Attributes:
        patient: Which.
        seq: Which of its bundles.
        news2: Points.
        mean: Shape (bundles, signs).
    """

    patient: IntArray
    seq: IntArray
    news2: IntArray
    mean: FloatArray

    def differs(self, wanted: Results) -> str:
        """What is wrong, in words; "" where nothing is. Order within a patient counts, between patients it does not."""
        if len(self.seq) < len(wanted.seq):
            return f"{len(wanted.seq)} results are due, {len(self.seq)} came"
        mine, theirs = (np.lexsort((each.seq, each.patient)) for each in (self, wanted))
        for name in ("patient", "seq", "news2", "mean"):
            a, b = getattr(self, name)[mine], getattr(wanted, name)[theirs]
            if not np.array_equal(a, b):
                where = int(np.flatnonzero((a != b).reshape(len(a), -1).any(axis=1))[0])
                return f"{name} of result {where} is {a[where]}, not {b[where]}"
        stable = np.argsort(self.patient, kind="stable")
        if (np.diff(self.seq[stable]) < 0)[np.diff(self.patient[stable]) == 0].any():
            return "a patient's results are out of order"
        return ""


_One = msgspec.defstruct(
    "_One", [("patient", str), ("seq", int), ("news2", int), *((name, float) for name in SIGNS)]
)  # fmt: skip
_decoder = msgspec.json.Decoder(_One)


def read_results(values: list[bytes]) -> tuple[Results, IntArray]:
    """What somebody wrote, whichever way: a message for each bundle as JSON, or many in one as an Arrow stream.

    Returns:
        The results in order, and the number of results up to and with each record.
    """
    tables, counts = [], []
    plain: list[Any] = []
    for value in values:
        if value[:1] == b"{":
            plain.append(_decoder.decode(value))
            counts.append(1)
        else:
            batch = pa.ipc.open_stream(value).read_next_batch()
            tables.append(batch)
            counts.append(batch.num_rows)
    if tables and plain:
        raise ValueError("results of two kinds in one topic")
    if tables:
        table = pa.Table.from_batches(tables)
        names = table.column("patient").to_pylist()
        mean = np.stack([table.column(name).to_numpy() for name in SIGNS], axis=1)
        found = Results(_numbers(names), table.column("seq").to_numpy(), table.column("news2").to_numpy(), mean)
    else:
        mean = np.array([[getattr(one, name) for name in SIGNS] for one in plain]).reshape(-1, len(SIGNS))
        found = Results(
            _numbers([one.patient for one in plain]), np.array([one.seq for one in plain], np.int64),
            np.array([one.news2 for one in plain], np.int64), mean,
        )  # fmt: skip
    return found, np.cumsum(np.array(counts, np.int64))


def _numbers(names: list[str]) -> IntArray:
    return np.array([int(name.rpartition("-")[2]) for name in names], np.int64)
