"""What the pager's host needs to know, beside rota and policies."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from stream_processors.paging.delivery import DeliverySettings
from transport.kafka import KafkaSettings
from vitals.signs import HOUR_NS, MINUTE_NS, SECOND_NS


@dataclass(frozen=True, slots=True)
class PagerSettings:
    """Settings of the shell. Times are ward time where they end in ``_ns``, the wall's where they end in ``_s``.

    Attributes:
        kafka: Where the alarm topic is.
        console_url: Where a page sends people; "" leaves it out.
        answer_url: What stands before the token of a link; "" makes no links.
        heartbeat_url: Asked again and again while all is well: whoever expects it notices when it stops. "" for none.
        heartbeat_every_ns: How often.
        audit_every_ns: How often the auditor walks all open alarms.
        watch_every_ns: How often shifts, tests and hand-overs are looked at.
        calendar_every_ns: How often calendars are read again.
        pass_pause_ns: Between tries to hand a command to the ward.
        stuck_s: A loop that has not come round for so long, by the wall, stops the heartbeat.
        kafka_wait_s: How long Kafka may take to answer before the pager calls itself blind.
        pipeline_silence_s: Seconds of the wall without ward time going on, before that is an alarm.
        health_every_s: Seconds of the wall between two words of the pager about itself.
        keep_ns: How long messages, receipts and the journal are kept.
        delivery: How patient the pager is with channels.
    """

    kafka: KafkaSettings
    console_url: str = ""
    answer_url: str = ""
    heartbeat_url: str = ""
    heartbeat_every_ns: int = 30 * SECOND_NS
    audit_every_ns: int = MINUTE_NS
    watch_every_ns: int = 30 * SECOND_NS
    calendar_every_ns: int = HOUR_NS
    pass_pause_ns: int = SECOND_NS
    stuck_s: float = 300.0
    kafka_wait_s: float = 10.0
    pipeline_silence_s: float = 10.0
    health_every_s: float = 2.0
    keep_ns: int = 365 * 24 * HOUR_NS
    delivery: DeliverySettings = field(default_factory=DeliverySettings)

    @property
    def patient_kafka(self) -> KafkaSettings:
        """For what is in no hurry: an idle consumer that asks seldom costs little."""
        return replace(self.kafka, fetch_max_wait_ms=max(500, self.kafka.fetch_max_wait_ms))

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        longest_s = max(self.audit_every_ns, self.watch_every_ns, self.heartbeat_every_ns) / SECOND_NS
        if self.stuck_s <= longest_s:
            raise ValueError(f"stuck_s is {self.stuck_s}, must be above the time of every loop, {longest_s:g}")
