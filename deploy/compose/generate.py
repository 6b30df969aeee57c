"""Writes ``compose.yaml`` and Grafana's provisioning from the native stack's values; a test holds them in step.

``python -m deploy.compose.generate`` after a change of `deploy.brokers.values` or of what is here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.brokers import values
from deploy.compose import grafana, prepare
from vitals import topics

FILE: Final = Path(__file__).with_name("compose.yaml")

_HEAD: Final = """\
# Teleward in containers. Written by `python -m deploy.compose.generate`; changes by hand are lost.
#
#   docker compose -f deploy/compose/compose.yaml up --build
#
# The console and Grafana answer on this machine only; devices come in by TLS, as users that `teleward device add` made:
#
#   docker compose -f deploy/compose/compose.yaml run --rm --entrypoint teleward prepare device add ID
#   docker compose -f deploy/compose/compose.yaml kill --signal HUP mosquitto
#
# People sign in to the page with accounts (restart the console afterwards):
#
#   docker compose -f deploy/compose/compose.yaml run --rm --entrypoint teleward prepare account add NAME
"""

_USER: Final = "10001:10001"
_KAFKA: Final = f"kafka:{values.KAFKA_PORT}"
_STORE: Final = {
    "TELEWARD_STORE": f"influx:http://influxdb:{values.INFLUX_PORT}/{values.INFLUX_DATABASE}",
    "TELEWARD_INFLUX_TOKEN_FILE": f"{prepare.STORE}/influx-token",
}
_LONG: Final = {"interval": "5s", "timeout": "10s", "retries": 24, "start_period": "60s"}
_PARTS: Final = ("bridge", "monitoring", "storing", "console", "pager")
_PULSE: Final = "/tmp/pulse.json"  # noqa: S108 - the container's own
_WARD: Final = f"ward:{prepare.WARD}"


def compose() -> dict[str, Any]:
    """The whole file, as values."""
    return {
        "name": "teleward",
        "services": {
            "prepare": _prepare(),
            "kafka": _kafka(),
            "settle": _settle(),
            "mosquitto": _mosquitto(),
            "influxdb": _influxdb(),
            "grafana": _grafana(),
            **{part: _part(part) for part in _PARTS},
        },
        "networks": {"inside": {"internal": True}, "outside": {}},
        "volumes": {name: {} for name in ("mqtt", "sessions", "store", "ward", "page", "kafka", "influxdb", "grafana")},
    }


def text() -> str:
    """The whole file, as it is written."""
    return f"{_HEAD}\n{yaml.safe_dump(compose(), sort_keys=False, width=120)}"


def _closed(**service: Any) -> dict[str, Any]:
    """A service that may do no more than it must."""
    return {
        "restart": "unless-stopped",
        "networks": ["inside"],
        "security_opt": ["no-new-privileges:true"],
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}},
        **service,
    }


def _own(**service: Any) -> dict[str, Any]:
    """A service of Teleward's own image."""
    return _closed(
        image="teleward:latest",
        build={
            "context": "../..",
            "dockerfile": "deploy/compose/Dockerfile",
            "args": {"PYTHON_IMAGE": values.versions().images.python},
        },
        user=_USER,
        read_only=True,
        tmpfs=["/tmp"],  # noqa: S108 - the container's own
        cap_drop=["ALL"],
        **service,
    )


def _prepare() -> dict[str, Any]:
    # First of all: the volumes that it mounts get the owner that their folders have in its image.
    service = _own(
        entrypoint=["python", "-m", "deploy.compose.prepare"],
        environment={
            prepare.HOSTS: f"${{{prepare.HOSTS}:-}}",
            "TELEWARD_MQTT_USERS": f"{prepare.MQTT}/users",
            "TELEWARD_CONSOLE_ACCOUNTS_FILE": f"{prepare.WARD}/console/accounts.json",
        },
        volumes=[
            f"mqtt:{prepare.MQTT}",
            f"sessions:{prepare.SESSIONS}",
            f"store:{prepare.STORE}",
            f"page:{prepare.PAGE}",
            _WARD,
        ],
        healthcheck={"disable": True},
        network_mode="none",
    )
    del service["networks"]
    return {**service, "restart": "no"}


def _kafka() -> dict[str, Any]:
    rows = {
        **values.KAFKA_BROKER,
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"CLIENTS://:{values.KAFKA_PORT},CONTROLLER://:{values.KAFKA_CONTROLLER_PORT}",
        "advertised.listeners": f"CLIENTS://{_KAFKA}",
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENTS",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@kafka:{values.KAFKA_CONTROLLER_PORT}",
        "log.dirs": "/var/lib/kafka/data",
    }
    ask = f"/opt/kafka/bin/kafka-broker-api-versions.sh --bootstrap-server {_KAFKA} > /dev/null"
    return _closed(
        image=values.versions().images.kafka,
        environment={
            **{kafka_variable(name): value for name, value in rows.items()},
            "KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m",
        },
        volumes=["kafka:/var/lib/kafka/data"],
        cap_drop=["ALL"],
        healthcheck={"test": ["CMD-SHELL", ask], **_LONG},
    )


def _settle() -> dict[str, Any]:
    return {
        **_own(
            entrypoint=["python", "-m", "deploy.compose.settle"],
            environment={"TELEWARD_KAFKA": _KAFKA, "TELEWARD_PARTITIONS": str(topics.PARTITIONS), **_STORE},
            volumes=[f"store:{prepare.STORE}:ro"],
            depends_on=_after(kafka="service_healthy", influxdb="service_healthy"),
            healthcheck={"disable": True},
        ),
        "restart": "no",
    }


def _mosquitto() -> dict[str, Any]:
    return _closed(
        image=values.versions().images.mosquitto,
        command=["mosquitto", "-c", str(prepare.CONFIG)],
        user=_USER,  # whose files they are
        read_only=True,
        cap_drop=["ALL"],
        networks=["inside", "outside"],
        ports=[f"{values.MQTT_TLS_PORT}:{values.MQTT_TLS_PORT}"],
        volumes=[f"mqtt:{prepare.MQTT}:ro", f"sessions:{prepare.SESSIONS}"],
        depends_on=_after(prepare="service_completed_successfully"),
        healthcheck={"test": ["CMD-SHELL", f"nc -z 127.0.0.1 {values.MQTT_PORT}"], **_LONG},
        stop_grace_period="60s",  # it writes down what waits
    )


def _influxdb() -> dict[str, Any]:
    secret = prepare.STORE
    return _closed(
        image=values.versions().images.influxdb,
        environment={
            "DOCKER_INFLUXDB_INIT_MODE": "setup",
            "DOCKER_INFLUXDB_INIT_USERNAME": "teleward",
            "DOCKER_INFLUXDB_INIT_PASSWORD_FILE": f"{secret}/influx-password",
            "DOCKER_INFLUXDB_INIT_ADMIN_TOKEN_FILE": f"{secret}/influx-token",
            "DOCKER_INFLUXDB_INIT_ORG": values.INFLUX_ORG,
            "DOCKER_INFLUXDB_INIT_BUCKET": values.INFLUX_DATABASE,
            "INFLUXD_REPORTING_DISABLED": "true",
        },
        volumes=["influxdb:/var/lib/influxdb2", f"store:{secret}:ro"],
        depends_on=_after(prepare="service_completed_successfully"),
        healthcheck={"test": ["CMD", "influx", "ping"], **_LONG},
    )


def _grafana() -> dict[str, Any]:
    return _closed(
        image=values.versions().images.grafana,
        networks=["inside", "outside"],
        ports=[f"127.0.0.1:{values.GRAFANA_PORT}:{values.GRAFANA_PORT}"],
        environment={
            "GF_SECURITY_ADMIN_PASSWORD__FILE": f"{prepare.STORE}/grafana-password",
            "GF_AUTH_ANONYMOUS_ENABLED": "false",
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
            **{name: f"${{{name}:-{default}}}" for name, default in grafana.ENVIRONMENT.items()},
        },
        volumes=[
            "grafana:/var/lib/grafana",
            f"store:{prepare.STORE}:ro",
            f"../../dashboards/grafana/provisioning:{grafana.MOUNTED}:ro",
        ],
        cap_drop=["ALL"],
        depends_on=_after(influxdb="service_healthy"),
        healthcheck={
            "test": ["CMD-SHELL", f"wget -q -O /dev/null http://127.0.0.1:{values.GRAFANA_PORT}/api/health"],
            **_LONG,
        },
    )


def _part(part: str) -> dict[str, Any]:
    environment = {
        "TELEWARD_KAFKA": _KAFKA, "TELEWARD_PARTITIONS": str(topics.PARTITIONS), "TELEWARD_PULSE": _PULSE
    }  # fmt: skip
    needs = {"settle": "service_completed_successfully"}
    volumes = []
    extra: dict[str, Any] = {}
    if part == "bridge":
        environment |= {
            "TELEWARD_BRIDGE": values.BRIDGE_USER,
            "TELEWARD_MQTT_HOST": "mosquitto",
            "TELEWARD_MQTT_PORT": str(values.MQTT_TLS_PORT),
            "TELEWARD_MQTT_CA": str(prepare.AUTHORITY),
            "TELEWARD_MQTT_USER": values.BRIDGE_USER,
            "TELEWARD_MQTT_PASSWORD_FILE": f"{prepare.MQTT}/users/own/{values.BRIDGE_USER}",
        }
        needs["mosquitto"] = "service_healthy"
        volumes.append(f"mqtt:{prepare.MQTT}:ro")
    if part in {"storing", "console"}:
        environment |= _STORE
        needs["influxdb"] = "service_healthy"
        volumes.append(f"store:{prepare.STORE}:ro")
    if part == "console":
        environment |= {
            "TELEWARD_CONSOLE_HOST": "0.0.0.0",  # noqa: S104 - the container's; the engine opens it to this machine only
            "TELEWARD_CONSOLE_PORT": str(values.CONSOLE_PORT),
            "TELEWARD_CONSOLE_ACCOUNTS_FILE": f"{prepare.WARD}/console/accounts.json",
            "TELEWARD_CONSOLE_SECRET_FILE": f"{prepare.WARD}/console/secret",
            "TELEWARD_CONSOLE_SESSIONS_FILE": f"{prepare.PAGE}/sessions.jsonl",
            "TELEWARD_CONSOLE_PLAIN": "true",  # the engine forwards from this machine alone
        }
        extra = {
            "networks": ["inside", "outside"],
            "ports": [f"127.0.0.1:{values.CONSOLE_PORT}:{values.CONSOLE_PORT}"],
        }
        volumes += [f"{_WARD}:ro", f"page:{prepare.PAGE}"]
    if part == "pager":
        folder = prepare.WARD / "pager"
        environment |= {
            "TELEWARD_ROTA": f"{folder}/rota.yaml",
            "TELEWARD_PAGER_DB": f"{folder}/pager.db",
            "TELEWARD_LINK_KEY_FILE": f"{folder}/link-key",
            "TELEWARD_TEST_PASSWORD_FILE": f"{prepare.WARD / prepare.TEST_PASSWORD}",
            "TELEWARD_MQTT_HOST": "mosquitto",
            "TELEWARD_MQTT_PORT": str(values.MQTT_TLS_PORT),
            "TELEWARD_MQTT_CA": f"{prepare.WARD / prepare.TEST_AUTHORITY}",
            "TELEWARD_PAGER_CONSOLE_URL": f"${{TELEWARD_PAGER_CONSOLE_URL:-{prepare.CONSOLE_URL}}}",
        }
        extra = {"networks": ["inside", "outside"]}  # pages leave the building
        volumes.append(_WARD)
    service = _own(
        entrypoint=["python", "-m", "deploy.compose.hold"],
        command=["run", part],
        environment=environment,
        depends_on=_after(**needs),
        **extra,
    )
    return {**service, "volumes": volumes} if volumes else service


def _after(**conditions: str) -> dict[str, dict[str, str]]:
    return {service: {"condition": condition} for service, condition in conditions.items()}


def kafka_variable(name: str) -> str:
    """The variable by which Apache Kafka's image takes a setting of the broker: dots become underscores."""
    return "KAFKA_" + name.replace("_", "__").replace("-", "___").replace(".", "_").upper()


def main() -> int:
    """See the module."""
    FILE.write_text(text(), encoding="utf-8")
    grafana.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
