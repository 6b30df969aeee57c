"""Grafana as code: dashboards, alert rules, contact points, routes and quiet hours.

```
   vitals.signs, rules, hops, measurements          what there is, its unit, its limits, where it is kept
        |
        v
   clinical, engineering, burden, rules, notify     five dashboards, the alert rules, who is told
        |
        v
   resources(site)                                  everything, as plain values
        |                        |                        |
        v                        v                        v
   provisioned_files       pushing.push, diff       checking.check
   (compose mounts them)   (any Grafana 11.6)       (every question, asked of a real InfluxDB)
```

Grafana shows what Teleward decided and notifies from it; it decides nothing about a patient, and its notifications
know no acknowledgement: alarms are answered on the console.
"""

from dashboards.grafana.resources import Resources, resources
from dashboards.grafana.settings import Access, SettingsError, Site

__all__ = ["Access", "Resources", "SettingsError", "Site", "resources"]
