"""Opens WFDB records through the `wfdb` package, which is imported only when one is opened."""

from __future__ import annotations

import importlib
import logging
import re
from pathlib import Path
from types import ModuleType

import numpy as np

from vitals.recording import Recording, RecordingError
from vitals.records import Channels, monitor

log = logging.getLogger(__name__)

_AGE = re.compile(r"<?age>?:?\s+(\d+)", re.IGNORECASE)
_SEX = re.compile(r"<?sex>?:?\s+([FM])\b", re.IGNORECASE)


def _wfdb() -> ModuleType:
    """The package, or a sentence."""
    try:
        return importlib.import_module("wfdb")
    except ImportError as error:
        raise RecordingError(
            "WFDB records need the wfdb package, which is not installed: pip install 'teleward[wfdb]'"
        ) from error


def read_wfdb(path: Path, *, zero_is_missing: bool = True) -> Recording:
    """Read one record: numerics, or signals whose name and unit are a sign's. The patient's name is the record's.

    Age and sex are taken from the header's comments (``# <age>: 60 <sex>: F``); its date is a surrogate and left out.

    Args:
        path: The header, or the record's name without suffix.
        zero_is_missing: Take an exact 0 as not measured; how many there were is logged.

    Raises:
        RecordingError: If the package is missing, or the record is not one or has no sign in it.
    """
    wfdb = _wfdb()
    record = path.with_suffix("") if path.suffix == ".hea" else path
    try:
        read = wfdb.rdrecord(str(record))
    except Exception as error:  # the package raises whatever its parsing meets
        raise RecordingError(
            f"{path}: not a WFDB record that can be read ({error}); are all its files there?"
        ) from error
    value = np.empty((0, 0)) if read.p_signal is None else np.asarray(read.p_signal, np.float64)
    said = " ".join(read.comments or [])
    age, sex = _AGE.search(said), _SEX.search(said)
    channels = Channels(
        patient=record.name,
        rate_hz=float(read.fs),
        names=read.sig_name or [],
        units=read.units or [],
        value=value,
        age=float(age[1]) if age else float("nan"),
        sex=float(sex[1].upper() == "M") if sex else float("nan"),
    )
    zeros = int(np.count_nonzero(value == 0))
    if zeros and zero_is_missing:
        log.warning("%s: %d zeros taken as not measured, as such monitors mean them", path.name, zeros)
    try:
        return monitor(channels, str(path), zero_is_missing=zero_is_missing)
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from error
