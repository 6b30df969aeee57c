"""What the pager says to the page, and what the page asks of it: duty board, messages for one person, answers.

The pager decides; here its newest words are held and its answers are waited for. A board that has not been told for a
while is shown as old, for who had the pager an hour ago is nobody's business to rely on.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec

from dashboards.console.accounts import Role
from vitals.answers import Ask, Confirm, Shown, TestMe, Told
from vitals.duty import Board
from vitals.hops import Stamp
from vitals.log import Command

Json: TypeAlias = dict[str, Any]
Said: TypeAlias = Ask | Confirm | TestMe | Command
Say: TypeAlias = Callable[[Said], Awaitable[None]]

_NOTICES_KEPT: Final = 30  # of each person
_HOPS: Final = {"queued": Stamp.QUEUED, "sent": Stamp.SENT, "answered": Stamp.ANSWERED}
_WORDS: Final = {
    "forged": "This link is not one of ours.",
    "old": "This link has run out. Answer on the console.",
    "foreign": "This is for somebody else.",
    "used": "This link was used before. Look at the console for how things stand.",
}


class NoAnswer(Exception):  # noqa: N818  # an expected outcome with a name of its own
    """The pager did not answer; the message is for people, the status for their browser."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class People:
    """Board, notices, and asks that wait for their answer.

    Args:
        say: Writes to the pager; returns when it is kept. None: this ward has no pager.
        timeout_s: How long an ask waits for its answer.
    """

    say: Say | None
    timeout_s: float
    board: Board | None = None
    heard_s: float = 0.0
    _notices: dict[str, dict[str, Shown]] = field(default_factory=dict)
    _waiting: dict[str, asyncio.Future[Told]] = field(default_factory=dict)

    def on_board(self, board: Board, now_s: float) -> None:
        """The pager says how duty stands."""
        self.board, self.heard_s = board, now_s

    def on_shown(self, shown: Shown) -> bool:
        """A message for one person; False where it was shown before."""
        held = self._notices.setdefault(shown.person, {})
        if shown.message_id in held:
            return False
        held[shown.message_id] = shown
        for old in list(held)[:-_NOTICES_KEPT]:
            del held[old]
        return True

    def on_told(self, told: Told) -> None:
        """The pager answered; whoever waits for it is told, and it is the same to everybody else."""
        waiting = self._waiting.pop(told.ask_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(told)

    def answered(self, message_id: str) -> None:
        """A message needs no answer any more."""
        for held in self._notices.values():
            held.pop(message_id, None)

    async def ask(self, said: Ask | Confirm | TestMe) -> Told:
        """Ask the pager and wait for what comes of it.

        Raises:
            NoAnswer: Where there is no pager, it could not be asked, or it does not answer in time.
        """
        if self.say is None:
            raise NoAnswer(503, "No pager runs on this ward: nobody is called by it, and links do nothing.")
        waiting: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting[said.ask_id] = waiting
        try:
            async with asyncio.timeout(self.timeout_s):
                await self.say(said)
                return await waiting
        except TimeoutError:
            text = "The pager has not answered. Nothing is certain; try again, or answer on the patient's page."
            raise NoAnswer(504, text) from None
        except Exception as error:
            # Whatever the client of the log raises, the person must learn that it failed, and nothing of its text.
            raise NoAnswer(503, "The pager could not be asked. Nothing was done.") from error
        finally:
            self._waiting.pop(said.ask_id, None)

    def notices(self, person: str) -> list[Json]:
        """Messages for somebody, newest first."""
        return [notice(shown) for shown in reversed(list(self._notices.get(person, {}).values()))]

    def shown(self, person: str, role: Role, now_s: float) -> Json:
        """The board as somebody may see it: receipts of others are for those who answer for the shift."""
        board = self.board
        if board is None:
            return {"told": False, "quiet_s": 0.0}
        everybody = role in (Role.LEAD, Role.ENGINEER)
        mine = tuple(m for m in board.messages if everybody or m.person == person)
        told: Json = in_ms(msgspec.to_builtins(msgspec.structs.replace(board, messages=mine)))
        return told | {"told": True, "quiet_s": round(now_s - self.heard_s, 1)}

    def stamps(self, alarm_id: str) -> dict[str, int]:
        """When an alarm was queued for people, first sent and first answered, as far as the board tells."""
        mine = [m for m in self.board.messages if alarm_id in m.alarms] if self.board else []
        told: dict[str, int] = {}
        for receipt in (r for m in mine for r in m.receipts if r.what in _HOPS):
            stamp = _HOPS[receipt.what]
            told[stamp] = min(receipt.at_ns, told.get(stamp, receipt.at_ns))
        return told

    def holders(self) -> list[Json]:
        """Who has the pager, for the bar of every page."""
        return [] if self.board is None else [msgspec.to_builtins(holder) for holder in self.board.holders]


def fresh_id() -> str:
    """An id for an ask."""
    return secrets.token_hex(12)


def refused_words(told: Told) -> str:
    """Why a link does nothing, in words; "" where it does."""
    return _WORDS.get(told.refused, told.title) if told.refused else ""


def notice(shown: Shown) -> Json:
    """A message for one person, as their page receives it."""
    told: Json = in_ms(msgspec.to_builtins(shown))
    told.pop("type", None)
    return told


def in_ms(told: Any) -> Any:
    """The same with milliseconds for nanoseconds: ``from_ns`` becomes ``from``."""
    if isinstance(told, dict):
        return {_named(key): _milliseconds(key, in_ms(value)) for key, value in told.items()}
    if isinstance(told, list | tuple):
        return [in_ms(one) for one in told]
    return told


def _named(key: str) -> str:
    return key.removesuffix("_ns")


def _milliseconds(key: str, value: Any) -> Any:
    return value // 1_000_000 if key.endswith("_ns") and isinstance(value, int) else value
