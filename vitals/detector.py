"""The protocol a detector keeps, learned or not.

A detector looks at closed frames of many patients at once and gives each a score in 0..1; higher is worse. It keeps
no state of its own: what it must remember about a patient lies in arrays with a leading axis of patients, which the
ward owns, grows and snapshots. So a detector is a function, and cutting a stream anywhere changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy.typing as npt

from vitals.events import Why
from vitals.reading import BoolArray, FloatArray, IntArray

State: TypeAlias = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class FrameInput:
    """What a detector sees of one instant: a row for each patient whose frame closed.

    Attributes:
        end_ns: First instant after the frame, the same for all rows.
        value: Shape (n, N_SIGNS), canonical units; the newest valid value, NaN where none is valid.
        measured: Shape (n, N_SIGNS), true where it was measured within this frame. Never inferred from NaN.
        age_ns: Shape (n, N_SIGNS), age of the newest usable reading at `end_ns`; -1 where there never was one.
        age_years: Shape (n,), NaN unknown.
        sex: Shape (n,), 0 female, 1 male, NaN unknown.
    """

    end_ns: int
    value: FloatArray
    measured: BoolArray
    age_ns: IntArray
    age_years: FloatArray
    sex: FloatArray


@dataclass(frozen=True, slots=True)
class Scored:
    """What a detector says: a row for each row of its input.

    Attributes:
        score: Shape (n,), 0..1, higher is worse; NaN: not assessable (warm-up, too little fresh, unlike the training).
        part: Shape (n,), which of the detector's `parts` spoke loudest; -1 where none.
        sign: Shape (n,), the `Sign` it spoke about; -1 where it is about no single one.
        failed: Shape (n,), where its arithmetic broke down and what it says means nothing; None: nowhere. The ward
            begins these patients' state anew.
    """

    score: FloatArray
    part: IntArray
    sign: IntArray
    failed: BoolArray | None = None


class Detector(Protocol):
    """Looks at closed frames.

    Attributes:
        name: Stable, lower case: ``ewma``, ``anomaly``, ``sepsis``.
        version: Of its numbers; goes into every event that rests on it.
        grid_ns: Length of the frames it steps on: a minute or an hour.
        warm_up: Frames at the beginning of a patient's stay that get no score: theirs is NaN, not zero. With 1 the
            second frame may have one.
        parts: What can speak inside it.
        threshold: Score at or above which its rule holds.
    """

    @property
    def name(self) -> str:
        """Stable and lower case."""
        ...

    @property
    def version(self) -> str:
        """Of its numbers."""
        ...

    @property
    def grid_ns(self) -> int:
        """Frame length it steps on."""
        ...

    @property
    def warm_up(self) -> int:
        """Frames before the first score."""
        ...

    @property
    def parts(self) -> tuple[str, ...]:
        """What can speak inside it."""
        ...

    @property
    def threshold(self) -> float:
        """Score at which its rule holds."""
        ...

    def start(self, rows: int) -> State:
        """Fresh state: each array has a leading axis of `rows`, one for each patient never seen yet."""
        ...

    def step(self, frames: FrameInput, state: State) -> tuple[Scored, State]:
        """Score one frame of some patients.

        Args:
            frames: n rows of input.
            state: Of the same n patients, as `start` or an earlier step made it; left untouched.

        Returns:
            n rows, and the state one frame on: the same names, shapes and types. An array in which nothing changed may
            be the one that was given. The answer for a patient depends on that patient's frames alone, in order.
        """
        ...


@runtime_checkable
class Explains(Protocol):
    """A detector that can say why. Asked when an alarm is raised or gets worse, or by a page; never in every frame."""

    def explain(self, frames: FrameInput, before: State, after: State) -> list[Why]:
        """Explain the newest frame of some patients, in one batch.

        Args:
            frames: n rows, as they were scored.
            before: State of these n patients before the frame; left untouched.
            after: And after it; left untouched.

        Returns:
            One for each row, without `published` (the ward's to add).
        """
        ...


def pick(frames: FrameInput, rows: IntArray) -> FrameInput:
    """Some rows of a frame."""
    return FrameInput(
        end_ns=frames.end_ns,
        value=frames.value[rows],
        measured=frames.measured[rows],
        age_ns=frames.age_ns[rows],
        age_years=frames.age_years[rows],
        sex=frames.sex[rows],
    )
