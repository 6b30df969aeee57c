"""``teleward grafana push | diff | check``: dashboards and alert rules on a server, every question asked for real."""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from dashboards.grafana import Access, Resources, Site, resources
from dashboards.grafana.boards import PATIENT
from dashboards.grafana.checking import Checked, Window, check_boards, check_rule
from dashboards.grafana.client import Grafana
from dashboards.grafana.difference import Difference
from dashboards.grafana.influxql import Influx, InfluxError, rendered
from dashboards.grafana.pushing import Change, diff, push
from deploy.grafana_facts import Facts, Labels
from vitals.signs import SECOND_NS

_HOUR_NS: Final = 3600 * SECOND_NS
_PATIENT_RULES: Final = ("teleward-low", "teleward-medium", "teleward-high", "teleward-overdue", "teleward-unobserved")

Say = Callable[[str], None]


class _Server:
    """A Grafana that is let go of at the end."""

    def __init__(self, access: Access) -> None:
        self._grafana = Grafana(access)

    def __enter__(self) -> Grafana:
        return self._grafana

    def __exit__(self, *_: object) -> None:
        self._grafana.close()


def run_push(access: Access, environ: Mapping[str, str], message: str, say: Say) -> dict[str, Any]:
    """Write what differs; afterwards nothing may differ.

    Returns:
        ``changed`` (what was written, with what differed before) and ``left`` (what differs all the same).

    Raises:
        GrafanaError, SettingsError: The message says what to do.
    """
    wanted = resources(Site.from_env(environ), access.influx_token)

    def told(change: Change) -> None:
        say(f"{'made' if change.made else 'changed'} {change.what}")

    with _Server(access) as server:
        version = server.version()
        changed = push(server, wanted, message, told)
        left = diff(server, wanted) if changed else ()
    return {
        "grafana": version,
        "changed": [
            {"what": one.what, "made": one.made, "differences": [_as_json(d) for d in one.differences]}
            for one in changed
        ],
        "left": [_as_json(one) for one in left],
    }


def run_diff(access: Access, environ: Mapping[str, str]) -> dict[str, Any]:
    """What differs on the server; reads only.

    Raises:
        GrafanaError, SettingsError: The message says what to do.
    """
    with _Server(access) as server:
        version = server.version()
        found = diff(server, resources(Site.from_env(environ), access.influx_token))
    return {"grafana": version, "differences": [_as_json(one) for one in found]}


def _as_json(one: Difference) -> dict[str, str]:
    return {"what": one.what, "path": one.path, "ours": one.ours, "theirs": one.theirs, "words": str(one)}


# -- check -------------------------------------------------------------------------------------------------------------


def run_check(environ: Mapping[str, str], minutes: float, say: Say) -> dict[str, Any]:
    """Fill an InfluxDB of our own by a real run, ask it everything, and compare with what was written.

    Raises:
        ServerError: If InfluxDB is not on this machine.
    """
    from deploy.grafana_ward import filled_influx

    wanted = resources(Site.from_env(environ))

    async def run(folder: Path) -> dict[str, Any]:
        async with filled_influx(folder, minutes, say) as filled:
            return await asyncio.to_thread(
                check_filled, Influx(filled.url, filled.database), wanted, filled.facts, filled.summary
            )

    with tempfile.TemporaryDirectory(prefix="teleward-grafana-check-") as folder:
        return asyncio.run(run(Path(folder)))


def check_filled(influx: Influx, wanted: Resources, facts: Facts, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Ask everything of an InfluxDB whose content is known."""
    from_ns, to_ns = facts.span()
    window = Window(from_ns - SECOND_NS, to_ns + SECOND_NS)
    panels = []
    # Of one patient every alarm, of the other every kind of sign.
    for number, patient in enumerate((facts.busiest(), facts.fullest())):
        expected = facts.expectations(patient, to_ns)
        boards = [board for board in wanted.dashboards if not number or board["uid"] == PATIENT]
        left = {key: one for key, one in expected.items() if not number or key[0] == PATIENT}
        asked = dataclasses.replace(wanted, dashboards=tuple(boards))
        panels += check_boards(influx, asked, window, {"patient": patient}, left, quiet=False)
    rules = [check_rule(influx, rule, _moments(rule["uid"], facts, to_ns)) for rule in _rules(wanted)]
    result = _result(panels, rules)
    fired = {uid: sum(len(wanted or ()) for _, wanted in facts.moments(uid, to_ns)) for uid in _PATIENT_RULES}
    if not fired["teleward-high"] + fired["teleward-medium"] or not fired["teleward-low"]:
        result["problems"].append(
            {"what": "the run", "problem": f"too little happened in it to test the rules: {fired}"}
        )
    if summary.get("promise"):
        result["problems"].append({"what": "the run", "problem": summary["promise"]})
    return {**result, "readings": len(facts.readings), "events": len(facts.events), "fired": fired}


def _moments(uid: str, facts: Facts, to_ns: int) -> list[tuple[int, set[Labels] | None]]:
    """When a rule is asked, and who should fire then; None where nothing is known of it."""
    if uid in _PATIENT_RULES:
        return facts.moments(uid, to_ns)
    if uid != "teleward-stopped":
        return [(to_ns, None)]
    # While states come, 10 minutes and 20 hours after they stopped; after a day there is no data at all.
    stopped = facts.stopped(to_ns)
    late = (_HOUR_NS // 6, 20 * _HOUR_NS)
    return [(to_ns, set()), *((to_ns + after, stopped) for after in late), (to_ns + 30 * _HOUR_NS, set())]


def run_check_of(url: str, token: str, environ: Mapping[str, str], hours: float) -> dict[str, Any]:
    """Ask a running InfluxDB everything; nobody knows what it should say: refusals and empty answers are faults.

    Raises:
        InfluxError: If it does not answer at all.
    """
    site = Site.from_env(environ)
    influx, wanted = Influx(url, site.database, token), resources(site)
    to_ns = time.time_ns()
    window = Window(to_ns - int(hours * _HOUR_NS), to_ns)
    patients = [row[1] for _, _, _, rows in influx.ask(_patients(wanted)).series for row in rows]
    if not patients:
        raise InfluxError(f"InfluxDB at {url} knows no patient: has anything been stored in {site.database!r} yet?")
    panels = check_boards(influx, wanted, window, {"patient": patients[0]}, {}, quiet=True)
    return _result(panels, [check_rule(influx, rule, [(to_ns, None)]) for rule in _rules(wanted)])


def _patients(wanted: Resources) -> str:
    """The question behind the choice of a patient."""
    (variable,) = (v for board in wanted.dashboards for v in board["templating"]["list"] if v["name"] == "patient")
    return rendered(variable["query"], 0, 0, 1, {})


def _rules(wanted: Resources) -> list[dict[str, Any]]:
    return [rule for group in wanted.groups for rule in group["rules"]]


def _result(panels: list[Checked], rules: list[Checked]) -> dict[str, Any]:
    every = [*panels, *rules]
    return {
        "panels": len(panels),
        "rules": len(rules),
        "questions": sum(one.questions for one in every),
        "compared": sum(one.compared for one in every),
        "problems": [{"what": one.what, "problem": one.problem} for one in every if one.problem],
    }
