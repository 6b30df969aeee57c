"""The ledger: for every device, in readings, where everything went that it ever put into a bundle.

    sent = stored + duplicate + refused + quarantined + queued + remainder

A remainder of zero, and no bundle missing, is the proof that nothing was lost or counted twice. The ledger learns from
*facts*: what Kafka records of blocks and of the quarantine say of bundles. A record's place in Kafka (its `Origin`)
is its identity: the same record read again changes nothing, while the same bundle in another record is a repeated
delivery. Facts may come in any order.

What a bundle we never saw held is known from its neighbours, because each names the readings before it::

    seq       0    1    2    3    4        bundles 0, 1 and 4 were seen: 2 and 3 are missing,
    n_before  0    5    ?    ?    17       and 17 - (5 + 4) = 8 readings with them
    n         5    4    ?    ?    3
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from vitals.ledger_spans import Numbers, Spans
from vitals.reading import Block, IntArray

VERSION: Final = 1


class LedgerError(ValueError):
    """Bytes that are no ledger, or one of another version."""


class Origin(msgspec.Struct, frozen=True):
    """Where in Kafka a record stands; its identity.

    Attributes:
        topic: Its topic.
        partition: Its partition.
        offset: Its offset.
    """

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What one block says of its bundles: a row for each delivered bundle.

    Attributes:
        devices: Names that `device` counts into.
        device: Shape (bundles,).
        boot: Shape (bundles,).
        seq: Shape (bundles,).
        n: Shape (bundles,), readings the device put in.
        n_before: Shape (bundles,), readings in all its earlier bundles of the boot.
        refused: Shape (bundles,), readings of `n` that stand in quarantine.
        accepted: Shape (bundles,), readings of `n` that stand in the block.
        equal: Shape (bundles,), readings of `accepted` that another bundle of the device had already brought.
    """

    devices: list[str]
    device: IntArray
    boot: IntArray
    seq: IntArray
    n: IntArray
    n_before: IntArray
    refused: IntArray
    accepted: IntArray
    equal: IntArray

    @classmethod
    def of(cls, block: Block, equal: IntArray) -> Facts:
        """Of a block, and what the store says of its readings."""
        accepted = block.offsets[1:] - block.offsets[:-1]
        return cls(
            block.devices, block.device, block.boot, block.seq, block.n, block.n_before, block.refused, accepted, equal
        )


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What one record of the quarantine says of a message that was refused whole.

    Attributes:
        device: Whose topic it came by.
        boot: Of the bundle; None where unreadable.
        seq: Likewise.
        n: Readings in it; None where unreadable.
        n_before: Readings before it; None where unreadable.
    """

    device: str
    boot: int | None = None
    seq: int | None = None
    n: int | None = None
    n_before: int | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What a device says of itself. The newest counts; a device that says nothing has an empty one.

    Attributes:
        device: Who.
        at_ns: When.
        sent: Readings it ever put into bundles, over all boots; None where it does not tell.
        boots: For boots of which it tells, (boot, bundles, readings) that it made.
        queued: Bundles it still keeps, as (boot, seq, readings). One that has arrived, and only its acknowledgement
            has not, is not counted as queued.
    """

    device: str
    at_ns: int
    sent: int | None = None
    boots: tuple[tuple[int, int, int], ...] = ()
    queued: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One device's line of the ledger, in readings.

    Attributes:
        device: Who.
        sent: In distinct bundles, as far as the device has told us of them, and in repeated deliveries.
        stored: In the store, once each; late ones too.
        duplicate: Of repeated deliveries, and those that another bundle had already brought.
        refused: Refused one by one from bundles that were taken.
        quarantined: In messages that were refused whole.
        queued: Still with the device.
        remainder: What none of these explains. Below zero where the device counts wrongly.
        missing: Bundles that we know must exist, and neither saw nor find in the device's queue.
        first_missing: (boot, seq) of the first of them.
        unreadable: Messages in quarantine that do not even say which bundle they were; one of the missing may be.
    """

    device: str
    sent: int
    stored: int
    duplicate: int
    refused: int
    quarantined: int
    queued: int
    remainder: int
    missing: int = 0
    first_missing: tuple[int, int] | None = None
    unreadable: int = 0

    @property
    def closed(self) -> bool:
        """Whether everything is accounted for."""
        return self.remainder == 0 and self.missing == 0


class _Boot(msgspec.Struct):
    """One boot of one device."""

    spans: Spans = msgspec.field(default_factory=Spans)  # bundles whose place is known
    whole: dict[int, int | None] = msgspec.field(default_factory=dict)  # quarantined whole: seq -> n
    stored: int = 0
    equal: int = 0
    refused: int = 0
    repeated: int = 0

    def block(self, seq: int, n: int, n_before: int, refused: int, accepted: int, equal: int) -> None:
        """A delivery that was taken. It stands before one in quarantine (a bundle replayed once it was bound)."""
        if seq in self.whole:
            self.repeated += self.whole.pop(seq) or 0
            self.spans.add(seq, n_before, n)
        elif not self.spans.add(seq, n_before, n):
            self.repeated += n
            return
        self.stored += accepted - equal
        self.equal += equal
        self.refused += refused

    def refuse(self, seq: int, n: int | None, n_before: int | None) -> None:
        """A delivery that was refused whole."""
        if seq in self.whole and self.whole[seq] is None:
            self.whole[seq] = n
        elif seq in self.whole or seq in self.spans:
            self.repeated += n or 0
            return
        else:
            self.whole[seq] = n
        if n is not None and n_before is not None:
            self.spans.add(seq, n_before, n)


class _State(msgspec.Struct):
    """All of a ledger, as it travels."""

    version: int = VERSION
    boots: dict[str, dict[int, _Boot]] = msgspec.field(default_factory=dict)
    records: dict[str, Numbers] = msgspec.field(default_factory=dict)
    unreadable: dict[str, int] = msgspec.field(default_factory=dict)
    accounts: dict[str, Account] = msgspec.field(default_factory=dict)


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[_State] = msgspec.msgpack.Decoder(_State)


class Ledger:
    """Adds up facts. Its memory grows with devices, boots, losses and quarantined bundles, not with readings."""

    def __init__(self) -> None:
        self._state = _State()

    def to_bytes(self) -> bytes:
        """All of it; the same facts in the same order give the same bytes."""
        return _encoder.encode(self._state)

    @classmethod
    def from_bytes(cls, data: bytes) -> Ledger:
        """Read what `to_bytes` wrote.

        Raises:
            LedgerError: If the bytes are not that.
        """
        ledger = cls()
        try:
            ledger._state = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise LedgerError(f"not a ledger: {error}") from error
        if ledger._state.version != VERSION:
            raise LedgerError(f"ledger version is {ledger._state.version}, this reader knows {VERSION}")
        return ledger

    def knows(self, origin: Origin) -> bool:
        """Whether this record was taken in, or settled."""
        return origin.offset in self._records(origin)

    def add_block(self, origin: Origin, facts: Facts) -> bool:
        """Take in what a block says.

        Returns:
            False where this record was taken in before, and nothing changed.
        """
        if not self._first(origin):
            return False
        columns = (facts.boot, facts.seq, facts.n, facts.n_before, facts.refused, facts.accepted, facts.equal)
        rows = zip(facts.device.tolist(), *(column.tolist() for column in columns), strict=True)
        for device, boot, seq, n, n_before, refused, accepted, equal in rows:
            self._boot(facts.devices[device], boot).block(seq, n, n_before, refused, accepted, equal)
        return True

    def add_refusal(self, origin: Origin, refusal: Refusal) -> bool:
        """Take in what a record of the quarantine says of a message that was refused whole.

        Returns:
            False where this record was taken in before, and nothing changed.
        """
        if not self._first(origin):
            return False
        if refusal.boot is None or refusal.seq is None:
            self._state.unreadable[refusal.device] = self._state.unreadable.get(refusal.device, 0) + 1
        else:
            self._boot(refusal.device, refusal.boot).refuse(refusal.seq, refusal.n, refusal.n_before)
        return True

    def settle(self, origin: Origin) -> None:
        """Everything of this partition before this offset has been taken in, or says nothing.

        Not needed for the sums: it lets the ledger forget which of the earlier records it saw.
        """
        self._records(origin).settle(origin.offset)

    def account(self, account: Account) -> None:
        """Take in what a device says of itself; an older account than the one we have changes nothing."""
        known = self._state.accounts.get(account.device)
        if known is None or account.at_ns >= known.at_ns:
            self._state.accounts[account.device] = account

    def rows(self) -> list[Row]:
        """A line for each device that was ever heard of, by name."""
        names = {*self._state.boots, *self._state.unreadable, *self._state.accounts}
        return [self._row(device) for device in sorted(names)]

    def _records(self, origin: Origin) -> Numbers:
        return self._state.records.setdefault(f"{origin.topic}:{origin.partition}", Numbers())

    def _first(self, origin: Origin) -> bool:
        return self._records(origin).add(origin.offset)

    def _boot(self, device: str, boot: int) -> _Boot:
        boots = self._state.boots.get(device)
        if boots is None:
            boots = self._state.boots[device] = {}
        known = boots.get(boot)
        if known is None:
            known = boots[boot] = _Boot()
        return known

    def _row(self, device: str) -> Row:
        account = self._state.accounts.get(device, Account(device=device, at_ns=0))
        boots = self._state.boots.get(device, {})
        told = {boot: (bundles, readings) for boot, bundles, readings in account.boots}
        numbers = sorted({*boots, *told, *(boot for boot, _, _ in account.queued)})
        lines = []
        for boot in numbers:
            waits = {seq: n for b, seq, n in account.queued if b == boot}
            lines.append(_Line.of(boot, boots.get(boot, _Boot()), waits, told.get(boot)))
        repeated = sum(boot.repeated for boot in boots.values())
        sent = max(sum(line.sent for line in lines), account.sent or 0) + repeated
        stored = sum(boot.stored for boot in boots.values())
        duplicate = repeated + sum(boot.equal for boot in boots.values())
        refused = sum(boot.refused for boot in boots.values())
        quarantined, queued = sum(line.quarantined for line in lines), sum(line.queued for line in lines)
        return Row(
            device,
            sent,
            stored,
            duplicate,
            refused,
            quarantined,
            queued,
            remainder=sent - stored - duplicate - refused - quarantined - queued,
            missing=sum(line.missing for line in lines),
            first_missing=next(((ln.boot, ln.first) for ln in lines if ln.first is not None), None),
            unreadable=self._state.unreadable.get(device, 0),
        )


@dataclass(slots=True)
class _Line:
    """One boot's part of a row that needs a walk over its gaps."""

    boot: int
    sent: int = 0
    quarantined: int = 0
    queued: int = 0
    missing: int = 0
    first: int | None = None

    @classmethod
    def of(cls, boot: int, seen: _Boot, waits: dict[int, int], told: tuple[int, int] | None) -> _Line:
        """Walk over the gaps between the bundles whose place is known, and the end behind the last of them."""
        line = cls(boot)
        waits = {seq: n for seq, n in waits.items() if seq not in seen.spans and seq not in seen.whole}
        line.queued = sum(waits.values())
        line.quarantined = sum(n for n in seen.whole.values() if n is not None)
        end, before = 0, 0  # the first number, and the readings, that are not accounted for yet
        for first, last, begins, ends in seen.spans:
            line._gap(end, first, begins - before, seen, waits)
            end, before = last + 1, ends
        tail = {**{s: n for s, n in seen.whole.items() if s >= end}, **{s: n for s, n in waits.items() if s >= end}}
        bundles, readings = told or (0, 0)
        known = before + sum(n for n in tail.values() if n is not None)
        line.sent = max(known, readings)
        line._gap(end, max([bundles, *(seq + 1 for seq in tail)]), line.sent - before, seen, waits)
        return line

    def _gap(self, first: int, end: int, readings: int, seen: _Boot, waits: dict[int, int]) -> None:
        """Say what is known of the bundles first..end - 1, which hold so many readings together."""
        if first >= end:
            return
        inside = {seq: n for seq, n in _within(seen.whole, first, end) if seq not in waits}
        kept = dict(_within(waits, first, end))
        missing = end - first - len(inside) - len(kept)
        if missing:
            self.missing += missing
            if self.first is None:
                self.first = next(seq for seq in range(first, end) if seq not in inside and seq not in kept)
        elif None in inside.values():
            # Nobody could read how many readings these messages held; here their neighbours tell.
            others = sum(n for n in (*inside.values(), *kept.values()) if n is not None)
            self.quarantined += max(readings - others, 0)


def _within(numbered: dict[int, int | None] | dict[int, int], first: int, end: int) -> Iterator[tuple[int, int | None]]:
    """The entries whose number is first..end - 1."""
    few: Iterable[int] = range(first, end) if end - first < len(numbered) else sorted(numbered)
    return ((seq, numbered[seq]) for seq in few if first <= seq < end and seq in numbered)
