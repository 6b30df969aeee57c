"""A served model as a folder: what it may be fed, what it was fitted on, and a refusal when the two differ.

```
sepsis-vitals/
  artifact.json   everything below but the graph, and the checksums of the other two
  graph.onnx      one step: features and state in, log-odds and state out
  CARD.md         for people
```
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT = 1
"""Raised when the folder's layout changes its meaning."""
MANIFEST, GRAPH, CARD = "artifact.json", "graph.onnx", "CARD.md"


class ArtifactError(ValueError):
    """The folder holds no artifact that can be served."""


class ArtifactMismatchError(ArtifactError):
    """The artifact was fitted on something else than what it would be fed.

    Attributes:
        differences: One line for each, "what: the artifact has ..., here it is ...".
    """

    def __init__(self, name: str, differences: Sequence[str]) -> None:
        super().__init__(f"{name} is refused:\n  " + "\n  ".join(differences))
        self.differences = tuple(differences)


class Scaler(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """(feature - center) / spread, held within +-limit."""

    center: tuple[float, ...]
    """One for each feature, in the feature's unit."""
    spread: tuple[float, ...]
    """One for each feature, positive."""
    limit: float
    """Scaled features beyond are taken as this: a wild value may not own the score."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `artifact.json` says."""

    format: int
    """Layout of the folder."""
    name: str
    """For example `sepsis-vitals`."""
    kind: str
    """Which head can serve it: `sepsis`, `anomaly`."""
    version: str
    """Of this model; changes with every training."""
    grid_ns: int
    """Length of its frames."""
    feature_version: int
    """`vitals.features.VERSION` at training."""
    inputs: dict[str, str]
    """Columns of the frame in order, each with its UCUM unit."""
    features: tuple[str, ...]
    """Columns of the features, in order."""
    scaler: Scaler
    """How features are scaled before the graph."""
    state_width: int
    """Hidden numbers carried per patient."""
    head: dict[str, Any]
    """What the head needs besides: calibration, threshold, rules. Checked by the head."""
    trained: dict[str, Any]
    """Data, split, seeds, settings, versions of the tools; for people and for repetition."""
    checksums: dict[str, str]
    """SHA-256 of the folder's other files."""


class Artifact(msgspec.Struct, frozen=True):
    """A loaded artifact."""

    manifest: Manifest
    graph: bytes
    card: str


def save(folder: Path, manifest: Manifest, graph: bytes, card: str) -> Manifest:
    """Write the folder; the manifest's checksums are filled in.

    Returns:
        The manifest as written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GRAPH).write_bytes(graph)
    (folder / CARD).write_text(card, encoding="utf-8")
    sums = {GRAPH: _sum(graph), CARD: _sum(card.encode())}
    written = msgspec.structs.replace(manifest, checksums=sums)
    text = msgspec.json.format(msgspec.json.encode(written), indent=1)
    (folder / MANIFEST).write_bytes(text + b"\n")
    return written


def load(folder: Path) -> Artifact:
    """Read the folder and check that it is whole.

    Raises:
        ArtifactError: If a file is missing, unreadable or not the one that was saved.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        graph, card = (folder / GRAPH).read_bytes(), (folder / CARD).read_bytes()
    except (OSError, msgspec.DecodeError) as error:
        raise ArtifactError(f"no artifact in {folder.name}: {error}") from error
    if manifest.format != FORMAT:
        raise ArtifactMismatchError(manifest.name, [_differs("format", manifest.format, FORMAT)])
    broken = [
        _differs(f"checksum of {name}", manifest.checksums.get(name), _sum(content))
        for name, content in ((GRAPH, graph), (CARD, card))
        if manifest.checksums.get(name) != _sum(content)
    ]
    if broken:
        raise ArtifactMismatchError(manifest.name, broken)
    return Artifact(manifest, graph, card.decode())


def require(
    manifest: Manifest, *, kind: str, grid_ns: int, feature_version: int, inputs: Mapping[str, str],
    features: Sequence[str],
) -> None:  # fmt: skip
    """Refuse an artifact that was fitted on other features, units or frames than it would be fed.

    Raises:
        ArtifactMismatchError: With every difference.
    """
    m = manifest
    differences = [
        _differs(what, has, here)
        for what, has, here in (
            ("kind", m.kind, kind),
            ("frame length in ns", m.grid_ns, grid_ns),
            ("feature version", m.feature_version, feature_version),
        )
        if has != here
    ]
    if list(m.inputs) != list(inputs):
        differences.append(_differs("inputs", list(m.inputs), list(inputs)))
    differences += [
        _differs(f"unit of {name}", unit, inputs[name])
        for name, unit in m.inputs.items()
        if name in inputs and inputs[name] != unit
    ]
    differences += _feature_differences(m.features, features)
    for part, numbers in (("centers", m.scaler.center), ("spreads", m.scaler.spread)):
        if len(numbers) != len(features):
            differences.append(_differs(f"number of scaler {part}", len(numbers), len(features)))
    if min(m.scaler.spread, default=1.0) <= 0:
        differences.append("scaler: a spread is not positive")
    if differences:
        raise ArtifactMismatchError(m.name, differences)


def _feature_differences(has: Sequence[str], here: Sequence[str]) -> list[str]:
    if list(has) == list(here):
        return []
    missing, extra = sorted(set(has) - set(here)), sorted(set(here) - set(has))
    if missing or extra:
        return [f"features: only in the artifact {missing}, only here {extra}"]
    first = next(i for i, (a, b) in enumerate(zip(has, here, strict=False)) if a != b)
    return [_differs(f"order of features, first at column {first}", has[first], here[first])]


def _differs(what: str, has: object, here: object) -> str:
    return f"{what}: the artifact has {has}, here it is {here}"


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
