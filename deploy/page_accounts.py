"""``teleward account``: people who may sign in to the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dashboards.console import Account, Role, hash_password, read_accounts, write_accounts
from dashboards.console.accounts import NAME, AccountsError, generate_password


def add_account(name: str, role: str, file: Path, patient: str = "") -> dict[str, Any]:
    """Let somebody in; the same name again gets a new password and role.

    Args:
        name: What they sign in with.
        role: One of `Role`.
        file: The accounts.
        patient: Whom a carer may see; for a carer, and for no other.

    Returns:
        With the password, which is kept nowhere.

    Raises:
        AccountsError: If name or role can't be one, or the file can't be read.
    """
    if not NAME.fullmatch(name):
        raise AccountsError(f"{name!r} is no name for an account: letters, digits, '.', '_', '@' and '-', at most 64")
    try:
        kind = Role(role)
    except ValueError:
        raise AccountsError(f"--role is {role!r}; it is one of {', '.join(Role)}") from None
    if (kind is Role.CARER) != bool(patient):
        raise AccountsError("--patient names whom a carer may see: give it with --role carer, and with no other role")
    accounts = [one for one in read_accounts(file) if one.name != name] if file.exists() else []
    password = generate_password()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_accounts(file, [*accounts, Account(name, kind, hash_password(password), patient)])
    return {"name": name, "role": kind.value, "password": password, "file": str(file)}
