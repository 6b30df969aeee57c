"""Asking the detectors about a closed frame, and what happens when one of them does not answer.

A frame closes, published scores are judged at once; the detectors are asked `detectors_after_ns` later, in ward time.
In between, whoever hosts the ward may already compute (`Batch.run`, on copies, in a thread of its own), and may write
an `Outage` into the log when a detector takes too long or falls over:

```
  ward time    end + lateness                      end + lateness + detectors_after
               | frame closes: NEWS2, sensors      | detectors are judged, the frame goes out
  host         |-- computes ...... done            | takes the answer
               |-- computes .................. X   | "late" stands in the log: not asked, the frame is marked
```

Whether a detector was late is thereby a record of the log like any other: the ward reads no clock, and the same log
gives the same events however quick the machine is that replays it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitals.detector import Detector, FrameInput, Scored, State
from vitals.log import Outage
from vitals.reading import BoolArray, IntArray

ANSWERED: Final = -1


class Absence(enum.IntEnum):
    """Why a frame has no score of a detector."""

    GIVEN = 0  # it has one
    NOT_DUE = 1  # no frame of its grid ends here
    NOT_ASSESSABLE = 2  # warm-up, too little fresh, unlike what it learned from
    LATE = 3  # it did not answer in time
    FAILED = 4  # it fell over, or gave what is no score


class Answer(NamedTuple):
    """What came of a batch.

    Attributes:
        scored: n rows; NaN where it failed.
        after: The state of these n patients after the frame; as before where it failed.
        failed: Shape (n,), where it fell over.
    """

    scored: Scored
    after: State
    failed: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One detector's part of a closed frame: all it needs, in copies, so that any thread may run it.

    Attributes:
        detector: Who is asked.
        frames: n rows.
        rows: Shape (n,), the patients' rows in the ward.
        state: Of these n patients.
    """

    detector: Detector
    frames: FrameInput
    rows: IntArray
    state: State

    def run(self) -> Answer:
        """Ask. A detector that raises, or answers in another shape, has failed for all of its rows.

        Raises:
            MemoryError: It says nothing about the detector: whoever hosts the ward must not go on.
        """
        n = len(self.rows)
        try:
            scored, after = self.detector.step(self.frames, self.state)
            whole = _shapes(scored, n) and _alike(self.state, after)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  # it is a function of its inputs: the same log fails in the same place
            whole = False
        if not whole:
            return self.failure()
        failed = _nonsense(scored, len(self.detector.parts))
        if scored.failed is not None:
            failed |= scored.failed
        if not failed.any():
            return Answer(scored, after, failed)
        fresh = self.detector.start(1)  # what made it fall over may lie in the state: these patients begin anew
        after = {name: np.where(_over(failed, array), fresh[name], array) for name, array in after.items()}
        kept = Scored(
            score=np.where(failed, np.nan, scored.score),
            part=np.where(failed, -1, scored.part),
            sign=np.where(failed, -1, scored.sign),
        )
        return Answer(kept, after, failed)

    def failure(self) -> Answer:
        """The answer of a detector that gave none."""
        n = len(self.rows)
        nothing = np.full(n, -1, dtype=np.int64)
        return Answer(Scored(np.full(n, np.nan), nothing, nothing), self.state, np.ones(n, dtype=bool))


def _shapes(scored: Scored, n: int) -> bool:
    return all(np.shape(array) == (n,) for array in (scored.score, scored.part, scored.sign))


def _alike(before: State, after: State) -> bool:
    """Whether a state is one of the same detector and patients."""
    return before.keys() == after.keys() and all(
        (array.shape, array.dtype) == (after[name].shape, after[name].dtype) for name, array in before.items()
    )


def _over(rows: BoolArray, array: npt.NDArray[Any]) -> BoolArray:
    """Rows as a mask that broadcasts over all of an array's axes."""
    return rows.reshape(-1, *[1] * (array.ndim - 1))


def _nonsense(scored: Scored, parts: int) -> BoolArray:
    """Where an answer contradicts the protocol: outside 0..1, or a part that speaks without a score."""
    absent = np.isnan(scored.score)
    outside = ~absent & ~((scored.score >= 0) & (scored.score <= 1))
    found: BoolArray = outside | (absent & (scored.part >= 0)) | (scored.part >= parts)
    return found


class Service:
    """Which detectors are asked, and since when each patient has gone without an answer.

    Attributes:
        since_ns: Shape (rows, detectors): end of the first frame without an answer, -1 (`ANSWERED`) where it answered.
    """

    def __init__(self, detectors: Sequence[Detector]) -> None:
        """All are asked."""
        self._detectors = tuple(detectors)
        self._out = [""] * len(self._detectors)  # "late" or "failed" while withdrawn
        self._frames_out = [0] * len(self._detectors)
        self.since_ns: IntArray = np.full((0, len(self._detectors)), ANSWERED, dtype=np.int64)

    def reach(self, rows: int) -> None:
        """Make room for so many patients."""
        have, width = self.since_ns.shape
        if rows > have:
            more = np.full((max(16, 2 * rows) - have, width), ANSWERED, dtype=np.int64)
            self.since_ns = np.concatenate((self.since_ns, more))

    def take(self, said: Outage) -> list[int]:
        """A host's word about a detector; about one that is not here, or of another version, it changes nothing.

        Returns:
            The detectors whose state is too old to go on with: out for longer than their warm-up.
        """
        stale = []
        for index, detector in enumerate(self._detectors):
            if (detector.name, detector.version) != (said.detector, said.version):
                continue
            if said.state != "over":
                self._out[index] = said.state
            elif self._out[index]:
                if self._frames_out[index] > detector.warm_up:
                    stale.append(index)
                self._out[index], self._frames_out[index] = "", 0
                self.since_ns[:, index] = ANSWERED
        return stale

    def out(self, index: int) -> Absence | None:
        """Why a detector is not asked; None where it is."""
        return {"": None, "late": Absence.LATE, "failed": Absence.FAILED}[self._out[index]]

    def missed(self, index: int, rows: IntArray, end_ns: int) -> None:
        """A frame of a detector that is not asked has gone by."""
        self._frames_out[index] += 1
        self._without(index, rows, end_ns)

    def answered(self, index: int, rows: IntArray, failed: BoolArray, end_ns: int) -> None:
        """A detector was asked about some patients, and failed for some of them."""
        self.since_ns[rows[~failed], index] = ANSWERED
        self._without(index, rows[failed], end_ns)

    def _without(self, index: int, rows: IntArray, end_ns: int) -> None:
        before = self.since_ns[rows, index]
        self.since_ns[rows, index] = np.where(before == ANSWERED, end_ns, before)

    def state(self) -> dict[str, Any]:
        """Everything it holds, for a snapshot."""
        return {"out": self._out, "frames_out": self._frames_out, "since": self.since_ns}

    def load(self, state: dict[str, Any]) -> None:
        """Set down what `state` gave."""
        self._out, self._frames_out = list(state["out"]), list(state["frames_out"])
        self.since_ns = state["since"]
