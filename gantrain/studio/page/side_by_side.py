"""Several runs on one page: the same seed or the same picture, a column for each run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr  # pyright: ignore[reportMissingImports]

from gantrain.studio import generating, translating
from gantrain.studio.open_run import OpenRun
from gantrain.studio.page.answers import in_sentences, uploaded, warn
from gantrain.studio.page.parts import (
    BUTTON,
    LIVE,
    add_command,
    add_comparison,
    add_look,
    add_result,
    add_seed,
)
from gantrain.studio.page.translator import add_sources


def add_side_by_side(runs: Sequence[OpenRun], page: gr.Blocks) -> None:
    """Add the generators among the runs, and the translators."""
    generators = [run for run in runs if not run.translates]
    translators = [run for run in runs if run.translates]
    if generators:
        _add_generators(generators, page)
    if translators:
        _add_translators(translators)


def _add_generators(runs: Sequence[OpenRun], page: gr.Blocks) -> None:
    with gr.Row():
        with gr.Column(min_width=240):
            seed = add_seed("Seed", "all")
        with gr.Column(min_width=240, scale=2):
            controls = add_look(runs, "all")
    results = []
    with gr.Row():
        for number, run in enumerate(runs):
            with gr.Column(min_width=260):
                results.append(add_result(run.name, f"all{number}", npz=run.model.has_w))

    @in_sentences
    def make(number: int | None, *values: Any) -> Any:
        shown = []
        for run, result in zip(runs, results, strict=True):
            call = generating.of_seed(run, number or 0, controls.look(values))
            shown += result.values(run.generate(call))
        return shown

    inputs = [seed, *controls.inputs]
    triggers = [page.load, *(one.change for one in inputs)]
    gr.on(triggers, make, inputs, [out for one in results for out in one.outputs], **LIVE)


def _add_translators(runs: Sequence[OpenRun]) -> None:
    common = [
        choice
        for choice in translating.choices_of_direction(runs[0].model)
        if all(choice in translating.choices_of_direction(run.model) for run in runs)
    ]
    if not common:
        gr.Markdown("The translators have no direction in common: each has a tab of its own.")
        return
    with gr.Row():
        files, direction = add_sources("all", common, several=False)
    columns: list[Any] = []
    with gr.Row():
        for number, run in enumerate(runs):
            with gr.Column(min_width=260):
                columns.append(add_comparison(run.name, f"all{number}-after"))
                columns.append(add_command(f"all{number}-after"))

    @in_sentences
    def translate(path: str | None, direction: str) -> Any:
        if not path:
            return [None] * len(columns)
        shown: list[Any] = []
        for run in runs:
            one = translating.translate(run, uploaded(path), direction, warn)
            shown += [(str(one.before), str(one.after.shown)), one.after.call.text]
        return shown

    gr.on(
        [files.change, direction.change], translate, [files, direction], columns,
        trigger_mode="always_last", **BUTTON,
    )  # fmt: skip
