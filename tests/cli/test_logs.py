"""Results appended to files, and runs on a tracking server."""

from __future__ import annotations

import csv
import json

import pytest
from click.testing import CliRunner

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


def test_other_trackers_are_refused(evaluated):
    done = invoke(*evaluated, "--track", "wandb")
    assert "no tracker 'wandb'; use mlflow" in str(done.exception)
