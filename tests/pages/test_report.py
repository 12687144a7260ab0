"""gantrain report: one page, whatever a run directory holds."""

import itertools
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from gantrain.metrics.protocol import HIGHER_IS_BETTER
from gantrain.pages import report
from gantrain.pages.curves import Chart, downsample, make_chart, tick_label
from gantrain.pages.explanations import explain
from gantrain.pages.render import render
from gantrain.runs.directory import RunDirectory
from gantrain.runs.lifecycle import record_config
from gantrain.runs.status import read_run
from tests.helpers.command_line import TINY, gantrain

VOID = {"meta", "img", "input", "br"}


class Checker(HTMLParser):
    """Every tag that is opened is closed, in order, and nothing comes from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID and tag not in ("th", "td", "tr", "html"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("th", "td", "tr", "html"):
            assert self.open.pop() == tag


def checked(file: Path) -> str:
    text = file.read_text()
    checker = Checker()
    checker.feed(text)
    assert not checker.open
    assert all(source.startswith("data:image/webp;base64,") for source in checker.sources)
    assert not re.search(r"https?://|url\(|@import", text)
    return text


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    options = [*TINY, "tracking.grid_every_kimg=0.002", "tracking.every_kimg=0.002"]
    options += ["data.test_images=8", "evaluation.extractor=random"]
    options += ["evaluation.every_kimg=0.004", "train.kimg=0.008", "model.lambda_cycle=9"]
    gantrain(folder, "name=run", *options)
    return folder


def test_a_finished_run(home: Path) -> None:
    said = gantrain(home, "report", "run=runs/run")
    assert "Page: runs/run/report.html" in said
    text = checked(home / "runs/run/report.html")
    for word in ("CycleGAN", "done", "0.008 of 0.008 kimg", "kid8_random-conv-64/ab", "cycle_a"):
        assert word in text, word
    assert text.count("<img ") == 1 + 5  # the newest, and all five behind the slider
    assert "model.lambda_cycle=9" in text and "gantrain translate run=runs/run" in text
    assert text.count("<polyline") > 20
    assert "NaN" not in re.sub(r"data:[^\"']*", "", text)  # base64 has these letters by chance


def test_values_of_different_protocols_are_not_put_together(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "runs/run", tmp_path / "run")
    options = ["extractor=random", "num_images=7", "metrics=[kid]"]
    gantrain(tmp_path, "evaluate", "run=run", *options)
    gantrain(tmp_path, "report", "run=run", "output=page.html")
    text = checked(tmp_path / "page.html")
    assert text.count("<tr><th>metric") == 4 and "fake 7" in text and "fake 8" in text


def test_alarms_and_strange_names_are_escaped(home: Path, tmp_path: Path) -> None:
    run = tmp_path / 'a "b" <i>&'
    shutil.copytree(home / "runs/run", run)
    event = {"nimg": 4, "alarm": "<b>x", "level": 'critical"', "text": "<script>", "advice": "&"}
    (run / "events.jsonl").write_text(json.dumps(event) + '\n{"alarm": "torn')
    gantrain(tmp_path, "report", f"run='{run.name}'")
    text = checked(run / "report.html")
    assert "<script>&lt;" not in text and "&lt;script&gt;" in text and "&lt;b&gt;x" in text
    assert "<h1>a &#34;b&#34; &lt;i&gt;&amp;</h1>" in text


def test_a_run_that_has_only_begun(home: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    shutil.copy(home / "runs/run/config.yaml", tmp_path / "run")
    gantrain(tmp_path, "report", "run=run")
    assert "Curves" not in checked(tmp_path / "run/report.html")
    (tmp_path / "run/metrics.jsonl").write_text('{"nimg": 1000, "loss/G/x": null}\n{"nimg"')
    (tmp_path / "run/grids").mkdir()
    (tmp_path / "run/grids/grid-000001.000.png").write_bytes(b"torn")
    gantrain(tmp_path, "report", "run=run")
    checked(tmp_path / "run/report.html")


def test_many_grids_and_large_ones(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "runs/run", tmp_path / "run")
    for number in range(100):
        Image.new("RGB", (3000, 40)).save(tmp_path / f"run/grids/grid-{number:06d}.500.png")
    gantrain(tmp_path, "report", "run=run")
    text = checked(tmp_path / "run/report.html")
    assert 20 <= text.count("<img ") <= 25 and '<p id="when">99.5 kimg</p>' in text


@pytest.mark.parametrize("options", [["run=nowhere"], ["run=runs"], ["run=runs/run", "ouput=x"]])
def test_mistakes(home: Path, options: list[str]) -> None:
    said = gantrain(home, "report", *options, code=2)
    assert "Traceback" not in said


def test_long_curves_are_thinned_and_keep_their_extremes() -> None:
    points = [(float(i), float((i * 7919) % 1000)) for i in range(100_000)]
    points[54_321] = (54_321.0, 5000.0)
    points[777] = (777.0, -5000.0)
    kept = downsample(points)
    assert len(kept) <= 802 and kept == sorted(kept)
    assert (54_321.0, 5000.0) in kept and (777.0, -5000.0) in kept
    assert kept[0] == points[0] and kept[-1] == points[-1]
    assert downsample(points[:50]) == points[:50]


def test_charts_of_odd_values() -> None:
    assert make_chart("x", {"a": [(0, 1.0)]}) is None
    assert make_chart("x", {"a": [(0, float("nan"))] * 9}) is None
    odd = {"a": [(0, 2.0), (1, 2.0)], "<b>": [(0, float("inf")), (1, 1.0), (2, 3.0)]}
    chart = make_chart('"x"', odd)
    assert chart and [len(curve.points.split()) for curve in chart.curves] == [2, 2]
    flat = drawn(chart)
    assert "nan" not in flat and "inf" not in flat and flat.count("<polyline") == 4
    assert "&lt;b&gt; <b>3<" in flat and '="&#34;x&#34;"' in flat


def drawn(chart: Chart) -> str:
    nothing = dict.fromkeys(("facts", "alarms", "grids", "evaluations", "settings", "results"), ())
    page = render(
        "report.html", **{**nothing, "facts": {}}, title="", version="", commands=[], charts=[chart]
    )
    return page.partition('<div class="charts">')[2].partition("</section>")[0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.0, 10.0), ["0", "5", "10"]),
        ((0.13, 0.97), ["0.2", "0.4", "0.6", "0.8", "1"]),
        ((-3.0, 4.0), ["-2", "0", "2", "4"]),
        ((7.0, 7.0), ["6.5", "7", "7.5"]),
        ((100.0, 4000.0), ["0", "1000", "2000", "3000", "4000"]),
        ((1e-3, 5.0), ["0.001", "0.01", "0.1", "1"]),  # over decades: logarithmic
        ((0.0, 5.0), ["0", "2", "4"]),
    ],
)
def test_ticks_are_round(values: tuple[float, float], expected: list[str]) -> None:
    chart = make_chart("x", {"a": [(0, values[0]), (1, values[1])]})
    assert chart and [tick.label for tick in chart.y_ticks] == expected
    assert chart.is_log == (values == (1e-3, 5.0))
    heights = [tick.y for tick in chart.y_ticks]
    assert heights == sorted(heights, reverse=True) and 0 < min(heights) < max(heights) < 300


def test_equal_ratios_are_equal_distances_on_a_logarithmic_axis() -> None:
    chart = make_chart("x", {"a": [(0, 0.01), (1, 0.1), (2, 1.0), (3, 10.0)]}, "lower is better")
    assert chart and chart.is_log
    y = [float(pair.split(",")[1]) for pair in chart.curves[0].points.split()]
    assert {round(a - b, 0) for a, b in itertools.pairwise(y)} == {round(y[0] - y[1], 0)}
    page = drawn(chart)
    assert "lower is better (logarithmic)" in page and 'data-values="0,0.01 1,0.1 2,1 3,10"' in page


def test_labels_fit_their_room() -> None:
    values = [0.0, 1.234567, -0.000207, 1234.5, -12345.6, 99999.4, 99999.6, 1e6, -1.5e-12, 3e38]
    labels = [tick_label(value) for value in values]
    assert labels == [
        "0", "1.23", "-2.1e-4", "1234", "-12346", "99999", "1e+05", "1e+06", "-1.5e-12", "3e+38",
    ]  # fmt: skip
    for value, text in zip(values, labels, strict=True):
        assert abs(float(text) - value) <= 0.02 * abs(value)
        assert len(text) <= 8


def test_a_figure_for_each_signal_of_health(tmp_path: Path) -> None:
    signals = ["logit_real", "logit_fake", "overfit", "luma"]
    rows = [
        {"nimg": nimg, "loss/G/x": 1.0, "lr/G": 0.1,
         **{f"health/{place}/{name}": 0.5 for place in ("ab", "ba") for name in signals}}
        for nimg in (1000, 2000)
    ]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = report.page(read_run(tmp_path))
    titles = re.findall("<figcaption>(.*?)</figcaption>", page)
    health = [f"Health: {name}" for name in ("logits ab", "overfit", "luma", "logits ba")]
    assert titles == ["Losses of G", *health, "Learning rates"]
    assert page.count(">ab <b>0.5<") == page.count(">ba <b>0.5<") == 2
    assert page.count(">real <b>0.5<") == page.count(">fake <b>0.5<") == 2


@pytest.mark.parametrize(
    "values",
    [
        (-1.7e308, 1.7e308),
        (5e-324, 1.7e308),
        (5e-324, 1e290),
        (1e-290, 1e18),
        (-1e290, 1e290),
        (0.0, 5e-324),
        (5e-324, 5e-322),
    ],
)
def test_every_float_can_be_drawn(values: tuple[float, float]) -> None:
    chart = make_chart("x", {"a": [(0, 1.0), (1, 2.0), (2, values[0]), (3, values[1])]})
    alone = make_chart("x", {"a": [(0, values[0]), (1, values[1])]})
    assert chart and (alone or max(values) > 1e300)
    for one in filter(None, (chart, alone)):
        places = [float(x) for pair in one.curves[0].points.split() for x in pair.split(",")]
        assert all(0 <= place <= one.width for place in places)
        assert one.y_ticks and "inf" not in str(one) and "nan" not in str(one)


def test_tiny_steps_have_labels_of_their_own_and_the_pointer_says_the_kimg() -> None:
    chart = make_chart("x", {"a": [(0, -1e-14), (12345.6, 1e-14)]})
    assert chart
    labels = [tick.label for tick in chart.y_ticks]
    assert labels == ["-1e-14", "-5e-15", "0", "5e-15", "1e-14"]
    assert chart.curves[0].values.split()[1] == "12345.6,1e-14"


def test_the_note_on_metrics_names_all_that_should_rise() -> None:
    note = explain("metric")
    low, _, high = note.partition("(")
    assert "lower is better" in low and not any(name in low for name in HIGHER_IS_BETTER)
    assert {"density", "coverage", "inception_score", "psnr"} <= {*re.findall(r"\w+", high)}


def test_counts_are_whole_and_the_start_is_the_first_one(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "runs/run", tmp_path / "run")
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, "nimg": 1234567}))
    environment = json.loads((run / "environment.json").read_text())
    environment["started"] = "2001-02-03 04:05+00:00"
    (run / "environment.json").write_text(json.dumps(environment))
    record_config(RunDirectory(run), {"seed": 7}, [])  # as a resume does
    text = report.page(read_run(run))
    assert '<td>nimg</td><td class="n">1234567<' in text and "1.235e+06" not in text
    assert "2001-02-03 04:05" in text
