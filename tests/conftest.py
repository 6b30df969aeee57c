"""What every test may use. Tests import their helpers from the folder `tests` itself."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from pathlib import Path

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).parent.parent
LEAVING_S = 60
TAKING_DOWN_S = 300

# Whoever starts the tests in the background has Ctrl-C ignored for all that follows; tests that press it would wait
# for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """A thread that a test left behind would keep the process for ever: say where it stands, and end."""
    faulthandler.dump_traceback_later(LEAVING_S, exit=True, file=sys.__stderr__)


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """A test that fails loses both of its timeouts here, and what it set up may take for ever to take down.

    The end of the test's protocol puts this one away, as it does with the one that was lost.
    """
    stderr = node.config.stash[fault_handler_stderr_fd_key]
    faulthandler.dump_traceback_later(TAKING_DOWN_S, exit=True, file=stderr)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The recordings that stay outside the repository."""
    folder = Path(os.environ.get("TELEWARD_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}: set TELEWARD_DATA to the folder that holds them")
    return folder
