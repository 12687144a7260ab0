import io
import json
import os
import re
from pathlib import Path
from typing import TextIO, cast

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gantrain.errors import ConfigError
from gantrain.io.streams import DetachableStream
from gantrain.runs.directory import RunDirectory
from gantrain.tracking.console import LiveDisplay, PlainLines, format_metrics
from gantrain.tracking.grids import GAP, HEADER, compose_grid
from gantrain.tracking.sinks import JsonLines, TensorBoard
from gantrain.tracking.stats import Stats
from gantrain.tracking.tracker import Tracker

VALUES = {
    "loss/G/cycle_a": 1.25,
    "loss/D/a": 0.5,
    "lr/G": 2e-4,
    "progress/img_per_sec": 12.34,
    "progress/data_wait": 0.25,
    "progress/skipped_steps": 0.0,
    "resources/memory_gb": 1.5,
}


def test_grid_shows_every_picture_where_it_belongs() -> None:
    grey, color = torch.full((2, 1, 100, 120), -1.0), torch.ones(2, 3, 100, 120)
    color[1, 0] = -1  # cyan
    grid = np.asarray(compose_grid({"real a": grey, "fake b": color}))
    assert grid.shape == (HEADER + 2 * 100 + GAP, 2 * 120 + GAP, 3)
    assert (grid[HEADER : HEADER + 100, :120] == 0).all()
    assert (grid[HEADER : HEADER + 100, 120 + GAP :] == 255).all()
    assert (grid[HEADER + 100 + GAP :, 120 + GAP :] == (0, 255, 255)).all()
    assert (grid[:HEADER] < 128).any()  # the names


def test_small_pictures_are_enlarged_by_whole_pixels() -> None:
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    grid = np.asarray(compose_grid({"x": x}))[HEADER:]
    assert grid.shape == (96, 96, 3)
    assert (grid[0:3, 0:3] == grid[0, 0]).all()


def test_grid_drops_alpha_for_the_sheet() -> None:
    assert compose_grid({"x": torch.zeros(1, 4, 96, 96)}).mode == "RGB"


def test_names_of_rows_stand_left_of_them() -> None:
    x = torch.ones(2, 1, 96, 96)
    plain = np.asarray(compose_grid({"x": x}))
    named = np.asarray(compose_grid({"x": x}, ["cat", "a very long name " * 9]))
    left = named[:, : -plain.shape[1] - GAP]
    assert (named[:, -plain.shape[1] :] == plain).all()  # the images stay as they are
    for row, top in enumerate((HEADER, HEADER + 96 + GAP)):
        assert (left[top : top + 96] < 128).any(), row
    assert left.shape[1] <= 168


def test_tracker_writes_png_files(tmp_path: Path) -> None:
    Tracker([], tmp_path / "grids").grid(12_500, {"x": torch.zeros(1, 3, 96, 96)})
    with Image.open(tmp_path / "grids" / "grid-000012.500.png") as picture:
        assert picture.size == (96, HEADER + 96)


def test_stats_are_weighted_means() -> None:
    stats = Stats()
    stats.add("x", torch.tensor(1.0), 0.25)
    stats.add("x", torch.tensor(3.0), 0.75)
    stats.add("y", torch.tensor(7.0))
    assert stats.collect() == {"x": 2.5, "y": 7.0}
    assert stats.collect() == {}


def test_stats_travel_between_ticks() -> None:
    whole, first, second = Stats(), Stats(), Stats()
    for stats, values in ((whole, [1.0, 2.0]), (first, [1.0])):
        for value in values:
            stats.add("x", torch.tensor(value))
    second.load_state_dict(first.state_dict(), torch.device("cpu"))
    second.add("x", torch.tensor(2.0))
    assert second.collect() == whole.collect() == {"x": 1.5}


def test_runs_get_free_numbers_and_are_never_overwritten(tmp_path: Path) -> None:
    names = [RunDirectory.create(tmp_path, None, "gan-data").path.name for _ in range(3)]
    assert names == ["gan-data-001", "gan-data-002", "gan-data-003"]
    for _ in range(2):  # an empty one is what a run leaves that was killed at once
        mine = RunDirectory.create(tmp_path, "mine", "gan-data")
    (mine.path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"mine already exists.*not a run"):
        RunDirectory.create(tmp_path, "mine", "gan-data")


def test_truncating_metrics_forgets_later_and_torn_lines(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.metrics.write_text('{"nimg": 1}\n{"nimg": 2}\n{"nimg": 3}\n{"nim')
    directory.truncate_metrics(2)
    assert directory.metrics.read_text() == '{"nimg": 1}\n{"nimg": 2}\n'


def test_truncating_evaluations_keeps_what_was_asked_for(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    asked = '{"nimg": 9, "value": 1}\n'
    trained = ['{"nimg": 2, "training": true}\n', '{"nimg": 9, "training": true}\n']
    torn = '{"nimg": 9, "metric": "fi'
    directory.evaluations.write_text("".join([trained[0], asked, trained[1], torn]))
    directory.truncate_metrics(2)
    assert directory.evaluations.read_text() == trained[0] + asked


def test_json_lines_are_strict_json(tmp_path: Path) -> None:
    sink = JsonLines(tmp_path / "m.jsonl")
    sink.scalars(5, {"x": 1.5, "y": float("nan")})
    sink.close()
    assert json.loads((tmp_path / "m.jsonl").read_text()) == {"nimg": 5, "x": 1.5, "y": None}


def test_summary_names_what_people_watch() -> None:
    line = format_metrics("12.50/25 kimg", VALUES)
    for part in (
        "12.50/25 kimg ·",
        "12.3 img/s",
        "G/cycle_a 1.25",
        "lr 0.0002",
        "data-wait 25%",
        "1.50 GB",
    ):
        assert part in line
    assert "SKIPPED" not in line
    assert "SKIPPED 3" in format_metrics("1/2 kimg", VALUES | {"progress/skipped_steps": 3.0})


def test_plain_lines_go_to_terminal_and_log_but_not_too_often(tmp_path: Path) -> None:
    stream = io.StringIO()
    sink = PlainLines(stream, tmp_path / "log.txt", total=400)
    sink.progress(0)
    for nimg in (100, 200, 300, 400):
        sink.scalars(nimg, VALUES)
    sink.close()
    lines = stream.getvalue().splitlines()
    assert [line.split(" ")[0] for line in lines] == ["0.10/0.4", "0.40/0.4"]  # first and last
    assert "ETA 0:00:0" in lines[0]
    assert (tmp_path / "log.txt").read_text() == stream.getvalue()


def test_a_budget_in_epochs_is_followed_in_epochs(tmp_path: Path) -> None:
    stream = io.StringIO()
    sink = PlainLines(stream, tmp_path / "log.txt", total=400, epochs=8)
    sink.scalars(100, VALUES)
    sink.close()
    assert stream.getvalue().startswith("0.10/0.4 kimg, epoch 2.0 of 8 · ")
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=200)
    display = LiveDisplay(total=400, console=console, epochs=8)
    display.progress(150)
    display.close()
    assert "0.15/0.4 kimg, epoch 3.0 of 8" in output.getvalue()


def test_a_reader_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    """A terminal that was closed, or the tee that a Ctrl-C ended."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stream:
        sink = PlainLines(stream, tmp_path / "log.txt", total=400)
        console = Console(file=cast(TextIO, DetachableStream(stream)), force_terminal=True)
        display = LiveDisplay(total=1000, console=console)
        for number in range(2):
            sink.say(f"line {number}")
            display.progress(number)
            display.say("a line")
        display.close()
        stream.write("rest")  # as at Python's end
    assert (tmp_path / "log.txt").read_text() == "line 0\nline 1\n"


def test_live_display_shows_bar_and_numbers() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=200)
    display = LiveDisplay(total=1000, console=console)
    display.progress(250)
    display.scalars(250, VALUES)
    display.live.refresh()
    display.say("a line [with brackets]")
    display.close()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output.getvalue())
    for part in ("0.25/1 kimg", "25%", "ETA", "G/cycle_a 1.25", "a line [with brackets]"):
        assert part in text


def test_tensorboard_holds_scalars_grids_and_hyperparameters(tmp_path: Path) -> None:
    sink = TensorBoard(tmp_path, {"model.ngf": 64, "data.root": None, "betas": [0.5, 0.999]})
    sink.scalars(100, {"loss/G/x": 1.5})
    sink.grid(100, Image.new("RGB", (30, 20), "red"))
    sink.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    (scalar,) = events.Scalars("loss/G/x")
    assert (scalar.step, scalar.value) == (100, 1.5)
    (picture,) = events.Images("grid")
    with Image.open(io.BytesIO(picture.encoded_image_string)) as image:
        assert image.size == (30, 20)
    text = str(events.Tensors("config/text_summary")[0].tensor_proto.string_val[0])
    assert "model.ngf | 64" in text
    hyperparameters = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"model.ngf" in hyperparameters
