"""The page in a real browser without a screen. ONNXQ_REQUIRE_CHROMIUM: its absence is an error, as in CI."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from onnxq.report.facts import Flip, Guess, Histogram, Report, ReportedLayer, Search, Seen, Tried
from onnxq.report.page import page

pytest.importorskip("bokeh")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None and not os.environ.get("ONNXQ_REQUIRE_CHROMIUM"):
    pytest.skip("no Chromium on this machine", allow_module_level=True)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]  # fmt: skip
LAYERS = 156  # as many as ResNet-152 has


def layer(number):
    random = np.random.default_rng(number)
    exact = Histogram(-1.0, 1.0, tuple(random.dirichlet(np.ones(80)).round(5).tolist()))
    weight = Seen(exact, exact, (-0.9, 0.9), tuple(np.linspace(-0.9, 0.9, 16).tolist()))
    return ReportedLayer(
        name=f"/layer{number}/Conv",
        op="Gemm" if number == LAYERS - 1 else "Conv",
        computes="float: its weight is computed" if number % 50 == 7 else "integers",
        widths={4: 64} if number % 2 else {3: 32, 5: 31},
        read_bits=8.0,
        alone=None if number == 3 else float(random.uniform(10, 40)),
        accumulated=float("inf") if number == 4 else float(random.uniform(5, 30)),
        reason="values up to 9 are clipped at 2" if number == 9 else "",
        values=1000,
        size=1 / LAYERS,
        work=1 / LAYERS,
        weight=weight,
        read=Seen(exact, None, (0.0, 0.8), tuple(np.linspace(0, 0.8, 16).tolist())),
    )


@pytest.fixture(scope="module")
def report():
    tried = tuple(Tried(f"recipe {n}", 100_000 * n, 50 + n) for n in range(1, 8))
    return Report(
        title="resnet152.w4a8.onnx",
        facts=(("top-1", "70.00 % (float 71.00 %)"), ("size", "30.00 MB, 12.5 % of 240.00 MB")),
        layers=tuple(map(layer, range(LAYERS))),
        notes=("other operators in float: Softmax 1",),
        search=Search("top1", tried, Tried("this", 250_000, 51.5)),
        recipe="act_bits: 8\n" * 40,
        command="onnxq quantize resnet152.onnx --recipe recipe.yaml",
        flips=tuple(Flip(f"image {n}", "cat", Guess("cat", 0.9), Guess("dog", 0.5)) for n in range(24)),
        flipped=30,
    )


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as run:
        started = run.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture
def opened(browser, report, tmp_path):
    """Open the page; what the console said, and requests that leave the page, are errors."""
    path = tmp_path / "report.html"
    path.write_text(page(report), encoding="utf-8")
    problems: list[str] = []

    def open_page(**options):
        tab = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
        tab.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("request", lambda asked: problems.append(asked.url) if asked.url.startswith("http") else None)
        tab.goto(path.as_uri())
        tab.wait_for_function("document.documentElement.dataset.ready === 'true'", timeout=30_000)
        return tab

    yield open_page
    assert problems == []


def names(tab):
    return tab.eval_on_selector_all(
        "#layers tbody tr:not([hidden]) td:first-child", "cells => cells.map(c => c.innerText)"
    )


def column(tab, number):
    return tab.eval_on_selector_all("#layers tbody tr", f"rows => rows.map(row => row.cells[{number}].dataset.value)")


def test_names_are_no_programs(browser, report, tmp_path):
    evil = "</script><script>window.evil = 1</script><img src=x onerror='window.evil = 1'>"
    layers = tuple(replace(layer, name=evil, reason=evil) for layer in report.layers[:3])
    changed = replace(report, title=evil, layers=layers, notes=(evil,), recipe=evil)
    (tmp_path / "evil.html").write_text(page(changed), encoding="utf-8")
    tab = browser.new_page()
    tab.goto((tmp_path / "evil.html").as_uri())
    tab.wait_for_function("document.documentElement.dataset.ready === 'true'", timeout=30_000)
    assert tab.evaluate("window.evil") is None and tab.locator("#chosen").inner_text() == evil


def test_it_is_ready_soon(opened, report):
    """Alone on a machine it takes less than a second; here others work beside."""
    started = time.perf_counter()
    tab = opened()
    assert time.perf_counter() - started < 20
    assert len(names(tab)) == LAYERS
    assert tab.locator("#chosen").inner_text() == "/layer0/Conv"
    assert tab.locator(".bk-Figure").count() == 5


def test_columns_sort_both_ways_unknown_values_last(opened):
    tab = opened()
    for number, heading in ((4, "alone"), (2, "bits")):
        tab.get_by_role("button", name=heading, exact=True).click()
        values = [float(text) for text in column(tab, number) if text]
        assert values == sorted(values)
        assert tab.locator("th[aria-sort=ascending]").inner_text().startswith(heading)
        tab.get_by_role("button", name=heading, exact=True).click()
        values = [float(text) for text in column(tab, number) if text]
        assert values == sorted(values, reverse=True)
        assert column(tab, 4)[-1] == "" or number != 4


def test_rows_are_filtered(opened):
    tab = opened()
    tab.fill("#filter", "clipped")
    assert names(tab) == ["/layer9/Conv"] and tab.locator("#count").inner_text() == f"1 of {LAYERS} layers"
    tab.fill("#filter", "")
    assert len(names(tab)) == LAYERS


def test_a_layer_that_is_clicked_is_drawn(opened, report):
    tab = opened()
    source = "Bokeh.documents[0].get_model_by_name('weight-{}').data"
    tab.fill("#filter", "layer77/")
    tab.get_by_role("button", name="/layer77/Conv").click()
    assert tab.locator("#chosen").inner_text() == "/layer77/Conv"
    shares = [share for share in report.layers[77].weight.exact.shares if share >= 1e-6]
    assert list(tab.evaluate(f"Array.from({source.format('exact')}.top)")) == shares
    assert tab.evaluate(f"Array.from({source.format('range')}.at)") == [-0.9, 0.9]
    assert tab.locator("tr[aria-current=true]").get_attribute("data-number") == "77"


def test_a_point_of_a_plot_is_a_layer(opened):
    tab = opened()
    tab.evaluate("Bokeh.documents[0].get_model_by_name('layers').selected.indices = [42]")
    assert tab.locator("#chosen").inner_text() == "/layer42/Conv"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_can_be_read(opened, scheme, width):
    """The page is no wider than the window, and plots have the colours of the page."""
    tab = opened(color_scheme=scheme, viewport={"width": width, "height": 900})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    ground, ink = tab.evaluate(
        "[getComputedStyle(document.body).backgroundColor, "
        "Bokeh.documents[0].get_model_by_name('themed-0').major_label_text_color]"
    )
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert ink == {"light": "#1d2126", "dark": "#e4e7ea"}[scheme]
    tab.emulate_media(color_scheme="light" if scheme == "dark" else "dark")
    tab.wait_for_function(f"getComputedStyle(document.body).backgroundColor !== '{ground}'")
    changed = "Bokeh.documents[0].get_model_by_name('themed-0').major_label_text_color"
    tab.wait_for_function(f"{changed} !== '{ink}'")
