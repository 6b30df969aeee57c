"""Questions to InfluxDB in InfluxQL: how Grafana keeps them, and how it asks them.

The typed builders have no query of InfluxDB's, so that is here: `InfluxQuery` is one more of their query types.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from grafana_foundation_sdk.cog import builder, runtime, variants
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from dashboards.grafana.expressions import EXPRESSIONS, Series
from vitals import topics

DATASOURCE_UID: Final = "teleward-influx"
DATASOURCE_TYPE: Final = "influxdb"

# Grafana writes these into every query of a rule that it saves (AlertQuery.PreSave): said aloud, nothing differs after.
ALERT_INTERVAL_MS: Final = 1000
ALERT_MAX_POINTS: Final = 43200

Format = Literal["time_series", "table"]

CLINICAL: Final = f'"patient" !~ /^({topics.OWN}|{topics.SYNTHETIC})$/'
"""Of patients: neither alarms about ourselves nor the test patient, who is nobody."""


class InfluxError(Exception):
    """InfluxDB cannot be reached or refuses a question; the message is its own."""


def datasource() -> DataSourceRef:
    """Our data source, by its uid."""
    return DataSourceRef(type_val=DATASOURCE_TYPE, uid=DATASOURCE_UID)


def expression_source() -> DataSourceRef:
    """What stands for a data source in an expression."""
    return DataSourceRef(type_val=EXPRESSIONS, uid=EXPRESSIONS)


def name(identifier: str) -> str:
    """A measurement, field or tag as InfluxQL wants it."""
    if '"' in identifier or "\\" in identifier:
        raise ValueError(f"{identifier!r} cannot be a name in InfluxQL")
    return f'"{identifier}"'


@dataclass(frozen=True, slots=True)
class InfluxQuery(variants.Dataquery):
    """A question as a panel or a rule keeps it.

    Attributes:
        query: InfluxQL, with Grafana's ``$timeFilter`` and the dashboard's variables.
        ref_id: Its letter.
        alias: Name of each series: ``$tag_patient``, ``$col``.
        result_format: Series over time, or one table.
        alert: True in a rule, where the server writes two more fields beside the question.
        hide: True where only expressions look at the answer.
    """

    query: str
    ref_id: str = "A"
    alias: str = ""
    result_format: Format = "time_series"
    alert: bool = False
    hide: bool = False

    def to_json(self) -> dict[str, object]:
        """As Grafana keeps it."""
        payload: dict[str, object] = {
            "datasource": datasource(),
            "refId": self.ref_id,
            "query": self.query,
            "rawQuery": True,
            "resultFormat": self.result_format,
        }
        if self.alias:
            payload["alias"] = self.alias
        if self.alert:
            payload |= {"intervalMs": ALERT_INTERVAL_MS, "maxDataPoints": ALERT_MAX_POINTS}
        if self.hide:
            payload["hide"] = True
        return payload

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            data["query"], data["refId"], data.get("alias", ""), data["resultFormat"], "intervalMs" in data,
            data.get("hide", False),
        )  # fmt: skip


class Query(builder.Builder[variants.Dataquery]):
    """Hands an `InfluxQuery` to the typed builders."""

    def __init__(
        self, query: str, ref_id: str = "A", *, alias: str = "", result_format: Format = "time_series",
        alert: bool = False, hide: bool = False,
    ) -> None:  # fmt: skip
        """See `InfluxQuery`."""
        self._query = InfluxQuery(query, ref_id, alias, result_format, alert, hide)

    def build(self) -> variants.Dataquery:
        """The query."""
        return self._query


def variant() -> runtime.DataqueryConfig:
    """How the typed models read back the queries of a panel of ours, expressions among them."""
    return runtime.DataqueryConfig(DATASOURCE_TYPE, _read_back)


def _read_back(data: dict[str, Any]) -> variants.Dataquery:
    if data["datasource"]["type"] == EXPRESSIONS:
        return runtime.dataquery_from_json(data, EXPRESSIONS)
    return InfluxQuery.from_json(data)


# -- asking ------------------------------------------------------------------------------------------------------------

_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What InfluxDB says to one question.

    Attributes:
        series: For each: its measurement, tags, columns (``time`` first) and rows; times in nanoseconds.
    """

    series: tuple[tuple[str, dict[str, str], tuple[str, ...], tuple[tuple[Any, ...], ...]], ...]

    @property
    def rows(self) -> int:
        """Rows of all series that hold a value besides the time."""
        return sum(any(value is not None for value in row[1:]) for _, _, _, rows in self.series for row in rows)

    def as_series(self) -> list[Series]:
        """As Grafana sees a time series: one for each column, its tags as labels."""
        return [
            Series(
                frozenset(tags.items()),
                tuple((row[0], None if row[index] is None else float(row[index])) for row in rows),
            )
            for _, tags, columns, rows in self.series
            for index in range(1, len(columns))
        ]


def rendered(query: str, from_ns: int, to_ns: int, interval_s: int, variables: Mapping[str, str]) -> str:
    """A question as Grafana sends it: its macros and the dashboard's variables filled in.

    Raises:
        InfluxError: If it uses a variable that is not given: Grafana would send it as it stands.
    """
    # As Grafana writes it, in milliseconds and with both ends.
    when = f"time >= {from_ns // 1_000_000}ms and time <= {to_ns // 1_000_000}ms"
    known = {**variables, "timeFilter": when, "__interval": f"{interval_s}s", "__interval_ms": f"{interval_s * 1000}"}

    def fill(found: re.Match[str]) -> str:
        variable = found[1] or found[2]
        if variable not in known:
            raise InfluxError(f"the variable {variable!r} is not defined, in: {query}")
        return known[variable]

    return _VARIABLE.sub(fill, query)


class Influx:
    """A running InfluxDB, asked in InfluxQL over the interface that 1.8, 2.x and 3 share."""

    def __init__(self, url: str, database: str, token: str = "", timeout_s: float = 30.0) -> None:
        """Nothing is asked yet."""
        self._url, self._database, self._token, self._timeout_s = url.rstrip("/"), database, token, timeout_s

    def ask(self, influxql: str) -> Answer:
        """One question.

        Raises:
            InfluxError: If there is no answer, or a refusal.
        """
        body = urllib.parse.urlencode({"q": influxql, "db": self._database, "epoch": "ns"}).encode()
        headers = {"Authorization": f"Token {self._token}"} if self._token else {}
        request = urllib.request.Request(f"{self._url}/query", body, headers)  # noqa: S310 - checked by the settings
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as told:  # noqa: S310 - as above
                answer = json.loads(told.read())
        except urllib.error.HTTPError as error:
            raise InfluxError(f"{error.read().decode(errors='replace').strip()}, of: {influxql}") from error
        except OSError as error:
            raise InfluxError(f"InfluxDB at {self._url} does not answer: {error}") from error
        (result,) = answer["results"]
        if "error" in result:
            raise InfluxError(f"{result['error']}, of: {influxql}")
        return Answer(
            tuple(
                (
                    one.get("name", ""), one.get("tags", {}), tuple(one["columns"]),
                    tuple(tuple(row) for row in one.get("values", ())),
                )
                for one in result.get("series", ())
            )
        )  # fmt: skip
