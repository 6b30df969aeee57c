"""What the machine is, and what each process takes of it: processor time and memory, as the kernel counts them."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


class MachineError(RuntimeError):
    """Processes cannot be measured here."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What processes had taken at an instant.

    Attributes:
        cpu_s: Seconds of processor time by name of the process.
        busy_s: Of all processors, of anybody.
        idle_s: Of all processors.
    """

    cpu_s: Mapping[str, float]
    busy_s: float
    idle_s: float


def usage(pids: Mapping[str, int]) -> Usage:
    """What some processes have taken until now.

    Raises:
        MachineError: If one is gone, or the kernel does not tell.
    """
    try:
        cpu = {name: cpu_s(pid) for name, pid in pids.items()}
        fields = [int(word) for word in Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:9]]
    except (OSError, IndexError, ValueError) as error:
        raise MachineError(f"a process ended while it was measured, or this is no Linux: {error}") from error
    idle = (fields[3] + fields[4]) * _TICK_S
    return Usage(cpu, sum(fields) * _TICK_S - idle, idle)


def cpu_s(pid: int) -> float:
    """Processor time that a process has taken so far, in user and kernel."""
    # The name in brackets may hold blanks: what follows it counts.
    fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def peak_mb(pid: int) -> float:
    """Largest resident memory of a process so far, in megabytes; 0 where the kernel does not tell."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("ascii", "replace"))
    except OSError:
        return 0.0
    return round(int(found[1]) / 1e3, 1) if found else 0.0


def taken(before: Usage, after: Usage, bundles: int, pids: Mapping[str, int]) -> dict[str, Any]:
    """What each process took between two instants.

    Args:
        before: At the first.
        after: At the second.
        bundles: Bundles that came through between them.
        pids: For their memory.

    Returns:
        By process: seconds, seconds for a thousand bundles, share of one processor, peak memory. And of the machine:
        its processors, how busy it was, and how much of that was not ours.
    """
    wall_s = (after.busy_s + after.idle_s - before.busy_s - before.idle_s) / max(1, os.cpu_count() or 1)
    processes = {}
    for name, pid in pids.items():
        spent = after.cpu_s[name] - before.cpu_s[name]
        processes[name] = {
            "cpu_s": round(spent, 3),
            "cpu_s_per_1000": round(spent * 1000 / bundles, 5) if bundles else None,
            "share": round(spent / wall_s, 4) if wall_s else None,
            "memory_mb": peak_mb(pid),
        }
    busy = after.busy_s - before.busy_s
    total = busy + after.idle_s - before.idle_s
    ours = sum(row["cpu_s"] or 0.0 for row in processes.values())
    return {
        "processes": processes,
        "busy": round(busy / total, 4) if total else None,
        "ours": round(ours / total, 4) if total else None,
        "others": round(max(0.0, busy - ours) / total, 4) if total else None,
    }


def described() -> dict[str, Any]:
    """The machine, for reports."""
    model = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text("utf-8", "replace"))
        model = found[1].strip() if found else ""
    memory = Path("/proc/meminfo")
    total = re.search(r"MemTotal:\s+(\d+) kB", memory.read_text("ascii")) if memory.exists() else None
    return {
        "processors": os.cpu_count(),
        "model": model,
        "memory_gb": round(int(total[1]) / 1e6, 1) if total else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
    }
