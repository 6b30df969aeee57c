"""Which parts do not work, from what they say of themselves and from their silence.

Silence is judged by the wall: whoever looks at the page lives in it, however fast ward time runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from vitals.signs import MINUTE_NS, SECOND_NS

Status: TypeAlias = Literal["ok", "slow", "down"]

# Of two frames of a minute the second is due, and readings may be ten seconds late.
_FRAME_DUE_NS: Final = 2 * MINUTE_NS + 10 * SECOND_NS
_HASTE_S: Final = 4.0  # of the wall: at a high speed a breath of the machine is minutes of ward time


@dataclass(slots=True)
class _Part:
    status: str
    text: str
    since_ns: int
    heard_s: float


class Health:
    """The parts of the stack as they last spoke.

    Args:
        tick_silence_s: Seconds of the wall without a tick before the page says so.
        part_silence_s: Seconds of the wall without a word of a part that has spoken before.
        started_s: When the console started, by the same clock as the times below.

    Attributes:
        audit_head: Hash of the newest line of the audit's chain, as the pager says; "" before it did.
        test: How the test patient's newest alarm fared, hop by hop; None before it ran.
    """

    def __init__(self, tick_silence_s: float, part_silence_s: float, started_s: float) -> None:
        self._tick_silence_s = tick_silence_s
        self._part_silence_s = part_silence_s
        self._tick_s = started_s
        self._tick_ns: int | None = None
        self._judged_ns = 0
        self._parts: dict[str, _Part] = {}
        self.audit_head = ""
        self.test: dict[str, Any] | None = None

    def on_frames(self, end_ns: int) -> None:
        """The ward has judged up to here."""
        self._judged_ns = max(self._judged_ns, end_ns)

    def on_tick(self, now_ns: int, now_s: float) -> None:
        """Ward time went on."""
        if self._tick_ns is None or now_ns > self._tick_ns:
            self._tick_ns, self._tick_s = now_ns, now_s

    def on_health(self, told: Mapping[str, Any], now_s: float, age_s: float = 0.0) -> bool:
        """A part speaks: ``{"part", "status", "text", "at_ns"}``, and ``tick_ns`` where it has seen a tick.

        Args:
            told: What it says.
            now_s: Now.
            age_s: How long ago it said so: words read back from the log are no sign of life.

        Returns:
            Whether that changes what the page should say. What is no such message is left alone.
        """
        tick = told.get("tick_ns")
        if isinstance(tick, int):
            self.on_tick(tick, now_s)
        if told.get("part") == "pager":
            self._pager(told)
        name, status, at_ns = told.get("part"), told.get("status"), told.get("at_ns")
        if not isinstance(name, str) or status not in ("ok", "slow", "down") or not isinstance(at_ns, int):
            return False
        before, text = self._parts.get(name), str(told.get("text", ""))
        since_ns = before.since_ns if before and before.status == status else at_ns
        self._parts[name] = _Part(str(status), text, since_ns, now_s - max(0.0, age_s))
        return before is None or (before.status, before.text) != (status, text)

    def _pager(self, told: Mapping[str, Any]) -> None:
        """What only the pager says: the head of the audit's chain, and how its test alarm fared."""
        head, test = told.get("audit_head"), told.get("test")
        self.audit_head = head if isinstance(head, str) else self.audit_head
        if isinstance(test, dict) and isinstance(test.get("hops"), dict):
            hops = {str(k): float(v) for k, v in test["hops"].items() if isinstance(v, int | float)}
            at_ns = test.get("at_ns")
            at = at_ns // 1_000_000 if isinstance(at_ns, int) else None
            self.test = {"ok": test.get("ok") is True, "at": at, "hops": hops}

    def stands(self, now_s: float) -> bool:
        """Whether ward time stands still: nothing is judged, and nobody may be told that they are watched."""
        return now_s - self._tick_s > self._tick_silence_s

    def problems(self, now_s: float, now_ns: int, speed: float = 1.0) -> list[dict[str, Any]]:
        """What does not work now, worst first; empty: everything that ever spoke still says that it works.

        Args:
            now_s: Now, by the clock of silence.
            now_ns: Ward time.
            speed: How fast it runs.
        """
        found = []
        behind_ns = now_ns - self._judged_ns
        if self._judged_ns and behind_ns > _FRAME_DUE_NS + int(_HASTE_S * speed * SECOND_NS):
            text = f"Nothing has been judged for {behind_ns / MINUTE_NS:.0f} min of ward time. Alarms come late."
            found.append(_problem("ward", "slow", text, self._judged_ns))
        silent_s = now_s - self._tick_s
        if silent_s > self._tick_silence_s:
            what = "Ward time stands still" if self._tick_ns is not None else "Ward time has not begun"
            text = f"{what}: no tick for {silent_s:.0f} s. No alarm is raised while it stands."
            found.append(_problem("pipeline", "down", text, self._tick_ns))
        for name, part in self._parts.items():
            quiet_s = now_s - part.heard_s
            if part.status != "down" and quiet_s > self._part_silence_s:
                found.append(_problem(name, "down", f"has said nothing for {quiet_s:.0f} s", None))
            elif part.status != "ok":
                found.append(_problem(name, part.status, part.text, part.since_ns))
        return sorted(found, key=lambda problem: (problem["status"] != "down", problem["part"] != "pipeline"))

    def parts(self, now_s: float) -> list[dict[str, Any]]:
        """Every part that ever spoke, for the page on times."""
        return [
            {"part": name, "status": part.status, "text": part.text, "quiet_s": round(now_s - part.heard_s, 1)}
            for name, part in sorted(self._parts.items())
        ]


def _problem(part: str, status: str, text: str, since_ns: int | None) -> dict[str, Any]:
    return {"part": part, "status": status, "text": text, "since": None if since_ns is None else since_ns // 1_000_000}
