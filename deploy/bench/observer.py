"""Reads what comes out, with a stamp for each: alarm events from Kafka, and the same on the console's page.

A process of its own, so that its share can be told: ``python -m deploy.bench.observer SPEC.json``. It ends when its
standard input does and it has read what stood in the topic then, and prints all it saw.
"""

from __future__ import annotations

import http.client
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from confluent_kafka import Consumer, TopicPartition

from dashboards.console.auth import CSRF_HEADER, CSRF_VALUE

_POLL_S: Final = 0.2


class ObserveSpec(msgspec.Struct, frozen=True):
    """What is read.

    Attributes:
        kafka: ``host:port``.
        topic: Of alarm events (headers ``stamps``), or of a peer's (JSON with ``event_id`` and ``sent_ns``).
        peer: True for a peer's results.
        page: The console's address; "" watches none.
        user: Of the page.
        password: Of the page.
    """

    kafka: str
    topic: str
    peer: bool = False
    page: str = ""
    user: str = ""
    password: str = ""


class Seen(msgspec.Struct):
    """What came, in order.

    Attributes:
        events: (event id, when it came, its stamps).
        shown: (event id, when the page's stream brought it).
        error: Why the page could not be watched; "".
    """

    events: list[tuple[str, int, dict[str, int]]]
    shown: list[tuple[str, int]]
    error: str = ""


class _Fresh(msgspec.Struct):
    id: str = ""


class _Change(msgspec.Struct):
    fresh: list[_Fresh] = []


class _Sent(msgspec.Struct):
    event_id: str
    sent_ns: int


class _Event(msgspec.Struct):
    event_id: str


def _follow(spec: ObserveSpec, seen: Seen, over: threading.Event) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": spec.kafka,
            "group.id": f"bench-observer-{time.time_ns()}",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 100,
            "auto.offset.reset": "latest",
        }
    )
    partitions = consumer.list_topics(spec.topic).topics[spec.topic].partitions
    places = [TopicPartition(spec.topic, number) for number in partitions]
    for place in places:
        place.offset = consumer.get_watermark_offsets(place)[1]
    consumer.assign(places)
    stamps_decoder = msgspec.json.Decoder(dict[str, int])
    sent_decoder, event_decoder = msgspec.json.Decoder(_Sent), msgspec.json.Decoder(_Event)
    reached = {place.partition: place.offset for place in places}
    while not over.is_set() or _behind(consumer, spec.topic, reached):
        # The first that comes, then what lies behind it: to ask for 500 is to wait for 500.
        first = consumer.poll(_POLL_S)
        for message in [] if first is None else [first, *consumer.consume(500, 0)]:
            now_ns = time.time_ns()
            if message.error():
                continue
            reached[message.partition()] = message.offset() + 1
            if spec.peer:
                said = sent_decoder.decode(message.value())
                seen.events.append((said.event_id, now_ns, {"published": said.sent_ns}))
            else:
                headers = dict(message.headers() or ())
                stamps = stamps_decoder.decode(headers.get("stamps") or b"{}")
                seen.events.append((event_decoder.decode(message.value()).event_id, now_ns, stamps))
    consumer.close()


def _behind(consumer: Consumer, topic: str, reached: dict[int, int]) -> bool:
    """Whether something stands in the topic that was not read yet."""
    return any(consumer.get_watermark_offsets(TopicPartition(topic, n))[1] > at for n, at in reached.items())


def _watch_page(spec: ObserveSpec, seen: Seen, over: threading.Event) -> None:
    place = urlsplit(spec.page)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    headers: dict[str, str] = {
        "content-type": "application/json", "origin": spec.page, CSRF_HEADER: CSRF_VALUE,
    }  # fmt: skip
    body = msgspec.json.encode({"name": spec.user, "password": spec.password})
    connection.request("POST", "/api/sign-in", body, headers)
    answer = connection.getresponse()
    cookie = (answer.getheader("set-cookie") or "").split(";")[0]
    answer.read()
    if answer.status != http.client.OK:
        seen.error = f"the page did not let the benchmark in: {answer.status}"
        return
    connection.request("GET", "/events", headers={"cookie": cookie})
    stream = connection.getresponse()
    decoder = msgspec.json.Decoder(_Change)
    kind = b""
    while not over.is_set():
        line = stream.readline()
        if not line:
            seen.error = "the page's stream ended"
            return
        if line.startswith(b"event: "):
            kind = line[7:].strip()
        elif line.startswith(b"data: ") and kind == b"change":
            now_ns = time.time_ns()
            seen.shown += [(fresh.id, now_ns) for fresh in decoder.decode(line[6:]).fresh]


def _guarded(work: Any, spec: ObserveSpec, seen: Seen, over: threading.Event) -> None:
    try:
        work(spec, seen, over)
    except Exception as error:  # noqa: BLE001  # whatever it was: told, not lost with its thread
        seen.error = f"{type(error).__name__}: {error}"


def main() -> None:
    """Observe until standard input ends."""
    spec = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=ObserveSpec)
    seen, over = Seen([], []), threading.Event()
    works = [_follow, _watch_page] if spec.page else [_follow]
    threads = [threading.Thread(target=_guarded, args=(work, spec, seen, over), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    sys.stdin.buffer.read()
    over.set()
    threads[0].join(30)
    sys.stdout.buffer.write(msgspec.json.encode(seen) + b"\n")


if __name__ == "__main__":
    main()
