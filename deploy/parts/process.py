"""A part as a process: started, known to be up by its pulse, killed when it hangs, ended in order."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.native.process import LEASH, last_words, until_ended
from deploy.parts import environment
from deploy.parts.pulse import HUNG_AFTER_S, silent_s

_LOOK_S: Final = 0.05
_FEEL_EACH: Final = 100  # looks
_START_S: Final = 60.0
_STOP_S: Final = 20.0


class PartStartError(RuntimeError):
    """A part did not come up; the message holds the last lines that it wrote."""


class PartProcess:
    """``teleward run PART``, or another command with a pulse, as a child that ends with us.

    Attributes:
        name: What people call it: the part, or the part and its number.
        may_end: Whether it is done when it ends well.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], folder: Path, variables: Mapping[str, str], *, may_end: bool = False
    ) -> None:
        """Nothing is started before `start`.

        Args:
            name: Its own; also of its log and its pulse.
            arguments: Of `teleward`: a command that keeps a pulse.
            folder: Where ``log/NAME.log`` and ``pulse/NAME.json`` go.
            variables: Its whole environment.
            may_end: True for what comes to an end of its own.
        """
        self.name, self.may_end = name, may_end
        self._command = [sys.executable, "-m", "deploy.cli", *arguments]
        self.log = folder / "log" / f"{name}.log"
        self.pulse = folder / "pulse" / f"{name}.json"
        self._variables = {**variables, environment.PULSE: str(self.pulse)}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id; 0 while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    async def start(self) -> None:
        """Start it; returns when it beats.

        Raises:
            PartStartError: If it ends or is silent instead.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.pulse.unlink(missing_ok=True)
        begins = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = process = subprocess.Popen(  # noqa: ASYNC220 - a fork takes a millisecond
                [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *self._command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=self._variables,
                start_new_session=True,  # Ctrl-C is for whoever watches it, who stops all in order
            )  # fmt: skip
        try:
            async with asyncio.timeout(_START_S):
                while process.poll() is None and not self.pulse.exists():
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            await self.kill()
            raise PartStartError(f"no pulse within {_START_S:g} s: {last_words(self.log, begins)}") from None
        if process.poll() is not None:
            raise PartStartError(f"ended with status {process.returncode}: {last_words(self.log, begins)}")

    async def died(self) -> int:
        """Wait until it ends; one that hangs is killed."""
        process = self._process
        if process is None:
            raise PartStartError(f"{self.name} was not started")
        looks = 0
        while (status := process.poll()) is None:
            looks += 1
            if looks % _FEEL_EACH == 0 and (silent_s(self.pulse) or 0.0) > HUNG_AFTER_S:
                process.kill()
            await asyncio.sleep(_LOOK_S)
        return status

    async def stop(self) -> None:
        """End it in order, and by force if that takes too long."""
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_S):
                await until_ended(process)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End it as a crash does (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            await until_ended(self._process)
