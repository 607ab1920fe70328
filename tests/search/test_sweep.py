"""Sweeps: plans, results that are found again, wherever a run was stopped, and the workers of a Ray cluster."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from cli.test_cli import onnxq as command

import onnxq
from onnxq.errors import OnnxqError
from onnxq.search.sweep import best_first, read_plan

COMMAND = [sys.executable, "-c", "from onnxq_cli import main; main()"]


@pytest.fixture
def plan(small_model, small_data, tmp_path):
    """Twelve recipes."""
    path = tmp_path / "sweep.yaml"
    path.write_text(
        f"models: [{small_model}]\ndata: {small_data}\nimages: 20\nbase: {{act_bits: 8}}\n"
        "grid: {weight_bits: [2, 3, 4, 5, 6, 8], rounding: [nearest, gptq]}\n"
    )
    return path


def results_in(folder):
    return sorted(path.name for path in folder.glob("*.json"))


def test_all_combinations_and_what_is_done_already(plan, tmp_path):
    folder = tmp_path / "results"
    said, _ = command("sweep", plan, "-o", folder, "--json", tmp_path / "all.json", "--plot", tmp_path / "pareto.svg")
    assert said.count("weight_bits") == 12 and "*" in said
    found = json.loads((tmp_path / "all.json").read_text())
    assert [each["name"] for each in found][:3] == [
        "weight_bits 2, rounding nearest", "weight_bits 2, rounding gptq", "weight_bits 3, rounding nearest",
    ]  # fmt: skip
    assert "<svg" in (tmp_path / "pareto.svg").read_text()
    for each in found:
        own = onnxq.Recipe.from_dict(each["recipe"])
        assert own == onnxq.Recipe.of(
            act_bits=8, weight_bits=own.weights.bits, rounding=each["name"].rpartition(" ")[2]
        )
    before = {name: (folder / name).stat().st_mtime_ns for name in results_in(folder)}
    again, _ = command("sweep", plan, "-o", folder)
    assert "12 of 12 are done already" in again
    assert again.partition("\n")[2].strip() == said.strip()
    assert {name: (folder / name).stat().st_mtime_ns for name in results_in(folder)} == before
    plan.write_text(plan.read_text().replace("images: 20", "images: 10"))
    changed, _ = command("sweep", plan, "-o", folder)
    assert "done already" not in changed and len(results_in(folder)) == 24


def test_a_sweep_that_was_killed_goes_on(plan, tmp_path):
    """At three moments, and by a signal that nobody can catch: what was done is not done again, what was not is."""
    folder = tmp_path / "results"
    done_before: dict[str, int] = {}
    for wanted in (2, 5, 9):
        process = subprocess.Popen(
            [*COMMAND, "sweep", str(plan), "-o", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 120
        while len(results_in(folder)) < wanted and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        there = {name: (folder / name).stat().st_mtime_ns for name in results_in(folder)}
        assert len(there) >= wanted
        assert {name: there[name] for name in done_before} == done_before
        done_before = there
    said, _ = command("sweep", plan, "-o", folder)
    assert f"{len(done_before)} of 12 are done already" in said
    there = {name: (folder / name).stat().st_mtime_ns for name in results_in(folder)}
    assert len(there) == 12 and {name: there[name] for name in done_before} == done_before
    command("sweep", plan, "-o", tmp_path / "at once")
    for name in there:
        one, other = (json.loads((place / name).read_text())["result"] for place in (folder, tmp_path / "at once"))
        assert {key: one[key] for key in ("top1", "disagreements", "bytes")} == {
            key: other[key] for key in ("top1", "disagreements", "bytes")
        }


def test_what_fails_is_said_and_the_rest_is_done(plan, tmp_path):
    plan.write_text(plan.read_text() + "recipes: [default, {target: tensorrt, weight_bits: 4, act_bits: 4}]\n")
    with pytest.raises(OnnxqError, match="recipe target tensorrt"):
        read_plan(str(plan))  # a recipe that is none is found before anything runs
    plan.write_text(
        plan.read_text().rpartition("recipes")[0] + "recipes: [{weight_bits: 4, act_bits: 8, skip: [none_such]}]\n"
    )
    said, error = command("sweep", plan, "-o", tmp_path / "results", ok=False)
    assert "1 of 13 failed, the first one: small.onnx" in error.replace("model.onnx", "small.onnx")
    assert len(results_in(tmp_path / "results")) == 12 and said.count("weight_bits") == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: []", "`models` must be a list"),
        ("models: [a.onnx]", "`data`, and `test`"),
        ("models: [a.onnx]\ndata: x", "0 recipes for 1 models"),
        ("models: [a.onnx]\ndata: x\ngrid: {weight_bits: 4}", "`grid` must map fields to lists"),
        ("models: [a.onnx]\ndata: x\nrecipes: [4]", "`recipes` must be a list"),
        ("models: [a.onnx]\ndata: x\nrecipes: [none]", "recipe none"),
        ("models: [a.onnx]\ndata: x\nimages: 0\nrecipes: [default]", "whole numbers"),
        ("model: a.onnx", "model; the fields are"),
        ("[]", "no fields; the fields are"),
    ],
)
def test_plans_that_are_none(tmp_path, text, message):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(OnnxqError, match=message):
        read_plan(str(tmp_path / "p.yaml"))


def test_the_front():
    results = [{"result": {"top1": top1, "bytes": size}} for top1, size in ((70, 10), (60, 20), (80, 30), (80, 40))]
    assert [each["result"]["bytes"] for each in best_first(results, "top1", "bytes")] == [10, 30]


@pytest.mark.slow
def test_on_two_workers_of_a_cluster_one_of_which_dies(plan, small_model, small_data, tmp_path):
    """The same numbers as here; a worker that is killed while it works loses nothing."""
    ray = pytest.importorskip("ray")
    command("sweep", plan, "-o", tmp_path / "here")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        killer = subprocess.Popen(
            [sys.executable, "-c", KILLER],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        command("sweep", plan, "-o", tmp_path / "there", "--engine", "ray")
        out, _ = killer.communicate(timeout=60)
    finally:
        ray.shutdown()
    assert "killed" in out, "no worker was there to be killed"
    assert results_in(tmp_path / "here") == results_in(tmp_path / "there")
    for name in results_in(tmp_path / "here"):
        one, other = (json.loads((tmp_path / place / name).read_text())["result"] for place in ("here", "there"))
        assert {key: one[key] for key in ("top1", "disagreements", "bytes")} == {
            key: other[key] for key in ("top1", "disagreements", "bytes")
        }


KILLER = """
import os, signal, sys, time
until = time.monotonic() + 60
while time.monotonic() < until:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                name = open(f"/proc/{entry}/cmdline").read()
            except OSError:
                continue
            if name.startswith("ray::_caught"):  # while it works; else it is called idle
                try:
                    os.kill(int(entry), signal.SIGKILL)
                except OSError:
                    continue
                print("killed")
                sys.exit()
    time.sleep(0.01)
"""


def test_what_changes_results_is_noticed(plan, small_model, small_data, tmp_path):
    """Labels, metrics of one's own, the number of images; and a recipe that stands there twice is done once."""
    (tmp_path / "mine.py").write_text("def score(outputs, labels):\n    return 1.0\n")
    plan.write_text(f"models: [{small_model}]\ndata: {small_data}\nimages: 20\nrecipes: [default, default]\n")
    asked = ("sweep", plan, "-o", tmp_path / "results", "--metric", f"{tmp_path / 'mine.py'}:score")
    command(*asked)
    assert len(results_in(tmp_path / "results")) == 1
    assert "2 of 2 are done already" in command(*asked)[0]
    (tmp_path / "mine.py").write_text("def score(outputs, labels):\n    return 2.0\n")
    assert "done already" not in command(*asked)[0]
    assert "done already" not in command(*asked, "--batch-size", 7)[0]
    names = sorted(path.name for path in small_data.iterdir())
    (tmp_path / "classes.txt").write_text("\n".join(reversed(names)))
    assert "done already" not in command(*asked, "--classes", tmp_path / "classes.txt")[0]


def test_a_job_that_cannot_be_done_stops_no_other(plan, small_model, small_data, tmp_path):
    plan.write_text(
        f"models: [{tmp_path / 'none.onnx'}, {small_model}]\ndata: {small_data}\nimages: 20\nrecipes: [default]\n"
    )
    said, error = command("sweep", plan, "-o", tmp_path / "results", ok=False)
    assert "none.onnx: no such file" in error and "1 of 2 failed" in error
    assert len(results_in(tmp_path / "results")) == 1 and "default" in said
