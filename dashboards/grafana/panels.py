"""The panels that all dashboards are made of: one look, a description on each, a query of each that is tested.

`Board` gives panels their ids and places; what a panel shows comes from the tables of the domain, so a new sign, rule
or hop has its panel, its unit and its limits the day it is in the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import bargauge, stat, statetimeline, table, text, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import text as text_models

from dashboards.grafana.influxql import Query, datasource
from vitals.events import Priority
from vitals.rule import Rule

GREEN: Final = "green"
GRAY: Final = "#8e8e8e"
COLOURS: Final[dict[Priority, str]] = {
    Priority.LOW: "#56a6d9",  # cyan, yellow and red: the colours of priorities in IEC 60601-1-8
    Priority.MEDIUM: "#e0b400",
    Priority.HIGH: "#d4282e",
}
PRIORITY_WORDS: Final = {"0": ("none", GREEN)} | {
    str(number): (priority.value, COLOURS[priority]) for number, priority in enumerate(Priority, 1)
}
WATCH_WORDS: Final = {"0": ("discharged", GRAY), "1": ("paused", COLOURS[Priority.MEDIUM]), "2": ("watched", GREEN)}
STATUS_WORDS: Final = {
    "0": ("ok", GREEN),
    "1": ("slow", COLOURS[Priority.MEDIUM]),
    "2": ("down", COLOURS[Priority.HIGH]),
}

NOTE: Final = "Research software, not a medical device. Limits are defaults that a site's clinicians set."

Step: TypeAlias = tuple[float | None, str]
Words: TypeAlias = dict[str, tuple[str, str]]

_UNITS: Final = {"%": "percent", "Cel": "celsius", "s": "s", "min": "m", "/min": "suffix:/min", "mm[Hg]": "suffix:mmHg"}


def unit(ucum: str) -> str:
    """Grafana's name of a UCUM unit; what it has no name for is written behind the number."""
    return _UNITS.get(ucum, "short" if ucum.startswith("{") else f"suffix:{ucum}")


def steps_of(rules: Sequence[Rule]) -> list[Step]:
    """Colours by the limits of a measure: those of the bands, red outermost.

    Example: with `spo2-low` (87 medium, 85 high) all is red below 85, yellow from there to 87, green above.

    Args:
        rules: Limits of one measure, either direction.
    """
    below = sorted(
        (band.threshold, COLOURS[band.priority]) for rule in rules if rule.direction == "below" for band in rule.bands
    )
    above = sorted(
        (band.threshold, COLOURS[band.priority]) for rule in rules if rule.direction == "above" for band in rule.bands
    )
    starts: list[float | None] = [None, *(threshold for threshold, _ in below)]
    colours = [*(colour for _, colour in below), GREEN]
    return [*zip(starts, colours, strict=True), *above]


def sources_of(rules: Sequence[Rule]) -> str:
    """The same in words, each with its source."""
    return "\n".join(
        f"- **{rule.id}**: "
        + ", ".join(
            f"{'≤' if rule.direction == 'below' else '≥'} {band.threshold:g} {band.priority.value}"
            for band in rule.bands
        )
        + f" ({rule.source})"
        for rule in rules
    )


# The builders of panels have the same methods and no class in common.
P = TypeVar("P", timeseries.Panel, stat.Panel, bargauge.Panel, table.Panel, statetimeline.Panel)
Panel: TypeAlias = timeseries.Panel | stat.Panel | bargauge.Panel | table.Panel | statetimeline.Panel | text.Panel


def _panel(
    kind: P,
    title: str,
    description: str,
    queries: Sequence[Query],
    measured_in: str,
    steps: Sequence[Step],
    words: Words,
) -> P:
    kind.title(title).description(f"{description}\n\n{NOTE}").datasource(datasource()).targets(list(queries))
    kind.unit(measured_in).no_value("nothing known")
    if steps:
        kind.thresholds(_thresholds(steps))
    if words:
        kind.mappings([value_words(words)])
    if steps or words:
        kind.color_scheme(builders.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    return kind


def lines(
    title: str, description: str, *queries: Query, unit: str = "short", steps: Sequence[Step] = (), points: bool = False
) -> timeseries.Panel:
    """Values over time; a gap stays a gap."""
    panel = _panel(timeseries.Panel(), title, description, queries, unit, steps, {})
    panel.color_scheme(builders.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    panel.line_width(1).fill_opacity(0).span_nulls(False)
    panel.show_points(common.VisibilityMode.ALWAYS if points else common.VisibilityMode.AUTO)
    panel.legend(_legend()).tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    if steps:
        style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel.thresholds_style(style)
    return panel


def number(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    steps: Sequence[Step] = (),
    reducer: str = "lastNotNull",
) -> stat.Panel:
    """One number, or one for each series."""
    panel = _panel(stat.Panel(), title, description, queries, unit, steps or [(None, "text")], {})
    panel.reduce_options(common_builders.ReduceDataOptions().calcs([reducer]).values(False))
    return panel.graph_mode(common.BigValueGraphMode.NONE).color_mode(common.BigValueColorMode.VALUE)


def bars(title: str, description: str, *queries: Query, unit: str = "short", reducer: str = "sum") -> bargauge.Panel:
    """A bar for each series."""
    panel = _panel(bargauge.Panel(), title, description, queries, unit, [(None, COLOURS[Priority.LOW])], {})
    panel.reduce_options(common_builders.ReduceDataOptions().calcs([reducer]).values(False))
    return panel.display_mode(common.BarGaugeDisplayMode.BASIC).orientation(common.VizOrientation.HORIZONTAL)


def rows(
    title: str, description: str, *queries: Query, sort_by: str, descending: bool = True, unit: str = "short"
) -> table.Panel:
    """A table, sorted by one of its columns."""
    panel = _panel(table.Panel(), title, description, queries, unit, (), {})
    return panel.sort_by([common_builders.TableSortByFieldState().display_name(sort_by).desc(descending)])


def states(title: str, description: str, *queries: Query, words: Words) -> statetimeline.Panel:
    """A coloured band for each series."""
    panel = _panel(statetimeline.Panel(), title, description, queries, "short", (), words)
    panel.show_value(common.VisibilityMode.NEVER).merge_values(True).row_height(0.9)
    return panel.legend(_legend())


def words_panel(title: str, description: str, content: str) -> text.Panel:
    """Text for people."""
    panel = text.Panel().title(title).description(description)
    return panel.mode(text_models.TextMode.MARKDOWN).content(f"{content}\n\n_{NOTE}_")


def value_words(words: Words) -> models.ValueMapping:
    """Words and colours instead of numbers."""
    return models.ValueMap(
        {
            number: models.ValueMappingResult(text=word, color=colour, index=index)
            for index, (number, (word, colour)) in enumerate(words.items())
        }
    )


def config(name: str, value: object) -> models.DynamicConfigValue:
    """One property of a field that differs from the others' (an *override*)."""
    return models.DynamicConfigValue(name, value)


def column(*, words: Words | None = None, unit: str | None = None) -> list[models.DynamicConfigValue]:
    """How one column of a table looks: coloured words for its numbers, or its unit."""
    found = []
    if words:
        style = {"type": "color-background", "mode": "basic"}
        found += [config("mappings", [value_words(words)]), config("custom.cellOptions", style)]
    if unit:
        found.append(config("unit", unit))
    return found


def _thresholds(steps: Sequence[Step]) -> builders.ThresholdsConfig:
    rows_of = [models.Threshold(value=value, color=colour) for value, colour in steps]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(rows_of)


def _legend() -> common_builders.VizLegendOptions:
    legend = common_builders.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST)
    return legend.placement(common.LegendPlacement.BOTTOM).show_legend(True)
