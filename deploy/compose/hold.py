"""A container's first process: runs a part, and stays where the part ended because somebody must decide something.

An engine starts again whatever ends, and can't be told to leave one exit status alone. A part that another version's
snapshot stopped would fail every few seconds for ever, and its words be lost among repeats. So the container stays: its
health check fails (the pulse has stopped), and the end of its log says what to do.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from stream_processors.settings import NEEDS_SOMEONE


def hold(command: Sequence[str]) -> int:
    """Run a command until it ends, or, where it needs somebody, until we are told to end.

    SIGTERM and SIGINT are handed on to it.

    Returns:
        Its exit status, as a shell has it: 128 and the signal that ended it.
    """
    told = threading.Event()
    process: subprocess.Popen[bytes] | None = None

    def hand_on(number: int, _: FrameType | None) -> None:
        told.set()
        if process is not None:
            process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hand_on)
    process = subprocess.Popen(command)
    if told.is_set():  # it came between the two lines above
        process.terminate()
    status = process.wait()
    if status == NEEDS_SOMEONE and not told.is_set():
        print("it needs somebody to decide something: see above. Nothing is restarted until then", file=sys.stderr)
        sys.stderr.flush()
        told.wait()
    return 128 - status if status < 0 else status


if __name__ == "__main__":
    sys.exit(hold([sys.executable, "-m", "deploy.cli", *sys.argv[1:]]))
