"""The command line: every command explains itself, and what is wrong ends in a sentence that says what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from rich.console import Console as Terminal
from typer.testing import CliRunner

from deploy import cli
from deploy.cli import app

COMMANDS = sorted(typer.main.get_command(app).commands)
PROMISED = {
    "up",
    "doctor",
    "demo",
    "replay",
    "simulate",
    "ledger",
    "score",
    "train",
    "evaluate",
    "bind",
    "admit",
    "pause",
    "discharge",
}


class Said:
    """What a command said and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, " ".join(err.replace("│", " ").split())


@pytest.fixture
def teleward(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """``teleward("replay", "x.csv")`` in this process, through the very door that the shell uses."""

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["teleward", *words])
        monkeypatch.setattr(cli, "err", Terminal(stderr=True, highlight=False, width=500))
        monkeypatch.setenv("COLUMNS", "500")
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return run


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "night.csv"
    rows = [f"{p},{10 * i},{70 + i % 3},{84 if 12 <= i < 30 else 97}" for p in ("p-1", "p-2") for i in range(60)]
    file.write_text("patient,t_s,hr,spo2\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return file


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert result.exit_code == 0
    assert "Usage:" in result.output
    first = typer.main.get_command(app).commands[command].help
    assert first, f"{command} does not say what it does"


def test_the_promised_commands_are_there_and_take_json():
    assert set(COMMANDS) >= PROMISED
    for command in PROMISED:
        options = [name for p in typer.main.get_command(app).commands[command].params for name in p.opts]
        assert "--json" in options, command


def test_without_a_command_it_lists_them():
    result = CliRunner().invoke(app, [], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert all(command in result.output for command in COMMANDS)


def test_it_runs_as_a_program(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "replay", str(tmp_path / "none.csv")],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip().startswith("teleward: ")
    assert "Traceback" not in done.stderr


WRONG = [
    # words, what the sentence must name
    (["replay", "{}/none.csv"], "none.csv"),
    (["replay", "{}"], ""),
    (["replay", "{}/text.csv"], "patient"),
    (["replay", "{}/night.csv", "--speed", "0"], "--speed is '0'; it takes a number above 0, or max"),
    (["replay", "{}/night.csv", "--speed", "quick"], "--speed is 'quick'"),
    (["replay", "{}/night.csv", "--through", "water"], "--through is 'water'; it takes ward or stream"),
    (["replay", "{}/night.csv", "--patients", "x"], "--patients"),
    (["replay", "{}/night.csv", "--alarms", "{}/no/such/folder/a.jsonl"], "folder"),
    (["replay"], "recording"),
    (["demo", "--scenario", "no-such-scenario"], "no-such-scenario"),
    (["simulate", "no-such-scenario"], "no-such-scenario"),
    (["ledger", "--store", "{}/none.sqlite"], "none.sqlite"),
    (["ledger"], "--store"),
    (["bind", "a device", "p-1"], "cannot be a device"),
    (["bind", "d-1", "Müller"], "cannot be a patient"),
    (["pause", "p-1", "--by", "ann"], "--reason"),
    (["admit", "p-1", "--by", "ann", "--scale", "3"], "--scale is 3"),
    (["discharge", "p-1", "--by", ""], "--by"),
    (["fly"], "fly"),
]


@pytest.mark.parametrize("words, named", WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_wrong_input_ends_in_a_sentence_and_a_status(teleward, recording, monkeypatch, words, named):
    monkeypatch.delenv("USER", raising=False)
    (recording.parent / "text.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    said = teleward(*(word.format(recording.parent) for word in words))
    assert said.code not in {0, None}
    assert named in said.err
    assert len(said.err) > 20
    assert "Traceback" not in said.err


def test_replay_with_json_ends_with_one_object_on_its_last_line(teleward, recording, tmp_path):
    events = tmp_path / "alarms.jsonl"
    said = teleward("replay", str(recording), "--alarms", str(events), "--json")
    assert said.code == 0
    result = json.loads(said.out.splitlines()[-1])
    lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    assert result["through"] == "ward"
    assert result["patients"] == 2
    assert result["readings"] == 240
    assert result["refused"] == 0
    assert result["events"] == len(lines)
    assert result["alarms"] == sum(line["event"] == "raised" for line in lines) >= 2
    promised = {"event_id", "alarm_id", "n", "patient", "rule", "kind", "priority", "event", "at_ns", "cause"}
    assert all(promised <= set(line) for line in lines)
    assert all(line["event_id"] == f"{line['alarm_id']}:{line['n']}" for line in lines)


def test_the_same_recording_has_the_same_digest_again(teleward, recording):
    digests = {json.loads(teleward("replay", str(recording), "--json").out.splitlines()[-1])["digest"] for _ in "ab"}
    assert len(digests) == 1
    fewer = json.loads(teleward("replay", str(recording), "--patients", "1", "--json").out.splitlines()[-1])
    assert fewer["patients"] == 1
    assert fewer["digest"] not in digests


def test_events_on_standard_output_are_followed_by_the_object(teleward, recording):
    *events, last = teleward("replay", str(recording), "--alarms", "-", "--json").out.splitlines()
    assert json.loads(last)["events"] == len(events)
    assert all("event_id" in json.loads(line) for line in events)


def test_for_people_it_says_how_many_and_the_digest(teleward, recording):
    said = teleward("replay", str(recording))
    assert said.code == 0
    assert said.out.startswith("2 patients, 240 readings in 120 bundles, 0 refused; ")
    assert "digest " in said.out
