"""Made-up bodies, their stories and their devices' faults; and a player of recordings.

```
  scenario_file -> scenario -> plan -> Simulation.run --publish--> any MQTT broker
   (YAML)           (checked)   |         |
                                |         +-> truth (sidecar; never on the wire)
     bodies <- stories, people -+-> devices (faults, queue)

  Recording -> recorded (bundles at instants) -> Player.run --publish--> any MQTT broker
                                     +-------> a replay without brokers
```

Downstream nothing can tell any of them from a device. Clock and publisher are handed in (`device_sim.ports`).
"""

from device_sim.player import Echoes, Played, Player
from device_sim.ports import Clock, Publisher
from device_sim.recorded import DeviceConflictError, bundles_at_instants, records_of
from device_sim.run import Progress, Simulation, simulate
from device_sim.scenario import Plan, Scenario, in_memory, on_disk, plan, volatile
from device_sim.scenario_file import load, shipped
from device_sim.truth import Onset, Raised, Truth, Verdict
from device_sim.yaml_nodes import ScenarioError

__all__ = [
    "Clock",
    "DeviceConflictError",
    "Echoes",
    "Onset",
    "Plan",
    "Played",
    "Player",
    "Progress",
    "Publisher",
    "Raised",
    "Scenario",
    "ScenarioError",
    "Simulation",
    "Truth",
    "Verdict",
    "bundles_at_instants",
    "in_memory",
    "load",
    "on_disk",
    "plan",
    "records_of",
    "shipped",
    "simulate",
    "volatile",
]
