"""The containers' files: in step with the values of the native stack, closed where they can be, and whole."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from dashboards.console import ConsoleSettings
from deploy.brokers import values
from deploy.brokers.mosquitto import Role
from deploy.compose import generate, prepare
from deploy.devices import Accounts
from deploy.native.installed import look
from stream_processors.paging.rota_file import read_rota
from stream_processors.settings import NEEDS_SOMEONE
from vitals import topics

ROOT = Path(generate.__file__).parent.parent.parent
SERVICES = generate.compose()["services"]
OWN = {name: service for name, service in SERVICES.items() if "build" in service}


def test_the_file_is_what_the_generator_writes():
    assert generate.FILE.read_text() == generate.text(), "run: python -m deploy.compose.generate"
    assert yaml.safe_load(generate.FILE.read_text()) == generate.compose()


def test_kafka_gets_every_value_that_the_native_one_gets():
    environment = SERVICES["kafka"]["environment"]
    for name, value in values.KAFKA_BROKER.items():
        assert environment[generate.kafka_variable(name)] == value
    assert generate.kafka_variable("group.min.session.timeout.ms") == "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS"


def test_images_are_pinned_and_kafka_is_the_same_everywhere():
    images = values.versions().images
    for name in ("kafka", "mosquitto", "influxdb", "grafana"):
        assert SERVICES[name]["image"] == getattr(images, name)
        assert re.fullmatch(r"[a-z/-]+:\d+\.\d+\.\d+", getattr(images, name))
    assert images.kafka.endswith(f":{values.versions().native.kafka}")


def test_whatever_is_mounted_or_waited_for_exists():
    volumes, networks = generate.compose()["volumes"], generate.compose()["networks"]
    for name, service in SERVICES.items():
        assert set(service.get("networks", ())) <= set(networks), name
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert source in volumes or source.startswith("../../"), name
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in SERVICES[other]["healthcheck"], (name, other)
            else:
                assert (how["condition"], SERVICES[other]["restart"]) == ("service_completed_successfully", "no")


def test_whoever_reads_what_prepare_writes_comes_after_it():
    def before(name: str) -> set[str]:
        direct = set(SERVICES[name].get("depends_on", ()))
        return direct.union(*(before(other) for other in direct))

    for name, service in SERVICES.items():
        if name != "prepare" and {"mqtt", "store"} & {mount.split(":")[0] for mount in service.get("volumes", ())}:
            assert "prepare" in before(name), name


def test_only_tls_is_open_to_others():
    opened = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    outside = {name: ports for name, ports in opened.items() if not all(p.startswith("127.0.0.1:") for p in ports)}
    assert outside == {"mosquitto": ["8883:8883"]}
    assert generate.compose()["networks"]["inside"] == {"internal": True}


def test_our_own_containers_can_write_nowhere_and_become_nobody():
    assert set(OWN) == {"prepare", "settle", "bridge", "monitoring", "storing", "console", "pager"}
    for service in OWN.values():
        assert service["user"] == "10001:10001"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
    assert all(service["security_opt"] == ["no-new-privileges:true"] for service in SERVICES.values())


HOLDING = "import sys; from deploy.compose.hold import hold; sys.exit(hold([sys.executable, '-c', sys.argv[1]]))"


def held(code: str) -> subprocess.Popen[str]:
    """A container's first process, whose part is a line of Python."""
    command = [sys.executable, "-c", HOLDING, code]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_every_part_is_held_where_the_engine_would_start_it_again_and_again():
    held_by = {
        name for name, service in OWN.items() if service["entrypoint"] == ["python", "-m", "deploy.compose.hold"]
    }
    assert held_by == {name for name, service in OWN.items() if service["restart"] != "no"}


def test_a_part_that_needs_somebody_leaves_its_container_standing():
    process = held(f"import sys; print('what to do', file=sys.stderr); sys.exit({NEEDS_SOMEONE})")
    assert process.stderr is not None
    assert process.stderr.readline() == "what to do\n"
    assert "needs somebody" in process.stderr.readline()
    assert process.poll() is None
    process.terminate()
    assert process.wait() == NEEDS_SOMEONE
    process.communicate()


@pytest.mark.parametrize(("code", "status"), [("", 0), ("raise SystemExit(70)", 70), ("import os; os.abort()", 134)])
def test_a_part_that_ends_otherwise_ends_its_container(code, status):
    process = held(code)
    process.communicate()
    assert process.returncode == status


def test_a_part_is_told_to_end_when_its_container_is():
    process = held(
        "import signal, sys; signal.signal(15, lambda *_: sys.exit(3)); print('up', flush=True); signal.pause()"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.terminate()
    assert process.wait() == 3
    process.communicate()


def test_no_secret_stands_in_the_file():
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|SECRET", name):
                assert name.endswith("_FILE"), name
                assert value.startswith(str(prepare.ROOT))


def test_what_is_prepared_is_what_the_broker_reads(tmp_path):
    mqtt, store, ward = tmp_path / "mqtt", tmp_path / "store", tmp_path / "ward"
    made = prepare.prepare(mqtt, store, ward, {prepare.HOSTS: "ward-7.example, 10.1.2.3"})
    assert len(made) == 9
    text = (mqtt / "mosquitto.conf").read_text()
    assert f"listener {values.MQTT_TLS_PORT} 0.0.0.0" in text
    assert f"persistence_location {prepare.SESSIONS}/" in text
    for name in ("users/passwords", "users/rules", "certificates/server.pem", "certificates/server.key"):
        assert str(mqtt / name) in text
        assert (mqtt / name).exists()
    assert Accounts(mqtt / "users").users() == {
        "bridge": Role.BRIDGE,
        "watcher": Role.WATCHER,
        topics.SYNTHETIC_DEVICE: Role.DEVICE,
    }
    password = ward / prepare.TEST_PASSWORD
    assert password.read_text() == Accounts(mqtt / "users").own(topics.SYNTHETIC_DEVICE, Role.DEVICE)
    assert password.stat().st_mode & 0o777 == 0o600
    assert (ward / prepare.TEST_AUTHORITY).read_bytes() == (mqtt / "certificates" / "authority.pem").read_bytes()
    assert {file.name for file in store.iterdir()} == set(prepare.STORE_SECRETS)


def test_preparing_twice_changes_nothing_but_a_new_name_does(tmp_path):
    mqtt, store, ward = tmp_path / "mqtt", tmp_path / "store", tmp_path / "ward"
    prepare.prepare(mqtt, store, ward, {})
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert prepare.prepare(mqtt, store, ward, {}) == ()
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    (again,) = prepare.prepare(mqtt, store, ward, {prepare.HOSTS: "ward-7.example"})
    assert again.startswith("a certificate")


class TestDockerfile:
    text = (ROOT / "deploy" / "compose" / "Dockerfile").read_text()
    stages = text.split("\nFROM ")[1:]

    def test_it_has_two_stages_of_one_image_that_the_file_of_versions_names(self):
        assert [stage.split()[0] for stage in self.stages] == ["${PYTHON_IMAGE}"] * 2
        assert {service["build"]["args"]["PYTHON_IMAGE"] for service in OWN.values()} == {
            values.versions().images.python
        }

    def test_the_last_one_ends_as_nobody_and_says_how_it_is(self):
        last = self.stages[-1]
        assert re.findall(r"^USER (\S+)$", last, re.MULTILINE) == ["10001:10001"]
        assert "HEALTHCHECK" in last
        assert not re.search(r"\bpip\b", last.replace("# ", ""))

    def test_every_package_of_ours_is_in_it(self):
        found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
        packages = {name.rstrip("*") for name in found["include"]}
        assert set(re.findall(r"^COPY (\w+) \1$", self.text, re.MULTILINE)) == packages
        ignored = (ROOT / "deploy" / "compose" / "Dockerfile.dockerignore").read_text().splitlines()
        assert packages <= {line[1:] for line in ignored if line.startswith("!")}

    @pytest.mark.parametrize("folder", [prepare.MQTT, prepare.STORE, prepare.SESSIONS])
    def test_the_folders_of_the_volumes_are_its_users(self, folder):
        assert str(folder) in self.text


def test_compose_itself_can_read_it():
    reader = look().compose_reader
    if not reader.is_file():
        assert os.environ.get("CI") != "true", "make stack CHECKS=1"
        pytest.skip("no reader of compose files: make stack CHECKS=1")
    read = subprocess.run(
        [reader, "-format", "json", generate.FILE.name],
        cwd=generate.FILE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert read.returncode == 0, read.stderr
    services = json.loads(read.stdout)["services"]
    assert set(services) == set(SERVICES)
    assert Path(services["bridge"]["build"]["context"]) == ROOT


def test_a_linter_finds_nothing_wrong_with_the_image():
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    found = subprocess.run([linter, generate.FILE.with_name("Dockerfile")], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_every_variable_that_a_part_is_given_is_one_that_is_read():
    ours = [path for name in ("deploy", "dashboards", "stream_processors") for path in (ROOT / name).rglob("*.py")]
    known = "".join(path.read_text() for path in ours if "compose" not in path.parts)
    for name in generate._PARTS:
        for variable in SERVICES[name]["environment"]:
            assert f'"{variable}"' in known or variable.startswith("TELEWARD_CONSOLE_"), (name, variable)
    console = dict(SERVICES["console"]["environment"])
    console.pop("TELEWARD_CONSOLE_SECRET_FILE")
    assert ConsoleSettings.from_env(console).port == values.CONSOLE_PORT


def test_the_rota_that_a_new_ward_begins_with_can_be_read(tmp_path):
    prepare.prepare(tmp_path / "mqtt", tmp_path / "store", tmp_path / "ward", {})
    rota = read_rota((tmp_path / "ward" / "pager" / "rota.yaml").read_text(), "rota.yaml")
    assert prepare.FIRST_PERSON in rota.rota.people
