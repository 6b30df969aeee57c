"""The words of alerts and messages, filled in by the template language that Grafana uses: Go's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from dashboards.grafana import notify
from dashboards.grafana.resources import resources
from dashboards.grafana.settings import Site
from vitals.signs import Measure

pytestmark = pytest.mark.integration

ALL = resources(Site(console_url="https://ward-7.example"))
RULES = {rule["uid"]: rule for group in ALL.groups for rule in group["rules"]}

# Grafana gives a rule's annotations $labels and $values, and lets stand what is missing (missingkey=invalid).
# Its functions that are no part of Go stand here by name.
PROGRAM = """\
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"text/template"
	"time"
)

type Value struct {
	Labels map[string]string
	Value  float64
}
type Data struct {
	Labels map[string]string
	Values map[string]Value
}
type Alert struct {
	Labels, Annotations map[string]string
	StartsAt            time.Time
}
type Alerts struct{ Firing, Resolved []Alert }
type Message struct {
	Alerts       Alerts
	CommonLabels map[string]string
}
type Job struct {
	Text, Define string
	Rule         *Data
	Message      *Message
}

func main() {
	var jobs []Job
	if err := json.NewDecoder(os.Stdin).Decode(&jobs); err != nil {
		panic(err)
	}
	functions := template.FuncMap{"humanizeDuration": func(s float64) string { return fmt.Sprintf("%gs", s) }}
	for _, job := range jobs {
		text := job.Text
		if job.Rule != nil {
			text = "{{- $labels := .Labels -}}{{- $values := .Values -}}" + text
		}
		parsed, err := template.New("x").Funcs(functions).Option("missingkey=invalid").Parse(text)
		if err != nil {
			panic(err)
		}
		var data any = job.Rule
		name := "x"
		if job.Message != nil {
			data, name = job.Message, job.Define
		}
		if err := parsed.ExecuteTemplate(os.Stdout, name, data); err != nil {
			panic(err)
		}
		fmt.Print("\\x00")
	}
}
"""


@pytest.fixture(scope="module")
def fill(tmp_path_factory):
    go = shutil.which("go")
    if go is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Go is not there: the native stack needs it too")
        pytest.skip("Go is not there")
    folder = tmp_path_factory.mktemp("go")
    (folder / "main.go").write_text(PROGRAM)
    program = folder / "fill"
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GO111MODULE": "off"}
    subprocess.run([go, "build", "-o", program, folder / "main.go"], check=True, env=environment, timeout=300)

    def filled(*jobs):
        done = subprocess.run(
            [program], input=json.dumps(jobs), capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split("\x00")[:-1]

    return filled


def of_rule(text, labels, **values):
    known = {name: {"Labels": labels, "Value": value} for name, value in values.items()}
    return {"Text": text, "Rule": {"Labels": labels, "Values": known}}


def described(fill, uid, labels, **values):
    notes = RULES[uid]["annotations"]
    return fill(of_rule(notes["summary"], labels, **values), of_rule(notes["description"], labels, **values))


P7 = {"patient": "p-7"}


def test_patient_sign_value_limit_age_and_the_way_to_the_console(fill):
    summary, text = described(fill, "teleward-high", P7, measure=float(Measure.SPO2), value=84.0, limit=85.0, age=185.0)
    assert summary == "p-7: alarm of high priority"
    assert text == (
        "oxygen saturation (%): 84, limit 85. The oldest alarm has been open for 185s. "
        "Console: https://ward-7.example/patient/p-7"
    )


@pytest.mark.parametrize("measure", Measure)
def test_every_measure_has_its_word(fill, measure):
    _, text = described(fill, "teleward-medium", P7, measure=float(measure), value=0.0)
    assert text.startswith(measure.label)
    assert ": 0" in text, "0 is a value"


def test_what_is_not_known_is_left_out(fill):
    _, text = described(fill, "teleward-low", P7)
    assert text == "Worst alarm. Console: https://ward-7.example/patient/p-7"


def test_no_text_of_a_rule_fails_whatever_is_missing(fill):
    for rule in RULES.values():
        for text in rule["annotations"].values():
            for labels in ({}, {"patient": "p-7", "partition": "3", "part": "storing", "device": "d-1"}):
                (said,) = fill(of_rule(text, labels))
                assert "{{" not in said
                assert "nil" not in said


def test_a_stop_without_a_partition_is_still_a_sentence(fill):
    summary, _ = described(fill, "teleward-stopped", {})
    assert summary == "Nobody is watching the patients"
    summary, _ = described(fill, "teleward-stopped", {"partition": "3"})
    assert summary == "Nobody is watching the patients of partition 3"


def message(define, firing=(), resolved=(), **common):
    def alert(summary, **more):
        notes = {"summary": summary, "description": f"why {summary}", **more}
        return {"Labels": {"alertname": "A", **P7}, "Annotations": notes, "StartsAt": "2026-01-02T03:04:05Z"}

    alerts = {"Firing": [alert(one) for one in firing], "Resolved": [alert("x", **one) for one in resolved]}
    (template,) = ALL.templates
    text = template["template"]
    return {
        "Text": text,
        "Define": f"{notify.TEMPLATE}.{define}",
        "Message": {"Alerts": alerts, "CommonLabels": common},
    }


def test_the_message_of_what_fires(fill):
    subject, more, text = fill(
        message("subject", ["p-7: high"]),
        message("subject", ["p-7: high", "b", "c"]),
        message("message", ["p-7: high"]),
    )
    assert subject == "p-7: high"
    assert more == "p-7: high (and 2 more)"
    assert text.startswith("p-7: high\nwhy p-7: high\nFiring since 2026-01-02 03:04:05 UTC\n")
    assert "Alarms are answered on the console: https://ward-7.example" in text
    assert text.endswith("not a medical device.")


def test_what_vanished_is_never_called_a_recovery(fill):
    subject, closed, gone = fill(
        message("subject", resolved=[{}], alertname="A"),
        message("message", resolved=[{}]),
        message("message", resolved=[{"grafana_state_reason": "MissingSeries"}]),
    )
    assert subject == "No longer firing: A"
    assert "closed in Teleward" in closed
    assert "MissingSeries): that is not a recovery" in gone
    assert "closed in Teleward" not in gone
