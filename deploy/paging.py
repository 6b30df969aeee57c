"""The pager as a part: what it is made of, started and stopped together; in the demo or alone."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec

from stream_processors.paging import own
from stream_processors.paging.channels import AllChannels, ChannelFailed, Outgoing
from stream_processors.paging.keeper import AuditFile, ChainBroken, Keeper
from stream_processors.paging.links import Links
from stream_processors.paging.outlets import KafkaOutlets
from stream_processors.paging.pager import Pager, Surroundings
from stream_processors.paging.policy import DEFAULT
from stream_processors.paging.probe import Probe, ProbeSettings, Publish
from stream_processors.paging.rota import Channel, Person, Rota, Shift, Team
from stream_processors.paging.rota_file import RotaFile
from stream_processors.paging.settings import PagerSettings
from stream_processors.paging.state import Found
from stream_processors.paging.store import PagerStore
from stream_processors.paging.turn import Plan
from stream_processors.paging.waiting import Clock
from transport.kafka import KafkaError, KafkaSettings, read_partition_tail
from transport.sqlite_file import FileInUse, sole_user
from transport.yaml_lines import FileError
from vitals import topics
from vitals.answers import Shown
from vitals.signs import MINUTE_NS, SECOND_NS

log = logging.getLogger(__name__)

_SHORTEST_KEY = 32
_HEALTH_TAIL = 200  # every part speaks every two seconds


class PagingError(ValueError):
    """The pager cannot be started like this; the message says what to do."""


@dataclass(frozen=True, slots=True)
class PagingSettings:
    """What the part is made of.

    Attributes:
        pager: Settings of the host.
        folder: Where the file channel's files are.
        db: Its database.
        audit: The audit's chain.
        rota: Who is there.
        plan: Rota and policies.
        keys: Of the links; the first signs; without one there are none.
        site: Of whom the links are.
        copies: Addresses that every message goes to besides.
        durable: False leaves the flushing to the system, for a ward that forgets everything anyway.
        secrets: What ``${NAME}`` in the address of a channel stands for.
        probe: The test patient; None: there is none.
        reread: Reads rota and policies anew where their files have changed; None: they have no files.
    """

    pager: PagerSettings
    folder: Path
    db: Path
    audit: Path
    rota: RotaFile
    plan: Plan
    keys: tuple[bytes, ...]
    site: str = "teleward"
    copies: tuple[str, ...] = ()
    durable: bool = True
    secrets: Mapping[str, str] = field(default_factory=dict)
    probe: ProbeSettings | None = None
    reread: Callable[[], tuple[RotaFile, Plan] | None] | None = None


class PagerPart:
    """``async with PagerPart(settings, clock) as part``: pages until it is left; `wait` ends when it can't go on.

    Attributes:
        pager: The pager.
        keeper: Of the audit; None where its chain does not hold.
    """

    def __init__(self, settings: PagingSettings, clock: Clock) -> None:
        """Nothing is opened before it is entered."""
        self._settings = settings
        self._clock = clock
        self._exit = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._outlets: KafkaOutlets
        self.pager: Pager
        self.probe: Probe | None = None
        self._probing: asyncio.Task[None] | None = None
        self._probe_begins = asyncio.Event()
        self.keeper: Keeper | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):  # it was told when it happened
            await self.stop_probe()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._exit.aclose()

    def how(self) -> tuple[str, str]:
        """What it says of itself: ok, slow or down, and words."""
        return self.pager.how()

    async def wait(self) -> None:
        """Until a loop fails.

        Raises:
            Exception: Why.
        """
        await asyncio.gather(*self._tasks)

    async def _start(self) -> None:
        settings, kafka = self._settings, self._settings.pager.kafka
        for path in (settings.db, settings.audit, settings.folder / "file"):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._exit.enter_context(sole_user(settings.db))
        except FileInUse as error:
            raise PagingError(f"a pager runs with this database already ({error}); stop it first") from error
        store = PagerStore(settings.db, durable=settings.durable)
        self._exit.callback(store.close)
        await self._alone(store.id)
        outlets = self._outlets = KafkaOutlets(kafka)
        self._exit.push_async_callback(outlets.stop)
        await outlets.start()

        async def to_console(message: Outgoing) -> None:
            await outlets.show(shown(message))

        channels = AllChannels(
            folder=settings.folder,
            console=to_console,
            test=self._test,
            secrets=settings.secrets,
            copies=settings.copies,
        )
        around = Surroundings(channels=channels, clock=self._clock, outlets=outlets, head=self._head)
        self.pager = Pager(
            settings.pager,
            settings.plan,
            store,
            around,
            links=Links(settings.keys, settings.site) if settings.keys else None,
            calendars=settings.rota.calendars,
        )
        self._open_audit(store)
        self._probing = asyncio.create_task(self._probe(), name="test patient")
        self._tasks = [asyncio.create_task(self.pager.run(), name="pager"), self._probing]
        if self.keeper is not None:
            self._tasks.append(asyncio.create_task(self._keep(self.keeper, store), name="audit"))
        if settings.reread is not None:
            self._tasks.append(asyncio.create_task(self._reread(settings.reread), name="rota"))

    async def _alone(self, mine: str) -> None:
        """Two pagers with a database each know nothing of each other, and would tell everybody twice.

        Raises:
            PagingError: If another one has just spoken.
        """
        tail = await read_partition_tail(self._settings.pager.kafka, topics.HEALTH.name, 0, _HEALTH_TAIL)
        fresh_ms = 1e3 * (time.time() - 3 * self._settings.pager.health_every_s)
        for record in tail:
            with contextlib.suppress(msgspec.DecodeError):
                told = msgspec.json.decode(record.value or b"{}", type=dict[str, Any])
                other = str(told.get("pager", ""))
                if told.get("part") == "pager" and other not in ("", mine) and record.timestamp_ms > fresh_ms:
                    raise PagingError(
                        f"another pager ({other}) pages for this ward and spoke a moment ago: stop it first, or give "
                        "this one the same database; two would tell everybody twice"
                    )

    def start_probe(self, publish: Publish) -> None:
        """Let the test patient live; the registry knows it already.

        Args:
            publish: To the MQTT broker.
        """
        settings = self._settings.probe or ProbeSettings()
        self.probe = Probe(settings, self._clock, publish, self._outlets.ask, self.pager.found)
        self.pager.on_test_event = self.probe.on_event
        self.pager.heart.also["test"] = self.probe.told
        self._probe_begins.set()

    async def stop_probe(self) -> None:
        """End the test patient; what it sent is with the broker then."""
        if self.probe is not None and self._probing is not None:
            self.probe.stop()
            await self._probing

    async def _probe(self) -> None:
        await self._probe_begins.wait()
        if self.probe is not None:
            await self.probe.run()

    async def _test(self, message: Outgoing) -> None:
        if self.probe is None:
            raise ChannelFailed("there is no test patient here")
        await self.probe.take(message)

    def _open_audit(self, store: PagerStore) -> None:
        """A chain that does not hold is an alarm of the pager's own; it pages all the same."""
        noted = store.kept("audit_head")
        file = AuditFile(self._settings.audit, (noted or b"").decode().strip('"'))
        try:
            file.open()
        except ChainBroken as error:
            log.error("the audit is not kept: %s", error)  # noqa: TRY400  # it is no failure of the program
            self.pager.found(Found(rule=own.CHAIN, cause=str(error)))
            return
        self.pager.found(Found(rule=own.CHAIN))
        self.keeper = Keeper(self._settings.pager.patient_kafka, file)

    async def _keep(self, keeper: Keeper, store: PagerStore) -> None:
        async def note() -> None:
            while True:
                await asyncio.sleep(5.0)
                store.keep("audit_head", keeper.file.checked.head)

        noting = asyncio.create_task(note())
        trouble = self.pager.trouble("lines of the audit")
        try:
            while True:
                try:
                    await keeper.follow(trouble.well)
                except (KafkaError, TimeoutError, OSError) as error:
                    trouble.failed(error)
                await asyncio.sleep(1.0)
        finally:
            noting.cancel()

    def _head(self) -> str:
        return self.keeper.file.checked.head if self.keeper is not None else ""

    async def _reread(self, reread: Callable[[], tuple[RotaFile, Plan] | None]) -> None:
        while True:
            await asyncio.sleep(5.0)
            try:
                found = reread()
            except (FileError, OSError) as error:
                cause = f"the rota's files cannot be read: {error}; the last good ones hold"
                self.pager.found(Found(rule=own.CALENDAR, about="files", cause=cause, level=2))
                continue
            if found is not None:
                self.pager.change_plan(found[1], found[0].calendars)
                self.pager.found(Found(rule=own.CALENDAR, about="files"))


def shown(message: Outgoing) -> Shown:
    """A message for the console."""
    return Shown(
        message_id=message.message_id,
        person=message.person,
        kind=message.kind,
        priority=message.priority,
        title=message.words.title,
        body=message.words.body,
        at_ns=message.at_ns,
        tokens=dict(message.tokens),
        alarms=message.alarms,
    )


def demo_probe(speed: float) -> ProbeSettings:
    """The test patient of a demo. Fewer bundles: where time runs fast, they are many in a second of the wall."""
    return ProbeSettings(
        every_ns=15 * MINUTE_NS,
        first_ns=2 * MINUTE_NS,
        period_ns=(20 if speed > 1 else 10) * SECOND_NS,
        give_up_s=60.0,
        speed=speed,
    )


def demo_paging(
    kafka: KafkaSettings,
    folder: Path,
    console_url: str,
    page_to: tuple[str, ...] = (),
    *,
    person: str = "demo",
    speed: float = 1.0,
) -> PagingSettings:
    """The pager of a demo: one person on call, a file of all messages, the console, and what addresses there are.

    Args:
        kafka: Of the stack.
        folder: A fresh one: nothing here fits another run of a volatile cluster.
        console_url: Of the page; "" where there is none.
        page_to: Apprise addresses.
        person: Who is on call, as they sign in.
        speed: Seconds of ward time in one of the wall.
    """
    channels = [*(Channel(address) for address in page_to), Channel("console:", outside=False)]
    rota = Rota(
        zone="UTC",
        people={person: Person(id=person, channels=tuple(channels))},
        teams={"ward": Team(id="ward", members=(person,), leads=(person,))},
        shifts=(
            Shift(team="ward", line="first", people=(person,), from_minute=0, to_minute=0, since=dt.date(1970, 1, 1)),
        ),
    )
    # People, brokers and disks do not run faster with ward time.
    fast = min(max(1.0, speed / 10), 4.0)
    policies = msgspec.structs.replace(DEFAULT, confirm_ns=round(DEFAULT.confirm_ns * fast))
    return PagingSettings(
        pager=PagerSettings(
            kafka=kafka,
            console_url=console_url,
            answer_url=f"{console_url}a/" if console_url else "",
            audit_every_ns=round(MINUTE_NS * fast),
            watch_every_ns=round(30 * SECOND_NS * fast),
        ),
        folder=folder,
        db=folder / "pager.db",
        audit=folder / "audit.jsonl",
        rota=RotaFile(rota, ()),
        plan=Plan(rota, policies),
        keys=(secrets.token_bytes(_SHORTEST_KEY),),
        site=secrets.token_hex(8),
        copies=("file:pages",),
        durable=False,
        probe=demo_probe(speed),
    )
