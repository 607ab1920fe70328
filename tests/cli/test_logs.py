"""Results appended to files, and runs on a tracking server."""

from __future__ import annotations

import csv
import json
import multiprocessing
import subprocess
import sys

import onnx
import pytest
from click.testing import CliRunner

from onnxq.core.files import append
from onnxq.graph.model_files import set_metadata
from onnxq_cli.main import _group


def invoke(*arguments):
    return CliRunner().invoke(_group, [str(argument) for argument in arguments])


@pytest.fixture
def evaluated(small_model, small_data, tmp_path):
    """A float and a fixed-point file, and what `eval` of them begins with."""
    done = invoke("quantize", small_model, "--data", small_data, "--preset", "cifar", "--scheme", "fixed-point", "--bits",
                  "10", "--overflow-rate", "0.01", "--placement", "every-op", "-o", tmp_path / "q.onnx")  # fmt: skip
    if done.exit_code:
        raise AssertionError(done.output + repr(done.exception))
    return ["eval", small_model, tmp_path / "q.onnx", "--data", small_data, "--preset", "cifar"]


def test_rows_are_appended(evaluated, tmp_path):
    for _ in range(2):
        done = invoke(*evaluated, "--csv", tmp_path / "log.csv")
        assert done.exit_code == 0, done.output
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [row["file"] for row in rows] == [str(path) for path in evaluated[1:3]] * 2
    assert rows[0]["top1"] == rows[2]["top1"] and 0 <= float(rows[1]["top5"]) <= 100 and float(rows[1]["seconds"]) > 0
    assert json.loads(rows[1]["recipe"])["weights"]["bits"] == 10


def test_a_table_of_other_columns_stays(evaluated, tmp_path):
    table = tmp_path / "log.csv"
    table.write_text("mine\n1\n")
    done = invoke(*evaluated, "--csv", table)
    assert "its columns are 'mine'" in str(done.exception) and table.read_text() == "mine\n1\n"


def test_what_cannot_be_appended_to_is_found_before_the_images_are_seen(evaluated, tmp_path):
    (tmp_path / "log.csv").write_text("mine\n1\n")
    (tmp_path / "latin").write_bytes(b"\xe9\n")
    for options, said in (
        (["--csv", tmp_path / "log.csv"], "its columns are 'mine'"),
        (["--append-line", tmp_path / "lines", "--metric", "agreement"], "take the metric classification"),
        (["--csv", tmp_path / "a", "--append-line", tmp_path / "a"], "another output is the same file"),
        (["--csv", "a", "--append-line", "a"], "another output is the same file"),
        (["--append-line", tmp_path / "latin"], "cannot be read, and so not appended to"),
    ):
        done = invoke(*evaluated, *options)
        assert said in str(done.exception) and "top-1" not in done.output and not (tmp_path / "a").exists()


def test_a_last_line_without_an_end_stays_a_line(evaluated, tmp_path):
    assert invoke(*evaluated, "--csv", tmp_path / "log.csv", "--append-line", tmp_path / "lines").exit_code == 0
    for name in ("log.csv", "lines"):
        (tmp_path / name).write_text((tmp_path / name).read_text().rstrip("\n"))
    assert invoke(*evaluated, "--csv", tmp_path / "log.csv", "--append-line", tmp_path / "lines").exit_code == 0
    assert len(list(csv.DictReader((tmp_path / "log.csv").open()))) == 4
    lines = (tmp_path / "lines").read_text().splitlines()
    assert len(lines) == 4 and all(line.startswith("type=") for line in lines)


def add_line(path):
    append(path, lambda old: f"{len(old.splitlines())}\n")


def test_runs_at_the_same_time_lose_nothing(tmp_path):
    path = str(tmp_path / "log")
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.map(add_line, [path] * 200, chunksize=1)
    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(200)]


def test_a_recipe_of_another_version_is_written_as_it_is(evaluated, tmp_path):
    model = onnx.load(evaluated[2])
    set_metadata(model, {"onnxq.recipe": '{"of": "tomorrow"}'})
    onnx.save(model, evaluated[2])
    done = invoke(*evaluated, "--csv", tmp_path / "log.csv", "--append-line", tmp_path / "lines")
    assert done.exit_code == 0, done.output
    row = list(csv.DictReader((tmp_path / "log.csv").open()))[1]
    assert row["recipe"] == '{"of": "tomorrow"}' and row["widths"] == "other"
    assert "param_bits=?" in (tmp_path / "lines").read_text().splitlines()[1]


def test_lines_as_published(evaluated, tmp_path):
    assert invoke(*evaluated, "--append-line", tmp_path / "acc1_acc5.txt").exit_code == 0
    first, second = (tmp_path / "acc1_acc5.txt").read_text().splitlines()
    assert first.startswith("type=small, param_bits=32, bn_bits=32, fwd_bits=32, overflow_rate=0, acc1=0.")
    assert ", param_bits=10, bn_bits=10, fwd_bits=10, overflow_rate=0.01, acc1=0." in second and ", acc5=" in second


def test_runs_are_tracked_in_a_folder(evaluated, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    uri = f"file:{tmp_path / 'runs'}"
    assert invoke(*evaluated, "--track", f"mlflow:{uri}").exit_code == 0
    quantized = invoke("quantize", evaluated[1], "--weight-bits", "4", "--act-bits", "none", "-o", tmp_path / "w4.onnx",
                       "--track", f"mlflow:{uri}")  # fmt: skip
    assert quantized.exit_code == 0, quantized.output
    failed = invoke(*evaluated[:-2], "--preset", "imagenet", "--track", f"mlflow:{uri}")
    assert failed.exit_code != 0
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("onnxq")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    files = [run for run in client.search_runs([experiment.experiment_id]) if run.info.run_name.startswith("eval")]
    assert sorted(run.info.status for run in files) == ["FAILED", "FINISHED"]
    finished = next(run for run in files if run.info.status == "FINISHED")
    assert finished.data.params["data"] == str(evaluated[4]) and 0 <= finished.data.metrics["q.onnx/top1"] <= 100
    written = runs["quantize w4.onnx"]
    assert written.data.metrics["bytes"] == (tmp_path / "w4.onnx").stat().st_size
    assert [entry.path for entry in client.list_artifacts(written.info.run_id)] == ["w4.onnx"]


def test_names_that_a_tracker_refuses(evaluated, tmp_path):
    """Signs that mlflow does not take, and one name twice."""
    mlflow = pytest.importorskip("mlflow")
    (tmp_path / "other").mkdir()
    paths = [tmp_path / "m(1)+[x].onnx", tmp_path / "other" / "m(1)+[x].onnx"]
    for path in paths:
        path.write_bytes(evaluated[1].read_bytes())
    uri = f"file:{tmp_path / 'runs'}"
    done = invoke("eval", *paths, *evaluated[3:], "--track", f"mlflow:{uri}")
    assert done.exit_code == 0, done.output
    client = mlflow.MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("onnxq").experiment_id])
    assert {"m_1___x_.onnx/top1", "m_1___x_.onnx 2/top1"} <= run.data.metrics.keys()


def test_a_server_that_fails_at_the_end_loses_no_results(evaluated, tmp_path):
    pytest.importorskip("mlflow")
    (tmp_path / "runs").mkdir()
    script = (
        "import shutil, sys, onnxq_cli.tracking as tracking\n"
        "runs = sys.argv[1]\ndef gone(self, values): shutil.rmtree(runs); before(self, values)\n"
        "before, tracking._Mlflow.metrics = tracking._Mlflow.metrics, gone\n"
        "from onnxq_cli.main import main\n"
        "sys.argv = ['onnxq', *sys.argv[2:]]\nmain()\n"
    )
    arguments = [*evaluated, "--track", f"mlflow:file:{tmp_path / 'runs'}", "--json", tmp_path / "r.json"]
    command = [sys.executable, "-c", script, tmp_path / "runs", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 1 and "--track: what was logged may not be whole" in done.stderr
    assert "top-1" in done.stdout and json.loads((tmp_path / "r.json").read_text())["models"]
    assert "Traceback" not in done.stderr


def test_other_trackers_are_refused(evaluated):
    done = invoke(*evaluated, "--track", "wandb")
    assert "no tracker 'wandb'; use mlflow" in str(done.exception)
