"""The commands that run a stack: up, run, doctor, device, account."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from deploy.brokers import values
from deploy.cli_common import Json, PromiseBrokenError, end, quietly
from vitals import topics

_FOLDER = Path(".ward")
Folder = Annotated[Path, typer.Option(envvar="TELEWARD_FOLDER", help="Of the stack: its data, logs and secrets.")]
Users = Annotated[
    Path | None,
    typer.Option(envvar="TELEWARD_MQTT_USERS", help="Folder of the MQTT broker's users; the stack's own by default."),
]


def up(
    stack: Annotated[str, typer.Option(help="embedded, native or compose.")] = "embedded",
    folder: Folder = _FOLDER,
    workers: Annotated[int, typer.Option(help="Monitoring processes; partitions are shared among them.")] = 1,
    partitions: Annotated[int, typer.Option(help="Of a new stack; fixed once its topics exist.")] = topics.PARTITIONS,
    store: Annotated[str, typer.Option(help="influx or sqlite.")] = "influx",
    speed: Annotated[float, typer.Option(help="For trials: ward time runs so many times as fast.")] = 1.0,
    simulate: Annotated[str, typer.Option(help="Play the devices of this scenario besides.")] = "",
    minutes: Annotated[float | None, typer.Option(help="End after so many minutes of the wall.")] = None,
    port: Annotated[int, typer.Option(help="Of the page; 0 takes a free one, here and below.")] = values.CONSOLE_PORT,
    mqtt_port: Annotated[int, typer.Option(help="Of the MQTT broker, on this machine only.")] = values.MQTT_PORT,
    kafka_port: Annotated[int, typer.Option(help="Of Kafka.")] = values.KAFKA_PORT,
    influx_port: Annotated[int, typer.Option(help="Of InfluxDB.")] = values.INFLUX_PORT,
    tls_host: Annotated[str, typer.Option(help="Listen with TLS too, as this name or address, for devices.")] = "",
    tls_port: Annotated[int, typer.Option(help="Of that listener.")] = values.MQTT_TLS_PORT,
    as_json: Json = False,
) -> None:
    """The parts of a stack: started, waited for, watched, started again when they die, stopped in order."""
    from deploy.up.settings import UpSettings

    if stack == "compose":
        from deploy.up.compose import run_compose

        sys.exit(run_compose())
    if store not in {"influx", "sqlite"}:
        raise typer.BadParameter(f"--store is {store!r}; it takes influx or sqlite")
    try:
        settings = UpSettings(
            folder, workers, partitions, cast("Literal['influx', 'sqlite']", store), speed,
            mqtt_port, kafka_port, influx_port, port, tls_host, tls_port, simulate, minutes,
        )  # fmt: skip
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if stack == "native":
        from deploy.up.native import run_native

        result = asyncio.run(run_native(settings, quietly))
    elif stack == "embedded":
        from deploy.up.embedded import run_embedded

        result = asyncio.run(run_embedded(settings, quietly))
    else:
        raise typer.BadParameter(f"--stack is {stack!r}; it takes embedded, native or compose")
    end(result, as_json=as_json, show=_show_up)


def _show_up(result: dict[str, Any]) -> None:
    again = ", ".join(f"{name} {count} times" for name, count in result["restarts"].items())
    print(f"stopped in order; {f'started again: {again}' if again else 'nothing had to be started again'}")


def run(
    part: Annotated[str, typer.Argument(help="bridge, monitoring, storing, console or pager.")],
    tls_cert: Annotated[str, typer.Option(help="Of the page: serve it by TLS with this certificate (PEM).")] = "",
    tls_key: Annotated[str, typer.Option(help="Key of that certificate (PEM, no password).")] = "",
) -> None:
    """One part of a ward in this process, told by its environment; `teleward up` starts and watches them all."""
    from deploy.parts.part import PARTS, quick_loops, run_part, speak

    if part not in PARTS:
        raise typer.BadParameter(f"{part!r} is no part; it is one of {', '.join(PARTS)}")
    tls = {"TELEWARD_CONSOLE_TLS_CERTIFICATE": tls_cert, "TELEWARD_CONSOLE_TLS_KEY": tls_key}
    given = {name: path for name, path in tls.items() if path}
    if given and part != "console":
        raise typer.BadParameter(f"--tls-cert and --tls-key are the page's: give them to console, not to {part}")
    speak()
    quick_loops()
    asyncio.run(run_part(part, {**os.environ, **given}))


def doctor(
    folder: Folder = _FOLDER,
    part: Annotated[str, typer.Option(help="Only this part, by its pulse; self: the one of this environment.")] = "",
    as_json: Json = False,
) -> None:
    """How every part of a stack is, and what to do where it is not well. Exit status 0 only if all is."""
    from deploy.doctor import examine, examine_part, report, show

    result = report(examine_part(os.environ, part) if part else examine(folder))
    end(result, as_json=as_json, show=show)
    if not result["well"]:
        wrong = [one["what"] for one in result["findings"] if not one["well"]]
        raise PromiseBrokenError(f"not well: {', '.join(wrong)}")


device_app = typer.Typer(no_args_is_help=True, help="Credentials of devices at the MQTT broker.")


@device_app.command("add")
def device_add(
    device: str,
    folder: Folder = _FOLDER,
    users: Users = None,
    renew: Annotated[bool, typer.Option("--renew", help="A new password for a device that has lost its own.")] = False,
    as_json: Json = False,
) -> None:
    """Let a device in: its password is said once and kept as a hash; it may publish under its own name only."""
    from deploy.device_accounts import add_device

    end(add_device(device, folder, users, renew=renew), as_json=as_json, show=_show_device)


@device_app.command("remove")
def device_remove(device: str, folder: Folder = _FOLDER, users: Users = None, as_json: Json = False) -> None:
    """Shut a device out, at once."""
    from deploy.device_accounts import remove_device

    end(remove_device(device, folder, users), as_json=as_json, show=lambda r: print(f"{r['device']} is shut out"))


@device_app.command("list")
def device_list(folder: Folder = _FOLDER, users: Users = None, as_json: Json = False) -> None:
    """The devices that may come in."""
    from deploy.device_accounts import list_devices

    end(list_devices(folder, users), as_json=as_json, show=lambda r: print("\n".join(r["devices"]) or "none"))


def _show_device(result: dict[str, Any]) -> None:
    print(f"device    {result['device']}\npassword  {result['password']}   (said once; it is kept as a hash)")
    print(f"topic     {result['topic']}   MQTT 5, QoS 1, client id and user name: the device's")
    if result["authority"]:
        print(f"authority {result['authority']}   the certificate that the device must trust")
    print("the broker knows it" if result["told"] else "no broker runs here; it knows it when it starts")


account_app = typer.Typer(no_args_is_help=True, help="People who may sign in to the page.")


@account_app.command("add")
def account_add(
    name: str,
    role: Annotated[str, typer.Option(help="viewer, clinician, lead, engineer or carer.")] = "viewer",
    patient: Annotated[str, typer.Option(help="Whose page a carer sees; with --role carer only.")] = "",
    folder: Folder = _FOLDER,
    file: Annotated[
        Path | None, typer.Option(envvar="TELEWARD_CONSOLE_ACCOUNTS_FILE", help="The accounts; the stack's by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let somebody in; the password is said once. A running page knows them at once."""
    from deploy.page_accounts import add_account

    result = add_account(name, role, file or folder / "console" / "accounts.json", patient)
    end(result, as_json=as_json, show=lambda r: print(f"{r['name']}, {r['role']}: password {r['password']}"))


def register(app: typer.Typer) -> None:
    """Put these commands on the command line."""
    app.command()(up)
    app.command()(run)
    app.command()(doctor)
    app.add_typer(device_app, name="device")
    app.add_typer(account_app, name="account")
