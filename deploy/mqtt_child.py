"""The child process of the embedded MQTT broker: ``python mqtt_child.py CONFIG PARENT_PID``.

rumqttd (inside iotcore) has no way to be stopped, so it lives in a process of its own and ends with it. It must never
outlive the ward that started it: a broker left behind would take bundles that nobody carries on.

It writes `UP` to standard output when it takes connections.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
import threading
import time
from typing import Final

UP: Final = b"up\n"

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_POLL_S: Final = 0.005


def main() -> None:
    """Serve until the parent goes: by its signal (Linux), or when its end of our standard input closes."""
    from iotcore.iotcore import IotCoreBroker  # here: the parent imports this module for `UP` alone

    config, parent = sys.argv[1], int(sys.argv[2])
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call above
            return
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    # rumqttd's spans around each packet come out as error records.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    broker = IotCoreBroker(config_path=config)
    try:
        broker.check_ports()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(1)  # the thread above holds standard input, which an orderly exit would wait for
    threading.Thread(target=_tell_when_up, args=(broker.listeners(),), daemon=True).start()
    broker.run_forever()


def _exit_with_parent() -> None:
    sys.stdin.buffer.read()  # the parent never writes: this returns when its end closes
    os._exit(0)


def _tell_when_up(listeners: list[str]) -> None:
    for address in listeners:
        host, _, port = address.rpartition(":")
        while not _listens(host, int(port)):
            time.sleep(_POLL_S)
    sys.stdout.buffer.write(UP)
    sys.stdout.buffer.flush()


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
