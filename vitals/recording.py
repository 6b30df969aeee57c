"""A recording: what was measured of some patients, a row for each patient and instant.

Files are opened by `transport.recordings`, their columns are given meaning by `vitals.records`. Nothing is judged
here: an impossible value is a reading like any other and is refused downstream, where a refusal has a reason and a
place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vitals.reading import ByteArray, FloatArray, IntArray
from vitals.signs import N_SIGNS, Sign

LabArray: TypeAlias = npt.NDArray[np.floating]


class RecordingError(ValueError):
    """A table that is no recording, with what is wrong and what to do.

    Attributes:
        row: The row it is about, from 0; None where it is about no single one.
        column: The column it is about, "" where none.
    """

    def __init__(self, what: str, *, row: int | None = None, column: str = "") -> None:
        super().__init__(what)
        self.row = row
        self.column = column


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings of one patient as columns, by time and, at one instant, by sign.

    Attributes:
        time_ns: Shape (readings,).
        sign: Shape (readings,), `Sign` as a number.
        value: Shape (readings,), canonical units; never NaN.
        device: Shape (readings,), index into the recording's `devices`, -1 where none was named.
        row: Shape (readings,), which of the patient's rows it stood in.
    """

    time_ns: IntArray
    sign: ByteArray
    value: FloatArray
    device: IntArray
    row: IntArray


@dataclass(frozen=True, slots=True)
class PatientRecord:
    """One patient's part of a recording: views, not copies; rows by time.

    Attributes:
        patient: Pseudonym.
        time_ns: Shape (rows,).
        signs: For each sign that the recording has, shape (rows,), canonical units, NaN not measured.
        labs: For each laboratory column, shape (rows,), NaN not measured.
        device: Shape (rows,), index into the recording's `devices`, -1 where none was named.
        received_ns: Shape (rows,), -1 where unknown; None where the recording does not say.
        age: Years, NaN unknown.
        sex: 0 female, 1 male, NaN unknown.
        row: Shape (rows,), row in the source, from 0.
    """

    patient: str
    time_ns: IntArray
    signs: dict[Sign, FloatArray]
    labs: dict[str, LabArray]
    device: IntArray
    received_ns: IntArray | None
    age: float
    sex: float
    row: IntArray

    def readings(self) -> Readings:
        """Everything that was measured, one by one."""
        have = sorted(self.signs)
        value = np.stack([self.signs[s] for s in have], axis=1) if have else np.empty((len(self.time_ns), 0))
        row, column = np.nonzero(~np.isnan(value))
        sign = np.array(have, np.uint8)[column]
        return Readings(self.time_ns[row], sign, value[row, column], self.device[row], row)


@dataclass(frozen=True, slots=True)
class Recording:
    """What was measured of some patients: their rows laid end to end, each patient's by time.

    Patients stand in the order in which the source first names them, rows of equal time in the source's order.

    Attributes:
        patients: Pseudonyms.
        offsets: Shape (patients + 1,): patient i owns the rows ``offsets[i]:offsets[i + 1]``.
        time_ns: Shape (rows,); where the source has ``t_s``, from the patient's start as 1970-01-01T00:00Z.
        signs: For each sign that the source has a column of, shape (rows,), canonical units, NaN not measured.
        labs: The same for laboratory columns (names and units of `vitals.features.LABS`), in the source's precision.
        age: Shape (patients,), years, NaN unknown.
        sex: Shape (patients,), 0 female, 1 male, NaN unknown.
        devices: Names that `device` counts into.
        device: Shape (rows,), -1 where none was named.
        received_ns: Shape (rows,), -1 where unknown; None where the source does not say.
        row: Shape (rows,), row in the source, from 0.
        unknown: Columns of the source that were left alone.
        source: Where it came from, in words.
    """

    patients: tuple[str, ...]
    offsets: IntArray
    time_ns: IntArray
    signs: dict[Sign, FloatArray]
    labs: dict[str, LabArray]
    age: FloatArray
    sex: FloatArray
    devices: tuple[str, ...]
    device: IntArray
    received_ns: IntArray | None
    row: IntArray
    unknown: tuple[str, ...] = ()
    source: str = ""

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(self.time_ns)

    @property
    def readings(self) -> int:
        """How many readings it holds."""
        return sum(int(np.count_nonzero(~np.isnan(value))) for value in self.signs.values())

    @property
    def owner(self) -> IntArray:
        """Shape (rows,): which patient each row belongs to."""
        return np.repeat(np.arange(len(self.patients)), np.diff(self.offsets))

    def __iter__(self) -> Iterator[PatientRecord]:
        return (self._part(i) for i in range(len(self.patients)))

    def of(self, patient: str) -> PatientRecord:
        """One patient's part.

        Raises:
            KeyError: If the recording does not have the patient.
        """
        try:
            return self._part(self.patients.index(patient))
        except ValueError:
            raise KeyError(patient) from None

    def _part(self, i: int) -> PatientRecord:
        rows = slice(int(self.offsets[i]), int(self.offsets[i + 1]))
        return PatientRecord(
            self.patients[i],
            self.time_ns[rows],
            {sign: value[rows] for sign, value in self.signs.items()},
            {name: value[rows] for name, value in self.labs.items()},
            self.device[rows],
            None if self.received_ns is None else self.received_ns[rows],
            float(self.age[i]),
            float(self.sex[i]),
            self.row[rows],
        )

    def values(self) -> FloatArray:
        """Shape (rows, N_SIGNS): every sign in its column, NaN where not measured."""
        out = np.full((self.rows, N_SIGNS), np.nan)
        for sign, value in self.signs.items():
            out[:, sign] = value
        return out

    def cadence_ns(self) -> IntArray:
        """Median interval between two readings, for each patient and sign; -1 where there are not two.

        Example: readings at 0, 60, 120 and, after a gap, 600 s have intervals of 60, 60 and 480 s: a cadence of 60 s.
        Readings of one instant (two devices) count once; of an even number of intervals the shorter middle one counts.

        Returns:
            Shape (patients, N_SIGNS).
        """
        out = np.full((len(self.patients), N_SIGNS), -1, np.int64)
        owner = self.owner
        for sign, value in self.signs.items():
            rows = np.flatnonzero(~np.isnan(value))
            whose, gap = owner[rows], np.diff(self.time_ns[rows])
            count = (whose[1:] == whose[:-1]) & (gap > 0)
            whose, gap = whose[1:][count], gap[count]
            order = np.lexsort((gap, whose))
            who, first, n = np.unique(whose, return_index=True, return_counts=True)  # `whose` is sorted already
            out[who, sign] = gap[order][first + (n - 1) // 2]
        return out

    def select(
        self, patients: Collection[str] | None = None, from_ns: int | None = None, to_ns: int | None = None
    ) -> Recording:
        """A part of it; patients who keep no row are left out.

        Args:
            patients: Whom; None for everybody. The order stays the recording's.
            from_ns: First instant that counts.
            to_ns: First instant that does not count any more.
        """
        wanted = np.array([patients is None or p in patients for p in self.patients], bool)
        keep = np.repeat(wanted, np.diff(self.offsets))
        if from_ns is not None:
            keep &= self.time_ns >= from_ns
        if to_ns is not None:
            keep &= self.time_ns < to_ns
        n = np.bincount(self.owner[keep], minlength=len(self.patients))
        stay = np.flatnonzero(n)
        return replace(
            self,
            patients=tuple(self.patients[i] for i in stay),
            offsets=np.concatenate([[0], np.cumsum(n[stay])]),
            time_ns=self.time_ns[keep],
            signs={sign: value[keep] for sign, value in self.signs.items()},
            labs={name: value[keep] for name, value in self.labs.items()},
            age=self.age[stay],
            sex=self.sex[stay],
            device=self.device[keep],
            received_ns=None if self.received_ns is None else self.received_ns[keep],
            row=self.row[keep],
        )


def join(parts: Sequence[Recording], source: str = "") -> Recording:
    """Several recordings as one; a patient named in several has all of their rows.

    Args:
        parts: At least one.
        source: Where they came from, in words.

    Returns:
        The patients in order of appearance. `row` counts on from part to part.
    """
    names = list(dict.fromkeys(name for part in parts for name in part.patients))
    devices = list(dict.fromkeys(name for part in parts for name in part.devices))
    place = {name: i for i, name in enumerate(names)}
    owner = np.concatenate([np.array([place[p] for p in part.patients], np.int64)[part.owner] for part in parts])
    time_ns = np.concatenate([part.time_ns for part in parts])
    order = np.lexsort((time_ns, owner))
    device = {name: i for i, name in enumerate(devices)}
    wearing = [np.array([*(device[d] for d in part.devices), -1], np.int64)[part.device] for part in parts]
    before = np.cumsum([0, *(part.rows for part in parts[:-1])])
    received = [np.full(p.rows, -1, np.int64) if p.received_ns is None else p.received_ns for p in parts]
    age, sex = (np.full(len(names), np.nan) for _ in range(2))
    for part in reversed(parts):
        mine = [place[p] for p in part.patients]
        age[mine] = np.where(np.isnan(part.age), age[mine], part.age)
        sex[mine] = np.where(np.isnan(part.sex), sex[mine], part.sex)

    def column(values: list[FloatArray | LabArray | None]) -> FloatArray:
        filled = [np.full(p.rows, np.nan) if v is None else v for p, v in zip(parts, values, strict=True)]
        return np.concatenate(filled)[order]

    return Recording(
        patients=tuple(names),
        offsets=np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(names)))]),
        time_ns=time_ns[order],
        signs={s: column([p.signs.get(s) for p in parts]) for s in sorted({s for p in parts for s in p.signs})},
        labs={n: column([p.labs.get(n) for p in parts]) for n in dict.fromkeys(n for p in parts for n in p.labs)},
        age=age,
        sex=sex,
        devices=tuple(devices),
        device=np.concatenate(wearing)[order],
        received_ns=None if all(p.received_ns is None for p in parts) else np.concatenate(received)[order],
        row=np.concatenate([part.row + n for part, n in zip(parts, before, strict=True)])[order],
        unknown=tuple(dict.fromkeys(n for p in parts for n in p.unknown)),
        source=source or ", ".join(p.source for p in parts),
    )


def from_readings(
    patients: Sequence[str],
    devices: Sequence[str],
    patient: IntArray,
    device: IntArray,
    sign: IntArray | ByteArray,
    time_ns: IntArray,
    value: FloatArray,
    received_ns: IntArray | None = None,
) -> Recording:
    """Readings, one by one in any order, as a recording: a row for each patient, instant and device.

    Of two readings of one patient, instant, device and sign the first given stands, as in a store. A reading without a
    value (no contact) cannot be told in a recording from one that was not made.

    Args:
        patients: Names that `patient` counts into; those without a reading are left out.
        devices: Names that `device` counts into.
        patient: Shape (readings,).
        device: Shape (readings,), -1 where unknown.
        sign: Shape (readings,), `Sign` as a number.
        time_ns: Shape (readings,).
        value: Shape (readings,), canonical units.
        received_ns: Shape (readings,), -1 where unknown; of a row's readings the first received counts.

    Returns:
        The recording, without ages, sexes and laboratory values.
    """
    order = np.lexsort((device, time_ns, patient))
    who, when, on = patient[order], time_ns[order], device[order]
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(who) != 0) | (np.diff(when) != 0) | (np.diff(on) != 0)
    row, rows = np.cumsum(new) - 1, int(new.sum())
    signs = {Sign(s): np.full(rows, np.nan) for s in np.unique(sign)}
    for s, column in signs.items():
        mine = np.flatnonzero(sign[order] == s)[::-1]  # written backwards, so that the first of two stands
        column[row[mine]] = value[order][mine]
    received = None
    if received_ns is not None:
        late = np.iinfo(np.int64).max
        received = np.full(rows, late)
        np.minimum.at(received, row, np.where(received_ns[order] < 0, late, received_ns[order]))
        received[received == late] = -1
    present, n = np.unique(who[new], return_counts=True)
    nobody = np.full(len(present), np.nan)
    return Recording(
        patients=tuple(patients[int(i)] for i in present),
        offsets=np.concatenate([[0], np.cumsum(n)]),
        time_ns=when[new],
        signs=signs,
        labs={},
        age=nobody,
        sex=nobody.copy(),
        devices=tuple(devices),
        device=on[new],
        received_ns=received,
        row=np.arange(rows),
        source="readings",
    )
