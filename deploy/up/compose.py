"""``teleward up --stack compose``: hands the shipped file to the engine of this machine."""

from __future__ import annotations

import shutil
import subprocess
from typing import Final

from deploy.compose.generate import FILE

_ENGINES: Final = (("docker", "compose"), ("docker-compose",), ("podman", "compose"))


class ComposeError(RuntimeError):
    """There is nothing that can run containers; the message says what was looked for."""


def engine() -> tuple[str, ...]:
    """The command that runs compose files here.

    Raises:
        ComposeError: If there is none, or none whose engine answers.
    """
    tried = []
    for command in _ENGINES:
        if shutil.which(command[0]) is None:
            continue
        asked = subprocess.run([*command, "version"], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            return command
        words = (asked.stderr or asked.stdout).strip().partition("\n")[0]
        tried.append(f"`{' '.join(command)}` says: {words}")
    raise ComposeError(
        "no engine for containers is at hand (Docker with its compose plugin, docker-compose or podman compose); "
        "`teleward up --stack native` needs none" + "".join(f"; {one}" for one in tried)
    )


def run_compose() -> int:
    """Run the containers in the foreground, built where they must be; Ctrl-C stops them in order.

    Returns:
        The engine's exit status.

    Raises:
        ComposeError: If there is no engine.
    """
    return subprocess.run([*engine(), "-f", str(FILE), "up", "--build"], check=False).returncode
