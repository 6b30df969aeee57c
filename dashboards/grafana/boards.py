"""The frame of a dashboard: uid, links to the others and to the console, variables, ids and places of its panels."""

from __future__ import annotations

import json
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from dashboards.grafana.influxql import datasource
from dashboards.grafana.panels import NOTE, Panel
from vitals.measurements import ALARM_STATE

TAG: Final = "teleward"
WARD: Final = "teleward-ward"
PATIENT: Final = "teleward-patient"
LATENCY: Final = "teleward-latency"
PIPELINE: Final = "teleward-pipeline"
BURDEN: Final = "teleward-burden"

_WIDTH: Final = 24  # columns of Grafana's grid


class Board:
    """Builds one dashboard."""

    def __init__(self, uid: str, title: str, what: str, console_url: str, *, since: str, refresh: str) -> None:
        """An empty one.

        Args:
            uid: Stable: links and bookmarks hold it.
            title: Its name.
            what: What it is for.
            console_url: Where the console is.
            since: Start of its time range: ``now-15m``.
            refresh: How often it asks anew.
        """
        self._id = 0
        self._board = (
            builders.Dashboard(title)
            .uid(uid)
            .description(f"{what} {NOTE}")
            .tags([TAG])
            .readonly()
            .timezone("browser")
            .time(since, "now")
            .refresh(refresh)
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .variables([])  # lists that are there, though empty: pages of Grafana count on them
            .annotations([])
            .link(
                builders.DashboardLink("Teleward")
                .type(models.DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .as_dropdown(True)
                .keep_time(True)
            )
            .link(
                builders.DashboardLink("Console")
                .type(models.DashboardLinkType.LINK)
                .url(console_url)
                .icon("external link")
                .tooltip("Where alarms are answered: Grafana shows, the console acts.")
                .target_blank(True)
            )
        )

    def patient_variable(self) -> None:
        """A choice of one patient: ``$patient`` in queries."""
        self._board.with_variable(
            builders.QueryVariable("patient")
            .label("Patient")
            .description("Pseudonym; the console knows the bed.")
            .query(f'SHOW TAG VALUES FROM {ALARM_STATE.source} WITH KEY = "patient"')
            .datasource(datasource())
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
        )

    def annotate(self, name: str, colour: str, query: str, text_column: str, tags_columns: str) -> None:
        """Marks from a query on every panel over time."""
        self._board.annotation(_InfluxAnnotation(name, colour, query, text_column, tags_columns))

    def row(self, title: str) -> None:
        """A heading; panels after it start a new line."""
        self._id += 1
        self._board.with_row(builders.Row(title).id(self._id))

    def add(self, panel: Panel, width: int, height: int = 8) -> None:
        """Put a panel behind the others."""
        self._id += 1
        panel.id(self._id).span(width).height(height)
        self._board.with_panel(panel)

    def build(self) -> dict[str, Any]:
        """The dashboard as Grafana's interface takes it."""
        built: dict[str, Any] = as_json(self._board.build())
        return built


class _InfluxAnnotation(builders.AnnotationQuery):
    """The typed builder has no fields for InfluxDB's annotations, so they are added to what it builds."""

    def __init__(self, name: str, colour: str, query: str, text_column: str, tags_columns: str) -> None:
        super().__init__()
        self.name(name).datasource(datasource()).enable(True).icon_color(colour)
        self._more = {"query": query, "textColumn": text_column, "tagsColumn": tags_columns, "fromAnnotations": True}

    def build(self) -> models.AnnotationQuery:
        """The annotation with its fields."""
        return InfluxAnnotation(super().build(), self._more)


class InfluxAnnotation(models.AnnotationQuery):
    """An annotation asked of InfluxDB."""

    def __init__(self, base: models.AnnotationQuery, more: dict[str, object]) -> None:
        """`more` goes beside the fields of `base`."""
        self._base, self._more = base, more

    def to_json(self) -> dict[str, object]:
        """As Grafana keeps it."""
        return {**self._base.to_json(), **self._more}


def as_json(built: object) -> Any:
    """What a typed builder built, as plain values."""
    return json.loads(json.dumps(built, cls=JSONEncoder))
