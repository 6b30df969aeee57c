"""Requests to InfluxDB through influxdb-client, and what its answers mean: done, later, or never.

*Later* is everything another try may mend: nobody there, a timeout, 429 and 503 with the wait they ask for, any error
inside the server (a full disk is one), and what a person has to set right (401, 403, 404: the data waits until then).
*Never* is 400 and 422: points it will not take, however often. The others of the request must not suffer, so it is
halved until each such point stands alone; those are counted by reason. (1.8 answers 400 as soon as the first of several
shards complains, and then an error of another shard goes unsaid: only a request that was answered well counts.)
"""

from __future__ import annotations

import email.utils
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from urllib3.exceptions import HTTPError

from transport.stores.base import StoreUnavailable
from transport.stores.influx_lines import joined
from vitals.measurements import DATABASE, Measurement, Policy, bucket

_AWAY_S: Final = 1.0
_TROUBLE_S: Final = 5.0
_PERSON_S: Final = 15.0
_MAX_WAIT_S: Final = 60.0
_PERSON: Final = {
    401: "it does not know our token",
    403: "our token may not do this",
    404: "it has no such database or bucket: set it up first",
}
_NEVER: Final = (400, 422)


class _Series(msgspec.Struct):
    columns: list[str]
    values: list[list[Any]] = []
    name: str = ""
    tags: dict[str, str] = {}


class _Result(msgspec.Struct):
    series: list[_Series] = []
    error: str = ""


class _Answer(msgspec.Struct):
    results: list[_Result] = []
    error: str = ""


_answers: Final = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one series of an answer.

    Attributes:
        tags: What the query grouped by.
        columns: Name -> values, None where a row has none; all of one length.
        name: Of the measurement, or of what a SHOW lists.
    """

    tags: dict[str, str]
    columns: dict[str, tuple[Any, ...]]
    name: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def whole(self, *names: str) -> Rows:
        """Without rows that lack one of some columns.

        InfluxDB keeps each field by itself: whoever asks while a point is being written may be told some of its fields
        and not yet others. Such a point is not there yet.
        """
        if not any(None in self.columns[name] for name in names):
            return self
        kept = [i for i, row in enumerate(zip(*(self.columns[n] for n in names), strict=True)) if None not in row]
        columns = {name: tuple(values[i] for i in kept) for name, values in self.columns.items()}
        return Rows(self.tags, columns, self.name)


@dataclass(frozen=True, slots=True)
class InfluxSettings:
    """How an InfluxDB is reached and written.

    Attributes:
        url: Of its HTTP interface.
        database: Database (1.8), first half of the buckets' names (2.x).
        token: 2.x: a token; 1.8: ``user:password``, or "" where it asks for none.
        org: Organisation of 2.x; 1.8 does not look at it.
        timeout_s: How long an answer may take.
        lines: Points in one request, at most.
        gzip_from: Bodies of so many bytes and more are compressed.
        fold_at: Facts for the ledger that may stand one by one, for each partition, before they are added up.
    """

    url: str
    database: str = DATABASE
    token: str = ""
    org: str = "teleward"
    timeout_s: float = 15.0
    lines: int = 5_000
    gzip_from: int = 8_192
    fold_at: int = 4_096

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url is {self.url!r}, must begin with http:// or https://")
        if not self.database or any(c in self.database for c in "\"'/\\ \n"):
            raise ValueError(f"database is {self.database!r}: no quotes, slashes or spaces, and not empty")
        if self.timeout_s <= 0 or self.lines < 1 or self.gzip_from < 0 or self.fold_at < 1:
            raise ValueError(
                f"settings of the InfluxDB store out of range: {self.timeout_s=} {self.lines=} {self.fold_at=}"
            )


class QueryError(ValueError):
    """A query that InfluxDB does not understand or may not answer: a fault of ours. Its text names no values."""


class InfluxHttp:
    """One server. Any number of threads may ask and write."""

    def __init__(self, settings: InfluxSettings) -> None:
        """Nothing is connected before the first request."""
        self._settings = settings
        self._client = InfluxDBClient(
            settings.url,
            token=settings.token or None,
            org=settings.org,
            timeout=int(settings.timeout_s * 1000),
            connection_pool_maxsize=8,
        )
        self._write = WriteService(self._client.api_client)
        self._is_2: bool | None = None

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def write(self, policy: Policy, rows: Any, rejected: Counter[str]) -> None:
        """Write lines; returns when the server has acknowledged each that it takes.

        Args:
            policy: Where to.
            rows: What `influx_lines.lines` gave.
            rejected: Points the server will never take are added here, by reason.

        Raises:
            StoreUnavailable: Some of them may stand by now; writing all again changes nothing.
        """
        step = self._settings.lines
        for first in range(0, len(rows), step):
            self._write_some(policy, rows.slice(first, step), rejected)

    def _write_some(self, policy: Policy, rows: Any, rejected: Counter[str]) -> None:
        try:
            self.post(policy, joined(rows))
        except ApiException as error:
            if error.status not in (*_NEVER, 413):
                raise later(error) from None
            if len(rows) == 1:
                rejected[_reason(error)] += 1
                return
            half = len(rows) // 2
            self._write_some(policy, rows.slice(0, half), rejected)
            self._write_some(policy, rows.slice(half), rejected)

    def post(self, policy: Policy, body: bytes) -> None:
        """Write one body in one request.

        Raises:
            ApiException: What the server answered, if not well.
            StoreUnavailable: If it did not.
        """
        packed = len(body) >= self._settings.gzip_from
        with _reached():
            self._write.post_write(
                org=self._settings.org,
                bucket=bucket(policy, self._settings.database),
                body=zlib.compress(body, 1, wbits=31) if packed else body,
                precision="ns",
                content_encoding="gzip" if packed else "identity",
                content_type="text/plain; charset=utf-8",
            )

    def ask(self, statements: Sequence[str]) -> list[list[Rows]]:
        """Ask in InfluxQL; for each statement the series of its answer.

        Raises:
            StoreUnavailable: If it does not answer now.
            QueryError: If it does not understand.
        """
        out: list[list[Rows]] = []
        for first in range(0, len(statements), 200):
            some = statements[first : first + 200]
            told = self._ask(";".join(some))
            if told.error or len(told.results) != len(some):
                raise QueryError(f"InfluxDB answers {len(told.results)} of {len(some)} statements")
            for result in told.results:
                if result.error:
                    raise _unanswered(result.error)
                out.append([_rows(series) for series in result.series])
        return out

    def _ask(self, text: str) -> _Answer:
        try:
            with _reached():
                answer = self._client.api_client.call_api(
                    "/query",
                    "POST",
                    query_params=[("db", self._settings.database), ("epoch", "ns")],
                    header_params={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
                    post_params=[("q", text)],
                    _preload_content=False,
                    _return_http_data_only=True,
                )
                data: bytes = answer.data
        except ApiException as error:
            if error.status in _NEVER:
                raise QueryError(f"InfluxDB refuses a query ({error.status})") from None
            raise later(error) from None
        return _answers.decode(data)

    def is_2(self) -> bool:
        """Whether it has buckets, tasks and the delete API (2.x), or databases and continuous queries (1.8).

        Raises:
            StoreUnavailable: If it does not answer.
        """
        if self._is_2 is None:
            # Not by the version that it tells: a server built from source tells none. 1.8 has no such page.
            try:
                self._call("GET", "/api/v2/setup")
                self._is_2 = True
            except ApiException as error:
                if error.status not in (404, 405):
                    raise later(error) from None
                self._is_2 = False
        return self._is_2

    def api(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None) -> Any:
        """A call of the API of 2.x; its answer, read from JSON, None where it is empty.

        Raises:
            StoreUnavailable: If it does not answer, or refuses.
        """
        try:
            data: bytes = self._call(method, path, query, body).data
        except ApiException as error:
            raise later(error) from None
        return msgspec.json.decode(data) if data else None

    def _call(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None) -> Any:
        with _reached():
            return self._client.api_client.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Content-Type": "application/json", "Accept": "application/json"},
                body=body,
                _preload_content=False,
                _return_http_data_only=True,
            )

    def delete(
        self, what: Measurement, before_ns: int, *, from_ns: int | None = None, patient: str | None = None
    ) -> None:
        """Delete points of a measurement before an instant, of one patient or of all."""
        if self.is_2():
            predicate = f'_measurement="{what.name}"' + ("" if patient is None else f' AND patient="{patient}"')
            self.api(
                "POST",
                "/api/v2/delete",
                {"org": self._settings.org, "bucket": bucket(what.policy, self._settings.database)},
                # Its stop is within: the last instant before.
                {"start": _rfc3339(from_ns), "stop": _rfc3339(before_ns - 1), "predicate": predicate},
            )
            return
        since = "" if from_ns is None else f" AND time >= {from_ns}"
        whose = "" if patient is None else f' AND "patient" = {quoted(patient)}'
        self.ask([f'DELETE FROM "{what.name}" WHERE time < {before_ns}{since}{whose}'])


def _rfc3339(time_ns: int | None) -> str:
    """An instant with its nanoseconds; the first that InfluxDB knows where there is none."""
    if time_ns is None:
        return "1677-09-21T00:12:43.145224194Z"
    seconds, ns = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"


def quoted(text: str) -> str:
    """A text as a literal of InfluxQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _rows(series: _Series) -> Rows:
    values = zip(*series.values, strict=True) if series.values else ((),) * len(series.columns)
    return Rows(series.tags, dict(zip(series.columns, values, strict=True)), series.name)


@contextmanager
def _reached() -> Iterator[None]:
    """Tell of a server that did not answer."""
    try:
        yield
    except HTTPError as error:
        raise StoreUnavailable(f"InfluxDB does not answer ({type(error).__name__})", _AWAY_S) from None
    except ApiException as error:
        if error.status:
            raise
        raise StoreUnavailable("InfluxDB: no connection by TLS", _PERSON_S) from None


def later(error: ApiException) -> StoreUnavailable:
    """What another try may mend."""
    status = int(error.status)
    if status in _PERSON:
        return StoreUnavailable(f"InfluxDB answers {status}: {_PERSON[status]}", _PERSON_S)
    what = (
        "its disk is full, or was: 1.8 has to be restarted then"
        if "no space left" in str(error.body)
        else "overloaded"
        if status in (429, 503)
        else "trouble"
    )
    return StoreUnavailable(f"InfluxDB answers {status}: {what}", _wait_s(error, time.time))


def _wait_s(error: ApiException, now_s: Callable[[], float]) -> float:
    """How long it asks us to wait: seconds or a date (RFC 9110, 10.2.3), within reason."""
    said = (error.headers or {}).get("Retry-After")
    if not said:
        return _TROUBLE_S
    if said.isdigit():
        return min(max(float(said), 0.1), _MAX_WAIT_S)
    try:
        at_s = email.utils.parsedate_to_datetime(said).timestamp()
    except ValueError:
        return _TROUBLE_S
    return min(max(at_s - now_s(), 0.1), _MAX_WAIT_S)


def _unanswered(error: str) -> Exception:
    if "not found" in error:
        return StoreUnavailable("InfluxDB lacks the database or a retention policy: set it up first", _PERSON_S)
    if "timeout" in error or "shutdown" in error or "engine is closed" in error:
        return StoreUnavailable("InfluxDB could not finish an answer", _AWAY_S)
    return QueryError("InfluxDB does not understand a query")  # its own text may quote what we asked for


def _reason(error: ApiException) -> str:
    """Why a point is refused, in words that hold nothing of the point."""
    body = str(error.body)
    for mark, reason in (
        ("beyond retention policy", "older than the store keeps"),
        ("outside retention policy", "older than the store keeps"),
        ("field type conflict", "another type stands in the store"),
        ("max-values-per-tag", "too many series"),
        ("max-series-per-database", "too many series"),
        ("max key length", "names too long"),
        ("unable to parse", "not readable"),
    ):
        if mark in body:
            return reason
    return "request too large" if error.status == 413 else "refused"
