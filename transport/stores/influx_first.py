"""Of equal readings the first stands: InfluxDB would let the last one overwrite it, so only first ones are sent.

For every patient, device and sign the writer knows the newest time in the store. What is newer is new. What is not is
asked for: the store says which bundle (boot, sequence number) brought the reading that stands there. So a reading that
was sent before a crash is recognised as the same, and one that another bundle had brought counts as a duplicate, with
a memory of eight bytes for each series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from transport.stores.base import BlockRecord
from transport.stores.influx_http import InfluxHttp, quoted
from transport.stores.influx_lines import escaped
from vitals.measurements import VITALS
from vitals.reading import BoolArray, ByteArray, FloatArray, IntArray
from vitals.signs import N_SIGNS, Sign
from vitals.tables import Table

_NEVER: Final = np.iinfo(np.int64).min
SIGN_NAMES: Final = tuple(sign.column for sign in Sign)
_SIGN_OF: Final = {name: i for i, name in enumerate(SIGN_NAMES)}


@dataclass(frozen=True, slots=True)
class Sifted:
    """Readings of some blocks, as columns, and which of them are to be written.

    Attributes:
        pair: Shape (readings,), row of `Newest` for the patient and the device.
        sign: Shape (readings,).
        time_ns: Shape (readings,).
        value: Shape (readings,).
        quality: Shape (readings,).
        boot: Shape (readings,), of the bundle.
        seq: Shape (readings,), likewise.
        received_ns: Shape (readings,), likewise.
        fresh: Shape (readings,), true for what is not in the store and is the first of its equals.
        equal: Shape (bundles,), how many of a bundle's readings another bundle, or it itself, had brought before.
    """

    pair: IntArray
    sign: ByteArray
    time_ns: IntArray
    value: FloatArray
    quality: ByteArray
    boot: IntArray
    seq: IntArray
    received_ns: IntArray
    fresh: BoolArray
    equal: IntArray


class Newest:
    """The newest time in the store of each patient, device and sign.

    Attributes:
        heads: For each pair of a patient and a device how its lines begin, but for the sign.
    """

    def __init__(self) -> None:
        """Knows nothing: `load` it before it is asked."""
        self.heads: list[str] = []
        self._pairs = Table({"newest": (np.int64, (N_SIGNS,), _NEVER)})

    def load(self, http: InfluxHttp) -> None:
        """Ask the store."""
        (found,) = http.ask([f'SELECT last("quality") FROM {VITALS.source} GROUP BY "patient", "device", "sign"'])
        for rows in found:
            pair = self._pairs.row(_pair(rows.tags["patient"], rows.tags["device"]))
            sign = _SIGN_OF.get(rows.tags["sign"])
            if sign is not None:
                self._pairs["newest"][pair, sign] = rows.columns["time"][0]

    def names(self, pairs: IntArray) -> list[tuple[str, str]]:
        """Patient and device of some rows."""
        return [_split(self._pairs.names[pair]) for pair in pairs.tolist()]

    def note(self, sifted: Sifted) -> None:
        """These stand in the store now."""
        np.maximum.at(self._pairs["newest"], (sifted.pair, sifted.sign), sifted.time_ns)

    def sift(self, records: Sequence[BlockRecord], http: InfluxHttp) -> Sifted:
        """Tell first readings from equal ones.

        Raises:
            StoreUnavailable: If the store had to be asked and does not answer.
        """
        blocks = [record.block for record in records]
        pair_of = [self._pairs_of(record) for record in records]
        count = np.concatenate([block.offsets[1:] - block.offsets[:-1] for block in blocks])
        of = np.repeat(np.arange(len(count)), count)
        boot, seq = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("boot", "seq"))
        pair, sign, time_ns = (
            np.concatenate(pair_of)[of],
            np.concatenate([block.sign for block in blocks]),
            np.concatenate([block.time_ns for block in blocks]),
        )
        order = np.lexsort((time_ns, sign, pair))  # stable: the first of equals stays first
        place = np.stack([pair[order], sign[order].astype(np.int64), time_ns[order]])
        same = np.zeros(len(order), bool)
        same[1:] = (place[:, 1:] == place[:, :-1]).all(axis=0)
        head = order[np.flatnonzero(~same)][np.cumsum(~same) - 1] if len(order) else order
        owner = np.stack([boot[of[head]], seq[of[head]]])
        stored = self._ask_owners(place, owner, http)
        mine = (owner[0] == boot[of[order]]) & (owner[1] == seq[of[order]])
        again = same.copy()
        again[1:] &= of[order][1:] == of[order][:-1]  # the same reading twice in one bundle
        fresh = np.zeros(len(order), bool)
        fresh[order] = ~same & ~stored
        return Sifted(
            pair=pair,
            sign=sign,
            time_ns=time_ns,
            value=np.concatenate([block.value for block in blocks]),
            quality=np.concatenate([block.quality for block in blocks]),
            boot=boot[of],
            seq=seq[of],
            received_ns=np.concatenate([block.received_ns for block in blocks])[of],
            fresh=fresh,
            equal=np.bincount(of[order][~mine | again], minlength=len(count)),
        )

    def _pairs_of(self, record: BlockRecord) -> IntArray:
        """Row of the patient and device of each bundle."""
        block = record.block
        if not block.bundles:
            return np.zeros(0, np.int64)
        code, index = np.unique(block.patient * len(block.devices) + block.device, return_inverse=True)
        patient, device = np.divmod(code, len(block.devices))
        names = zip(patient.tolist(), device.tolist(), strict=True)
        rows = self._pairs.rows([_pair(block.patients[p], block.devices[d]) for p, d in names])
        for pair in self._pairs.names[len(self.heads) :]:
            patient, _, device = pair.partition(" ")
            self.heads.append(f"{VITALS.name},device={escaped(device)},patient={escaped(patient)}")
        return rows[index]

    def _ask_owners(self, place: IntArray, owner: IntArray, http: InfluxHttp) -> BoolArray:
        """Which of these stand in the store already; their owners are put into `owner`.

        Args:
            place: Shape (3, n): pair, sign, time; sorted.
            owner: Shape (2, n): boot and sequence number of the bundle that brought each first; changed.
            http: The store.

        Returns:
            Shape (n,).
        """
        pair, sign, time_ns = place
        stored = np.zeros(len(pair), bool)
        doubtful = np.flatnonzero(time_ns <= self._pairs["newest"][pair, sign]) if len(pair) else stored
        if not len(doubtful):
            return stored
        pairs, starts = np.unique(pair[doubtful], return_index=True)
        questions = []
        for (patient, device), times in zip(self.names(pairs), np.split(time_ns[doubtful], starts[1:]), strict=True):
            questions.append(
                f'SELECT "boot", "seq" FROM {VITALS.source} WHERE "patient" = {quoted(patient)} '
                f'AND "device" = {quoted(device)} AND time >= {times.min()} AND time <= {times.max()} GROUP BY "sign"'
            )
        known: dict[tuple[int, int, int], tuple[int, int]] = {}
        for asked, found in zip(pairs.tolist(), http.ask(questions), strict=True):
            for rows in found:
                told = rows.columns
                at = _SIGN_OF.get(rows.tags["sign"], -1)
                for t, boot, seq in zip(told["time"], told["boot"], told["seq"], strict=True):
                    known[asked, at, t] = boot, seq
        for i in doubtful.tolist():
            found_owner = known.get((int(pair[i]), int(sign[i]), int(time_ns[i])))
            if found_owner is not None:
                owner[:, i] = found_owner
                stored[i] = True
        return stored


def _pair(patient: str, device: str) -> str:
    return f"{patient} {device}"


def _split(pair: str) -> tuple[str, str]:
    patient, _, device = pair.partition(" ")
    return patient, device
