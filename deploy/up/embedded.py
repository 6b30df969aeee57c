"""``teleward up --stack embedded``: the whole ward in one process, for devices of your own; nothing outlives it."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dashboards.console import ConsoleSettings
from deploy.clock import WardClock
from deploy.up.settings import UpSettings
from deploy.ward_process import WardProcess, WardProcessSettings


async def run_embedded(settings: UpSettings, say: Callable[[str], None]) -> dict[str, Any]:
    """Run it until Ctrl-C or the end of its time.

    Raises:
        WardFailedError: If a part could not go on; on this stack nobody starts it again.
    """
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="teleward-up-") as folder:
        made_of = WardProcessSettings(
            Path(folder) / "ward.sqlite",
            partitions=1,  # more of them share work between workers, and here there is one process
            console=ConsoleSettings(port=settings.port, title="Ward", volatile=True),
            mqtt_port=settings.mqtt_port,
        )
        async with WardProcess(made_of, WardClock(settings.speed)) as ward:
            say(f"the embedded stack is up in {time.monotonic() - began:.1f} s")
            say("volatile: brokers and store live in this process and forget everything when it ends")
            say("research software, not a medical device\n")
            if ward.console is not None:
                say(f"  page      {ward.page}")
                say(f"  user      admin\n  password  {ward.console.make_account('admin')}")
            say(f"  MQTT      127.0.0.1:{ward.stack.mqtt_port} (this machine only, no passwords)")
            say(f"  Kafka     {ward.stack.bootstrap}\n")
            say("Ctrl-C ends it")
            waiting = asyncio.create_task(over.wait())
            minutes = settings.minutes
            await ward.unless_failed(waiting, timeout_s=None if minutes is None else minutes * 60)
            waiting.cancel()
            return {"stack": "embedded", "page": ward.page, "restarts": {}, "why": {}}
