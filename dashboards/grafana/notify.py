"""Who is told of an alert: contact points, routes by priority, quiet hours, and the words of the message.

Grafana's notification is a second way beside the pager: it has no acknowledgement. So it repeats as slowly as an
acknowledgement lasts, and every message leads to the console, where alarms are answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from grafana_foundation_sdk.builders import alerting
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import alerting as models

from dashboards.grafana.boards import as_json
from dashboards.grafana.rules import CLINICAL, LABEL, PIPELINE_FAULT
from dashboards.grafana.settings import Site
from vitals.events import Priority
from vitals.rules import ACK_NS
from vitals.signs import MINUTE_NS

CLINICIANS: Final = "Teleward clinicians"
ENGINEERS: Final = "Teleward engineers"
QUIET: Final = "Teleward quiet hours"
TEMPLATE: Final = "teleward"

_WAIT: Final = {Priority.HIGH: "0s", Priority.MEDIUM: "30s", Priority.LOW: "5m"}


def contact_points(site: Site) -> list[dict[str, Any]]:
    """Mail and a webhook, for clinicians and for engineers."""
    found = []
    for name, uid, mail in (
        (CLINICIANS, "teleward-clinicians", site.clinicians_mail),
        (ENGINEERS, "teleward-engineers", site.engineers_mail),
    ):
        words = {
            "subject": f'{{{{ template "{TEMPLATE}.subject" . }}}}',
            "message": f'{{{{ template "{TEMPLATE}.message" . }}}}',
        }
        found.append(_point(name, f"{uid}-mail", "email", {"addresses": mail, "singleEmail": False, **words}))
        hook = {"url": site.webhook_url, "httpMethod": "POST", "title": words["subject"], "message": words["message"]}
        found.append(_point(name, f"{uid}-webhook", "webhook", hook))
    return found


def _point(name: str, uid: str, kind: Any, settings: Mapping[str, object]) -> dict[str, Any]:
    point = alerting.ContactPoint().name(name).uid(uid).type(kind).settings(dict(settings))
    built: dict[str, Any] = as_json(point.disable_resolve_message(False).build())
    return built


def branch() -> dict[str, Any]:
    """Our branch of the notification policies."""
    routes: list[Builder[models.NotificationPolicy]] = [_clinical(priority) for priority in reversed(Priority)]
    critical = [[LABEL, "=", PIPELINE_FAULT], ["severity", "=", "critical"]]
    # Nobody watches: who is at the bedside must know, and who mends it.
    routes.append(_policy(CLINICIANS, critical, ["alertname"], "0s", "1m", "10m").continue_val(True))
    routes.append(_policy(ENGINEERS, [[LABEL, "=", PIPELINE_FAULT]], ["alertname"], "30s", "5m", "4h"))
    whole = _policy(ENGINEERS, [[LABEL, "=~", f"{CLINICAL}|{PIPELINE_FAULT}"]], ["alertname"], "30s", "5m", "4h")
    built: dict[str, Any] = as_json(whole.routes(routes).build())
    return built


def whole_tree() -> dict[str, Any]:
    """The policies of a Grafana that is Teleward's alone."""
    tree = alerting.NotificationPolicy().receiver(ENGINEERS).group_by(["grafana_folder", "alertname"])
    built: dict[str, Any] = as_json(tree.build())
    return {**built, "routes": [branch()]}


def _clinical(priority: Priority) -> alerting.NotificationPolicy:
    matchers = [[LABEL, "=", CLINICAL], ["priority", "=", priority.value]]
    every = (
        f"{ACK_NS[priority] // MINUTE_NS}m"
        if ACK_NS[priority] < 60 * MINUTE_NS
        else f"{ACK_NS[priority] // MINUTE_NS // 60}h"
    )
    policy = _policy(CLINICIANS, matchers, ["alertname", "patient"], _WAIT[priority], "1m", every)
    return policy.mute_time_intervals([QUIET]) if priority is Priority.LOW else policy


def _policy(
    receiver: str, matchers: list[list[str]], group_by: list[str], wait: str, interval: str, repeat: str
) -> alerting.NotificationPolicy:
    policy = alerting.NotificationPolicy().receiver(receiver).object_matchers(matchers).group_by(group_by)
    return policy.group_wait(wait).group_interval(interval).repeat_interval(repeat)


def mute_timings(site: Site) -> list[dict[str, Any]]:
    """The quiet hours, in which only low-priority notifications wait.

    Written out: the typed builder names the ends of a time ``from`` and ``to``, Grafana's interface ``start_time`` and
    ``end_time``.
    """
    start, end = site.quiet_hours
    spans = [(start, end)] if start < end else [(start, "24:00"), ("00:00", end)]
    times = [{"start_time": a, "end_time": b} for a, b in spans if a != b]
    return [{"name": QUIET, "time_intervals": [{"times": times, "location": site.time_zone}]}]


def templates(site: Site) -> list[dict[str, Any]]:
    """The words of a message: patient, sign, value, limit and age stand in the alert's description."""
    text = _TEXT.replace("CONSOLE", site.console_url).replace("NAME", TEMPLATE).strip()
    built: dict[str, Any] = as_json(alerting.NotificationTemplate().name(TEMPLATE).template(text).build())
    return [built]


_TEXT: Final = """
{{ define "NAME.subject" -}}
{{ if gt (len .Alerts.Firing) 0 }}{{ with (index .Alerts.Firing 0).Annotations.summary }}{{ . }}{{ end }}
{{- if gt (len .Alerts.Firing) 1 }} (and {{ len (slice .Alerts.Firing 1) }} more){{ end }}
{{- else }}No longer firing: {{ .CommonLabels.alertname }}{{ end }}
{{- end }}

{{ define "NAME.message" -}}
{{ range .Alerts.Firing }}{{ .Annotations.summary }}
{{ .Annotations.description }}
Firing since {{ .StartsAt.Format "2006-01-02 15:04:05 MST" }}

{{ end }}{{ range .Alerts.Resolved -}}
No longer firing: {{ .Labels.alertname }}{{ with .Labels.patient }} of {{ . }}{{ end }}
{{ with .Annotations.grafana_state_reason }}Because nothing is told of it any more ({{ . }}): that is not a recovery.
{{ else }}The alarm has changed or was closed in Teleward; the console says by whom and why.
{{ end }}
{{ end }}Alarms are answered on the console: CONSOLE
Research software, not a medical device.
{{- end }}
"""
