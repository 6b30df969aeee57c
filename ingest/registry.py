"""What the registry said -> who wears what, and copies of each record for the ward that depends on it. Pure."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from vitals import log
from vitals.log import Binding, Enrolment, Limit, LogError
from vitals.topics import partition_of
from vitals.validate import Bindings

Said: TypeAlias = Binding | Enrolment | Limit


class Registry:
    """Bindings, enrolments and limits as last said.

    Attributes:
        bindings: Who wore what, for judging bundles.
    """

    def __init__(self, partitions: int) -> None:
        self.bindings = Bindings()
        self._partitions = partitions
        self._newest: dict[str, Binding] = {}

    def read(self, value: bytes | None) -> Said | None:
        """A record of the registry topic; None for one that takes its key back.

        Raises:
            LogError: If the bytes are none of the three kinds.
        """
        if value is None:
            return None
        record = log.decode(value)
        if not isinstance(record, Binding | Enrolment | Limit):
            raise LogError(f"a {type(record).__name__} has no place in the registry")
        return record

    def apply(self, said: Said) -> list[tuple[int, Said]]:
        """Take a record in.

        Returns:
            (partition, record) to be copied into the input topic. A device that moves to another patient ends its
            binding to the one before, in *that* patient's partition: the new record alone would never get there,
            and the first patient's ward would take the device for silent.
        """
        copies: list[tuple[int, Said]] = []
        if isinstance(said, Binding):
            copies += self._ended(said)
            self.bindings.apply(said)
        copies.append((partition_of(said.patient, self._partitions), said))
        return copies

    def _ended(self, said: Binding) -> list[tuple[int, Said]]:
        before = self._newest.get(said.device)
        if before is None or said.from_ns >= before.from_ns:
            self._newest[said.device] = said
        if before is None or before.patient == said.patient or said.from_ns < before.from_ns:
            return []
        if before.to_ns is not None and before.to_ns <= said.from_ns:
            return []
        ended = msgspec.structs.replace(before, to_ns=said.from_ns)
        return [(partition_of(before.patient, self._partitions), ended)]
