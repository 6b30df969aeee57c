"""Who is watched, who wears which device, and when each was last heard: what the ward knows beside the readings."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from vitals.log import Binding, Enrolment
from vitals.reading import BoolArray, FloatArray, IntArray
from vitals.sequence import Bundles
from vitals.signs import MINUTE_NS
from vitals.tables import Table

NOT_ENROLLED: Final = 0  # known from a binding or a bundle only: watched
ADMITTED: Final = 1
PAUSED: Final = 2
DISCHARGED: Final = 3
_STATES: Final = {"admitted": ADMITTED, "paused": PAUSED, "discharged": DISCHARGED}

NOBODY: Final = -1
NEVER: Final = -1
FOREVER: Final = (1 << 63) - 1

DEFAULT_PERIOD_NS: Final = MINUTE_NS  # of a device whose binding never reached this log


class Roster:
    """Patients and devices as rows.

    Attributes:
        patients: Columns `state`, `until_ns` (end of a pause), `since_ns` (when watching began), `scale`, `age`,
            `sex`, `bare_ns` (since when without any device, -1 where it has one).
        devices: Columns `patient` (row, -1 nobody), `from_ns`, `to_ns`, `period_ns`, `heard_ns` (newest bundle, by
            the bridge's clock), `battery`, `offset_ns` (received less sent of the newest bundle sent with an empty
            queue), `silent` (level of silence told).
    """

    def __init__(self) -> None:
        """Nobody yet."""
        self.patients = Table(
            {
                "state": (np.int8, (), NOT_ENROLLED),
                "until_ns": (np.int64, (), FOREVER),
                "since_ns": (np.int64, (), NEVER),
                "bare_ns": (np.int64, (), NEVER),
                "scale": (np.int64, (), 1),
                "age": (np.float64, (), np.nan),
                "sex": (np.float64, (), np.nan),
            }
        )
        self.devices = Table(
            {
                "patient": (np.int64, (), NOBODY),
                "from_ns": (np.int64, (), 0),
                "to_ns": (np.int64, (), FOREVER),
                "period_ns": (np.int64, (), DEFAULT_PERIOD_NS),
                "heard_ns": (np.int64, (), NEVER),
                "battery": (np.float64, (), -1.0),
                "offset_ns": (np.int64, (), 0),
                "silent": (np.int8, (), 0),
            }
        )
        self._rank = np.zeros(0, dtype=np.int64)

    def enrol(self, said: Enrolment, now_ns: int) -> int:
        """Take an enrolment; gives the patient's row."""
        row = self._patient(said.patient, now_ns)
        patients = self.patients
        patients["state"][row] = _STATES[said.state]
        patients["until_ns"][row] = FOREVER if said.until_ns is None else said.until_ns
        patients["scale"][row] = said.spo2_scale
        if said.age is not None:
            patients["age"][row] = said.age
        if said.sex is not None:
            patients["sex"][row] = float(said.sex == "m")
        return row

    def bind(self, said: Binding, now_ns: int) -> int | None:
        """Take a binding; gives the patient's row where the device is now watched for that patient.

        A binding that ended before the one already known began says nothing about now.
        """
        devices = self.devices
        row = devices.row(said.device)
        patient = self._patient(said.patient, now_ns)
        if not self.takes(said):
            return None
        changed = devices["patient"][row] != patient or devices["to_ns"][row] <= now_ns
        devices["patient"][row] = patient
        devices["from_ns"][row] = said.from_ns
        devices["to_ns"][row] = FOREVER if said.to_ns is None else said.to_ns
        devices["period_ns"][row] = said.period_ns
        if changed:
            # Its silence is counted from here, not from what it said for somebody else.
            devices["heard_ns"][row] = max(now_ns, said.from_ns) if now_ns >= 0 else NEVER
            devices["silent"][row] = 0
        return patient

    def takes(self, said: Binding) -> bool:
        """Whether a binding says anything about now: none does that began before the one already known."""
        row = self.devices.get(said.device)
        devices = self.devices
        return row is None or devices["patient"][row] == NOBODY or said.from_ns >= devices["from_ns"][row]

    def begin(self, now_ns: int) -> None:
        """At the first tick: what was said before there was any time counts from now."""
        devices = self.devices
        bound = (devices["patient"] != NOBODY) & (devices["heard_ns"] == NEVER)
        devices["heard_ns"][bound] = np.maximum(now_ns, devices["from_ns"][bound])
        self.patients["since_ns"][:] = np.maximum(self.patients["since_ns"], now_ns)

    def hear(self, bundles: Bundles) -> None:
        """Note that devices were heard: newest receipt, charge, clock."""
        devices = self.devices
        row = bundles.device
        np.maximum.at(devices["heard_ns"], row, bundles.received_ns)
        told = bundles.battery_pct >= 0
        devices["battery"][row[told]] = bundles.battery_pct[told]
        live = bundles.queued == 0
        devices["offset_ns"][row[live]] = (bundles.received_ns - bundles.sent_ns)[live]
        strange = devices["patient"][row] == NOBODY  # its binding never reached this log; the bridge knew it
        for index in np.flatnonzero(strange).tolist():
            devices["patient"][row[index]] = bundles.patient[index]

    def rows_of(self, patients: list[str], devices: list[str], now_ns: int) -> tuple[IntArray, IntArray]:
        """Rows of a block's names; strangers get theirs."""
        patient_rows = self.patients.rows(patients)
        fresh = patient_rows[self.patients["since_ns"][patient_rows] == NEVER]
        self.patients["since_ns"][fresh] = now_ns
        return patient_rows, self.devices.rows(devices)

    def _patient(self, name: str, now_ns: int) -> int:
        row = self.patients.row(name)
        if self.patients["since_ns"][row] == NEVER:
            self.patients["since_ns"][row] = now_ns
        return row

    def watched(self) -> IntArray:
        """Rows of the patients who are watched: all but the discharged."""
        return np.flatnonzero(self.patients["state"] != DISCHARGED)

    def may_be_silent(self, now_ns: int) -> BoolArray:
        """Shape (patients,), true where silence is no alarm: a pause that has not ended, or a discharge."""
        state = self.patients["state"]
        paused = (state == PAUSED) & (self.patients["until_ns"] > now_ns)
        excused: BoolArray = paused | (state == DISCHARGED)
        return excused

    def paused_until_ns(self) -> IntArray:
        """Shape (patients,), end of each patient's pause, past or to come; -1 for who was not paused last."""
        return np.where(self.patients["state"] == PAUSED, self.patients["until_ns"], NEVER)

    def bound(self, now_ns: int) -> BoolArray:
        """Shape (devices,), true where somebody wears the device at `now_ns`."""
        devices = self.devices
        worn: BoolArray = (devices["patient"] != NOBODY) & (devices["from_ns"] <= now_ns) & (devices["to_ns"] > now_ns)
        return worn

    def device_rank(self) -> IntArray:
        """Shape (devices,), place of each device among all by id."""
        if len(self._rank) != len(self.devices):
            order = np.argsort(np.array(self.devices.names)) if len(self.devices) else np.zeros(0, dtype=np.int64)
            self._rank = np.empty(len(order), dtype=np.int64)
            self._rank[order] = np.arange(len(order))
        return self._rank

    def of_devices(self, values: FloatArray, worn: BoolArray, fill: float) -> FloatArray:
        """The least of some value over each patient's worn devices; `fill` where there is none. Shape (patients,)."""
        out = np.full(len(self.patients), fill)
        rows = np.flatnonzero(worn)
        np.minimum.at(out, self.devices["patient"][rows], values[rows])
        return out

    def state(self) -> dict[str, Any]:
        """Everything it holds, for a snapshot."""
        return {"patients": self.patients.state(), "devices": self.devices.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Set down what `state` gave."""
        self.patients.load(state["patients"])
        self.devices.load(state["devices"])
        self._rank = np.zeros(0, dtype=np.int64)
