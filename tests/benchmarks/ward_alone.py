"""How many bundles a second the ward alone takes: no brokers, no bytes, one core.

Run: ``python tests/benchmarks/ward_alone.py [--patients 1000] [--minutes 30] [--sick 0.02]``

Workload ``ward-1000``: every patient wears one device that sends a bundle of five readings each ten seconds; a tick a
second; scores, EWMA and alarms on; `--sick` of the patients drift far enough to raise alarms. Seeded.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from vitals.log import Binding, Enrolment, Tick
from vitals.reading import Block
from vitals.signs import MINUTE_NS, SECOND_NS, Sign
from vitals.ward import Ward

SIGNS = np.array([Sign.HR, Sign.SPO2, Sign.RESP, Sign.TEMP_C, Sign.SBP], dtype=np.uint8)
MEAN = np.array([75.0, 97.0, 15.0, 36.8, 122.0])
SD = np.array([2.5, 0.5, 1.0, 0.05, 3.0])
SICK = np.array([60.0, -9.0, 13.0, 2.0, -35.0])


def blocks(patients: int, minutes: int, sick: float, size: int) -> list[Block | Tick]:
    """The log of the workload."""
    rng = np.random.default_rng(7)
    names = [f"p-{i:05d}" for i in range(patients)]
    devices = [f"d-{i:05d}" for i in range(patients)]
    ill = np.arange(patients) < sick * patients
    log: list[Block | Tick] = []
    period = 10 * SECOND_NS
    for beat in range(minutes * 6):
        start = beat * period
        progress = min(1.0, beat / (minutes * 3))
        for part, low in enumerate(range(0, patients, size)):
            who = np.arange(low, min(low + size, patients))
            n = len(who)
            # Blocks of one beat are spread over its ten seconds, a tick between.
            now = start + period * part // max(1, -(-patients // size))
            value = MEAN + SD * rng.standard_normal((n, 5)) + np.where(ill[who, None], SICK * progress, 0.0)
            value[:, 1] = np.minimum(value[:, 1], 100)
            log.append(Tick(now_ns=now))
            log.append(
                Block(
                    patients=[names[i] for i in who],
                    devices=[devices[i] for i in who],
                    patient=np.arange(n),
                    device=np.arange(n),
                    boot=np.ones(n, dtype=np.int64),
                    seq=np.full(n, beat),
                    sent_ns=np.full(n, now),
                    received_ns=np.full(n, now),
                    n=np.full(n, 5),
                    n_before=np.full(n, 5 * beat),
                    refused=np.zeros(n, dtype=np.int64),
                    battery_pct=np.full(n, 80.0),
                    queued=np.zeros(n, dtype=np.int64),
                    offsets=np.arange(0, 5 * n + 1, 5),
                    sign=np.tile(SIGNS, n),
                    quality=np.zeros(5 * n, dtype=np.uint8),
                    value=value.ravel(),
                    time_ns=np.full(5 * n, now - SECOND_NS),
                )
            )
    return log


def main() -> None:
    """Play the workload and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--sick", type=float, default=0.02)
    parser.add_argument("--block", type=int, default=250)
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    log = blocks(args.patients, args.minutes, args.sick, args.block)
    ward = Ward()
    for i in range(args.patients):
        ward.step(Enrolment(patient=f"p-{i:05d}", state="admitted", at_ns=0))
        ward.step(Binding(device=f"d-{i:05d}", patient=f"p-{i:05d}", from_ns=0, period_ns=10 * SECOND_NS))
    events = bundles = 0

    def play() -> None:
        nonlocal events, bundles
        for record in log:
            out = ward.step(record)
            events += len(out.events)
            if isinstance(record, Block):
                bundles += record.bundles

    if args.profile:
        import cProfile
        import pstats

        profile = cProfile.Profile()
        profile.runcall(play)
        pstats.Stats(profile).sort_stats("tottime").print_stats(22)
    start = time.process_time()
    if not args.profile:
        play()
    took = time.process_time() - start
    snapshot_start = time.process_time()
    size = len(ward.snapshot())
    print(
        json.dumps(
            {
                "workload": f"ward-{args.patients}",
                "bundles": bundles,
                "cpu_s": round(took, 3),
                "bundles_per_s": round(bundles / took) if took > 0.01 else None,
                "events": events,
                "raised": len(ward.book.open_alarms()),
                "snapshot_bytes": size,
                "snapshot_s": round(time.process_time() - snapshot_start, 4),
                "minutes_of_ward_time": args.minutes,
                "last_tick_ns": int(ward.now_ns // MINUTE_NS),
            }
        )
    )


if __name__ == "__main__":
    main()
