"""A pager that is really killed: ``python paging_killed.py FOLDER LEFT``; SIGKILL to itself at the LEFT-th transaction.

Run by tests/integration/test_paging_channels.py, with tests/ and the repository on the path.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from paging_world import START, M, S, WardStub, rota

from stream_processors.paging.channels import AllChannels, Outgoing
from stream_processors.paging.delivery import DeliverySettings
from stream_processors.paging.engine import Engine
from stream_processors.paging.policy import DEFAULT
from stream_processors.paging.store import PagerStore
from stream_processors.paging.text import Setting, words
from stream_processors.paging.turn import Plan


class Mortal(PagerStore):
    """Kills its process before the n-th transaction begins, or after it has ended."""

    left = -1

    def _transaction(self):
        store, transaction = self, super()._transaction()

        class Counted:
            def __enter__(self):
                store.count()
                return transaction.__enter__()

            def __exit__(self, *error):
                out = transaction.__exit__(*error)
                store.count()
                return out

        return Counted()

    def count(self) -> None:
        if self.left >= 0:
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


async def main(folder: Path, left: int) -> None:
    """Six minutes of a ward with two alarms, from wherever the last process was killed."""
    ward = WardStub()
    topic = [
        (START, ward.raise_("p-1", "spo2-low", START, 2)[0]),
        (START + 70 * S, ward.raise_("p-2", "news2-single", START + 70 * S)[0]),
    ]
    engine = Engine(Plan(rota(), DEFAULT), Mortal(folder / "pager.db"), delivery=DeliverySettings())
    engine.store.left = left
    channels = AllChannels(folder=folder)
    now_ns = START
    while now_ns <= START + 6 * M:
        for number in range(engine.store.positions().get(("alarms", 0), 0), len(topic)):
            at, event = topic[number]
            if at <= now_ns:
                engine.take_events([event], now_ns, {("alarms", 0): number + 1})
        engine.tick(now_ns)
        for queued in engine.to_send(now_ns):
            send = queued.send
            engine.store.intend(queued, now_ns)
            text = words(send, Setting(engine.plan.rota))
            out = Outgoing(send.message_id, send.person, send.priority.value, send.kind, text, queued.in_doubt)
            await channels.send(f"file:{send.person}", out)
            engine.sent(queued, now_ns)
        now_ns += 10 * S


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
