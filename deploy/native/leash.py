"""Becomes a server that ends with whoever started it: ``python leash.py PARENT_PID COMMAND ...``.

A ward whose own process is killed must not leave brokers behind that hold its ports and its data. The kernel sends the
signal (Linux; elsewhere a killed ward leaves them, and the next start says whose port is taken).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Ask for the signal, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        # An orderly end, so that Mosquitto writes its sessions down; it outlives the exec below.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the call above
            return
    os.execv(command[0], command)  # noqa: S606 - our own parent named it


if __name__ == "__main__":
    main()
