"""An artifact's graph in ONNX Runtime: features and state of many patients in, log-odds and next state out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from models.artifact import ArtifactMismatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from models.artifact import Artifact

BATCH = 64
"""Rows given to the graph at once, the last lot padded.

A fixed number, because a matrix product may round differently for another number of rows: a patient's score must not
depend on who else is on the ward. The cost is that one patient takes as long as 64 (about a millisecond).
"""


def broken(said: NDArray[np.floating], hidden: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Where arithmetic broke down: a score or a hidden number that is none. Such a state would stay so for ever.

    Args:
        said: Shape (n,), what the network said, before anything is withheld.
        hidden: Shape (n, state_width), the next state.
    """
    return np.asarray(~(np.isfinite(said) & np.isfinite(hidden).all(axis=1)))


def begun(
    rows: NDArray[np.bool_], before: Mapping[str, NDArray[Any]], after: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """The state after a frame, where a stay has begun; where it has not, the state before it.

    A stay begins with its first measurement, as it does in what the networks learned from: a patient who is watched
    from five minutes before the hour, or before the sensors are on, has no empty hour in front.

    Args:
        rows: Shape (n,), where something was measured in this frame or one before.
        before: Of these n patients.
        after: And after the frame.
    """
    if rows.all():
        return dict(after)
    return {
        name: np.where(rows.reshape(-1, *[1] * (array.ndim - 1)), array, before[name]) for name, array in after.items()
    }


class Runtime:
    """One graph, one thread."""

    def __init__(self, artifact: Artifact) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # A ward shares its core with the stream; spinning threads would take it away.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(artifact.graph, options, providers=["CPUExecutionProvider"])
        self._center = np.asarray(artifact.manifest.scaler.center, np.float32)
        self._spread = np.asarray(artifact.manifest.scaler.spread, np.float32)
        self._limit = np.float32(artifact.manifest.scaler.limit)
        self.state_width = artifact.manifest.state_width
        wanted = {"features": len(self._center), "state": self.state_width}
        has = {i.name: i.shape[1] for i in self._session.get_inputs()}
        if has != wanted:
            raise ArtifactMismatchError(artifact.manifest.name, [f"inputs of the graph: {has}, expected {wanted}"])
        self.members = int(self._session.get_outputs()[0].shape[1])

    def start(self, n: int) -> NDArray[np.float32]:
        """State of `n` patients never seen: shape (n, state_width)."""
        return np.zeros((n, self.state_width), np.float32)

    def scale(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features as the graph wants them: centred, scaled, limited; same shape."""
        scaled: NDArray[np.float32] = (features - self._center) / self._spread
        return np.clip(scaled, -self._limit, self._limit)

    def step(
        self, features: NDArray[np.float32], state: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One frame of n patients.

        Args:
            features: Shape (n, n_features), not scaled.
            state: Shape (n, state_width).

        Returns:
            Log-odds of each member of the ensemble, shape (n, members), and the next state, shape (n, state_width).
        """
        n = len(features)
        padded = -(-n // BATCH) * BATCH
        x = np.zeros((padded, features.shape[1]), np.float32)
        s = np.zeros((padded, self.state_width), np.float32)
        x[:n], s[:n] = self.scale(features), state
        logits = np.empty((padded, self.members), np.float32)
        after = np.empty_like(s)
        for i in range(0, padded, BATCH):
            part = slice(i, i + BATCH)
            logits[part], after[part] = self._session.run(None, {"features": x[part], "state": s[part]})
        return logits[:n], after[:n]
