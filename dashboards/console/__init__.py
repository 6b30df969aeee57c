"""The page for the clinician on call.

    topics -> ConsoleState (a fold) -> rows -> one stream for each page
    page -> command -> the input log -> the ward -> alarm event -> the stream: what came of it

It keeps no truth of its own: everything is rebuilt from topics, and the past is asked of a store.
"""

from dashboards.console.accounts import Account, Role, hash_password, read_accounts, write_accounts
from dashboards.console.app import Clock, Console, SendCommand
from dashboards.console.history import History, HistoryUnavailable, NoHistory
from dashboards.console.settings import ConsoleSettings, SettingsError, loopback

__all__ = [
    "Account",
    "Clock",
    "Console",
    "ConsoleSettings",
    "History",
    "HistoryUnavailable",
    "NoHistory",
    "Role",
    "SendCommand",
    "SettingsError",
    "hash_password",
    "loopback",
    "read_accounts",
    "write_accounts",
]
