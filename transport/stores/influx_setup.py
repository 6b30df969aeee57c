"""Sets up an InfluxDB for Teleward, and says what is not as it should be: policies, down-sampling, mappings.

| | 1.8 | 2.x |
|---|---|---|
| how long | retention policies ``raw``, ``long``, ``books`` of the database | buckets ``teleward/raw`` ... |
| InfluxQL | as it is | a mapping (DBRP) from database and policy to each bucket |
| down-sampling | continuous queries | tasks |

Down-sampling makes `vitals_1m` from `vitals` twice: each minute over the last five, so that what the network delayed is
in, and each hour over the last six, for what devices send late. What comes later than that stands in ``raw`` until it
expires, and in `vitals_1m` once somebody says `redo_minutes`. The server's clock decides: a ward whose time is not the
wall's has no minute means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from transport.stores.influx_http import InfluxHttp, InfluxSettings
from vitals.measurements import VITALS, VITALS_MINUTE, Policy, bucket
from vitals.reading import USABLE_UP_TO

_DAY_S: Final = 86_400
_HOUR_S: Final = 3_600
# Name -> how often, and over how much.
DOWNSAMPLING: Final = {"vitals_1m": ("1m", "5m"), "vitals_1m_late": ("1h", "6h")}
_AGGREGATES: Final = ("mean", "min", "max", "count")


@dataclass(frozen=True, slots=True)
class Retention:
    """How long points are kept.

    Attributes:
        raw_days: Everything as it came.
        long_days: Scores, alarms, minute means.
    """

    raw_days: int = 14
    long_days: int = 400

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.raw_days < 1 or self.long_days < self.raw_days:
            raise ValueError(f"kept for {self.raw_days} and {self.long_days} days: at least 1, and the second no less")

    def seconds(self, policy: Policy) -> int:
        """How long a policy keeps; 0 for ever."""
        days = {Policy.RAW: self.raw_days, Policy.LONG: self.long_days, Policy.BOOKS: 0}
        return days[policy] * _DAY_S


# Of a shard group: small enough that expiry, which takes whole ones, is not days late; few enough to stay cheap.
_SHARD_S: Final = {Policy.RAW: _DAY_S, Policy.LONG: 7 * _DAY_S, Policy.BOOKS: 7 * _DAY_S}


def set_up_influx(settings: InfluxSettings, retention: Retention | None = None) -> list[str]:
    """Make what is not there and change what differs; nothing is deleted, again does nothing.

    Args:
        settings: Which server. Its token must be allowed to make databases or buckets.
        retention: How long points are kept.

    Returns:
        What was done, in words.

    Raises:
        StoreUnavailable: If the server does not answer, or does not let us.
    """
    return list(_differences(settings, retention or Retention(), mend=True))


def check_influx(settings: InfluxSettings, retention: Retention | None = None) -> list[str]:
    """What is not as `set_up_influx` makes it, in words; nothing is changed.

    Raises:
        StoreUnavailable: If the server does not answer, or does not let us look.
    """
    return list(_differences(settings, retention or Retention(), mend=False))


def redo_minutes(settings: InfluxSettings, from_ns: int, to_ns: int) -> None:
    """Make the minute means of a span again, for readings that came later than down-sampling looks back.

    Only on 1.8; on 2.x run the task again for the span (``influx task retry-failed`` or its page).
    """
    http = InfluxHttp(settings)
    try:
        span = f" AND time >= {from_ns} AND time < {to_ns}"
        http.ask([_select(settings.database, span)])
    finally:
        http.close()


def _differences(settings: InfluxSettings, retention: Retention, *, mend: bool) -> Iterator[str]:
    http = InfluxHttp(settings)
    try:
        mender = _Two(http, settings, retention) if http.is_2() else _One(http, settings, retention)
        yield from mender.differences(mend=mend)
    finally:
        http.close()


def _select(database: str, span: str = "") -> str:
    aggregates = ", ".join(f'{name}("value") AS "{name}"' for name in _AGGREGATES)
    tags = ", ".join(f'"{tag}"' for tag in VITALS.tags)
    return (
        f'SELECT {aggregates} INTO "{database}".{VITALS_MINUTE.source} FROM "{database}".{VITALS.source} '
        f'WHERE "quality" <= {int(USABLE_UP_TO)}{span} GROUP BY time(1m), {tags}'
    )


class _One:
    """InfluxDB 1.8."""

    def __init__(self, http: InfluxHttp, settings: InfluxSettings, retention: Retention) -> None:
        self._http, self._db, self._retention = http, settings.database, retention

    def differences(self, *, mend: bool) -> Iterator[str]:
        (found,) = self._http.ask(["SHOW DATABASES"])
        if not any(self._db in rows.columns["name"] for rows in found):
            yield f"database {self._db} is not there"
            if not mend:
                return
            self._http.ask([f'CREATE DATABASE "{self._db}"'])
        yield from self._policies(mend=mend)
        yield from self._queries(mend=mend)

    def _policies(self, *, mend: bool) -> Iterator[str]:
        (found,) = self._http.ask([f'SHOW RETENTION POLICIES ON "{self._db}"'])
        there = {
            name: (_seconds(kept), _seconds(shard), default)
            for rows in found
            for name, kept, shard, default in zip(
                *(rows.columns[name] for name in ("name", "duration", "shardGroupDuration", "default")), strict=True
            )
        }
        for policy in Policy:
            wanted = self._retention.seconds(policy), _SHARD_S[policy], policy is Policy.RAW
            known = there.get(policy)
            if known == wanted:
                continue
            yield f"retention policy {policy}: {_told(known)}, should be {_told(wanted)}"
            if mend:
                kept = f"{wanted[0]}s" if wanted[0] else "INF"
                self._http.ask(
                    [
                        (
                            f'{"CREATE" if known is None else "ALTER"} RETENTION POLICY "{policy}" ON "{self._db}" '
                            f"DURATION {kept} REPLICATION 1 SHARD DURATION {wanted[1]}s{' DEFAULT' * wanted[2]}"
                        )
                    ]
                )

    def _queries(self, *, mend: bool) -> Iterator[str]:
        (found,) = self._http.ask(["SHOW CONTINUOUS QUERIES"])
        there = {
            name: text
            for rows in found
            if rows.name == self._db
            for name, text in zip(rows.columns["name"], rows.columns["query"], strict=True)
        }
        for name, (every, over) in DOWNSAMPLING.items():
            wanted = (
                f'CREATE CONTINUOUS QUERY "{name}" ON "{self._db}" RESAMPLE EVERY {every} FOR {over} '
                f"BEGIN {_select(self._db)} END"
            )
            known = there.get(name)
            if known is not None and _plain(known) == _plain(wanted):
                continue
            yield f"continuous query {name} {'is not there' if known is None else 'is another'}"
            if mend:
                self._http.ask([*([f'DROP CONTINUOUS QUERY "{name}" ON "{self._db}"'] if known else []), wanted])


class _Two:
    """InfluxDB 2.x."""

    def __init__(self, http: InfluxHttp, settings: InfluxSettings, retention: Retention) -> None:
        self._http, self._settings, self._retention = http, settings, retention
        self._db = settings.database

    def differences(self, *, mend: bool) -> Iterator[str]:
        orgs = self._http.api("GET", "/api/v2/orgs", {"org": self._settings.org})["orgs"]
        if not orgs:
            yield f"organisation {self._settings.org} is not there: the server's own set-up makes it"
            return
        org = orgs[0]["id"]
        buckets: dict[Policy, str] = {}
        for policy in Policy:
            yield from self._bucket(org, policy, buckets, mend=mend)
        yield from self._mappings(org, buckets, mend=mend)
        yield from self._tasks(org, mend=mend)

    def _bucket(self, org: str, policy: Policy, ids: dict[Policy, str], *, mend: bool) -> Iterator[str]:
        name = bucket(policy, self._db)
        found = self._http.api("GET", "/api/v2/buckets", {"orgID": org, "name": name})["buckets"]
        kept, shard = self._retention.seconds(policy), _SHARD_S[policy]
        rules = [{"type": "expire", "everySeconds": kept, "shardGroupDurationSeconds": shard}]
        if not found:
            yield f"bucket {name} is not there"
            if mend:
                made = self._http.api(
                    "POST", "/api/v2/buckets", None, {"orgID": org, "name": name, "retentionRules": rules}
                )
                ids[policy] = made["id"]
            return
        ids[policy] = found[0]["id"]
        known = found[0].get("retentionRules") or [{"everySeconds": 0}]
        if known[0].get("everySeconds", 0) != kept:
            yield f"bucket {name} keeps {_span(known[0].get('everySeconds', 0))}, should keep {_span(kept)}"
            if mend:
                self._http.api("PATCH", f"/api/v2/buckets/{ids[policy]}", None, {"retentionRules": rules})

    def _mappings(self, org: str, buckets: dict[Policy, str], *, mend: bool) -> Iterator[str]:
        found = self._http.api("GET", "/api/v2/dbrps", {"orgID": org, "db": self._db})["content"]
        # The server maps a bucket called a/b by itself, virtually: that mapping cannot be changed or be the default.
        there = {one["retention_policy"]: one for one in found if not one.get("virtual")}
        for policy in Policy:
            known = there.get(policy)
            wanted = buckets.get(policy)
            if known is not None and known["bucketID"] == wanted and known["default"] == (policy is Policy.RAW):
                continue
            how = "is not mapped" if known is None else "is mapped to another bucket"
            yield f"InfluxQL's {self._db}.{policy} {how}"
            if not mend:
                continue
            if known is not None:
                self._http.api("DELETE", f"/api/v2/dbrps/{known['id']}", {"orgID": org})
            mapping = {
                "orgID": org,
                "bucketID": wanted,
                "database": self._db,
                "retention_policy": str(policy),
                "default": policy is Policy.RAW,
            }
            self._http.api("POST", "/api/v2/dbrps", None, mapping)

    def _tasks(self, org: str, *, mend: bool) -> Iterator[str]:
        found = self._http.api("GET", "/api/v2/tasks", {"orgID": org, "limit": "500"})["tasks"]
        for name, (every, over) in DOWNSAMPLING.items():
            name = f"{self._db}_{name}"  # noqa: PLW2901  # tasks of all databases of an organisation stand together
            wanted = flux_task(self._db, name, every, over)
            known: dict[str, Any] | None = next((one for one in found if one["name"] == name), None)
            if known is not None and known["flux"].strip() == wanted.strip() and known["status"] == "active":
                continue
            yield f"task {name} {'is not there' if known is None else 'is another or does not run'}"
            if mend and known is None:
                self._http.api("POST", "/api/v2/tasks", None, {"orgID": org, "flux": wanted, "status": "active"})
            elif mend and known is not None:
                self._http.api("PATCH", f"/api/v2/tasks/{known['id']}", None, {"flux": wanted, "status": "active"})


def flux_task(database: str, name: str, every: str, over: str) -> str:
    """A task of 2.x that makes the minute means of the last `over`, every `every`."""
    target = bucket(VITALS_MINUTE.policy, database)
    parts = "".join(
        f"""
usable
    |> aggregateWindow(every: 1m, fn: {aggregate}, column: "value", createEmpty: false, timeSrc: "_start")
    |> rename(columns: {{value: "_value"}})
    |> map(fn: (r) => ({{r with _measurement: "{VITALS_MINUTE.name}", _field: "{aggregate}"}}))
    |> to(bucket: "{target}")
"""
        for aggregate in _AGGREGATES
    )
    return f"""\
import "date"
import "experimental"

option task = {{name: "{name}", every: {every}, offset: 10s}}

minute = date.truncate(t: now(), unit: 1m)
usable = from(bucket: "{bucket(VITALS.policy, database)}")
    |> range(start: experimental.subDuration(d: {over}, from: minute), stop: minute)
    |> filter(fn: (r) => r._measurement == "{VITALS.name}" and (r._field == "value" or r._field == "quality"))
    |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    |> filter(fn: (r) => exists r.value and r.quality <= {int(USABLE_UP_TO)})
    |> drop(columns: ["quality"])
{parts}"""


def _seconds(duration: str) -> int:
    """Of a duration as 1.8 tells it: 336h0m0s."""
    hours, _, rest = duration.partition("h")
    minutes, _, seconds = rest.partition("m")
    return int(hours) * _HOUR_S + int(minutes or 0) * 60 + int(seconds.rstrip("s") or 0) if rest else 0


def _plain(text: str) -> str:
    """A query without what the server writes in its own way: quotes, its own order of durations, spaces."""
    return "".join(c for c in text.lower() if c not in "\"' ")


def _span(seconds: int) -> str:
    return f"{seconds // _DAY_S} days" if seconds else "for ever"


def _told(known: tuple[int, int, bool] | None) -> str:
    if known is None:
        return "not there"
    return f"{_span(known[0])}, shards of {known[1] // _HOUR_S} h{', the default' if known[2] else ''}"
