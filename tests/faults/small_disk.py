"""A disk of its own that can be full (a tmpfs; root, Linux)."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Self

_PIECE = bytes(1 << 16)


def why_not() -> str:
    """What keeps us from making a disk here, in words; "" where nothing does."""
    return "" if os.geteuid() == 0 else "a disk of its own takes root"


class SmallDisk:
    """``with SmallDisk(folder, mib) as disk``: what is in `folder` lives there, and goes with it."""

    def __init__(self, folder: Path, mib: int = 64) -> None:
        self.folder = folder
        self._mib = mib
        self._ballast = folder / "ballast"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={self._mib}m,mode=0755", "tmpfs", str(self.folder))
        return self

    def __exit__(self, *_: object) -> None:
        _run("umount", "--lazy", str(self.folder))

    def fill(self) -> None:
        """Not a byte is left."""
        with self._ballast.open("ab", buffering=0) as file:
            piece = _PIECE
            while piece:
                try:
                    file.write(piece)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    piece = piece[: len(piece) // 2]

    def free(self) -> None:
        """There is room again."""
        self._ballast.unlink()


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
