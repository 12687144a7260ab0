"""The tab that finds the latents of a photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import Event
from typing import Any

import gradio as gr  # pyright: ignore[reportMissingImports]

from gantrain.errors import ConfigError
from gantrain.studio import generating, projecting
from gantrain.studio.generating import Pin
from gantrain.studio.open_run import OpenRun
from gantrain.studio.page.answers import in_sentences, uploaded
from gantrain.studio.page.parts import BUTTON, add_command, add_comparison, add_saving, saves


def add_photo(
    run: OpenRun,
    pins: gr.State,
    shelf: Sequence[Any],
    on_shelf: Callable[[Sequence[Pin]], list[Any]],
) -> None:
    """Add the controls and what they find, which is pinned.

    Args:
        run: a generator.
        pins: the state with the pins.
        shelf: the components that show pins.
        on_shelf: returns their values for pins.
    """
    where = f"{run.name}-photo"
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            inputs = _add_inputs(run, where)
            with gr.Row():
                start = gr.Button("Project", variant="primary", elem_id=f"{where}-start")
                stop = gr.Button("Stop", elem_id=f"{where}-stop")
        with gr.Column(scale=3, min_width=320):
            compared = add_comparison("Photo and projection", f"{where}-compared")
            said = gr.Markdown(elem_id=f"{where}-said")
            with gr.Row():
                png = add_saving("Save image", f"{where}-png")
                npz = add_saving("Save npz", f"{where}-npz")
            command = add_command(where, "The same by command")
    stopped = Event()

    @in_sentences
    def project(
        path: str | None,
        space: str,
        steps: int,
        label: Any,
        pins: list[Pin],
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (so gradio finds it)
    ) -> Any:
        if not path:
            raise ConfigError("Drop a photo first.")
        stopped.clear()
        call = projecting.call_for(run, uploaded(path), space, steps, label)
        report = partial(_report, progress)
        found = projecting.project(
            run, call, projecting.reporting(report, stopped, run.folders.closed)
        )
        text = f"{found.text}. Pinned: begin a picture with it, or take it through a video."
        saved = saves(found.found), saves(found.latents)
        return [(found.photo, found.found), text, *saved, call.text, *on_shelf([*pins, found.pin])]

    outputs = [compared, said, png, npz, command, *shelf]
    start.click(project, [*inputs, pins], outputs, show_progress_on=compared, **BUTTON)
    stop.click(stopped.set, None, None, queue=False, **BUTTON)


def _add_inputs(run: OpenRun, where: str) -> list[Any]:
    """Add the file, the latent space, the number of steps, and the class."""
    classes = generating.choices_of_class(run.model)[1:]
    spaces = projecting.spaces(run)
    return [
        gr.File(label="A photo", height=120, elem_id=f"{where}-file"),
        gr.Radio(
            spaces,
            value=spaces[0],
            label="Latent space",
            info="w is easy to edit, w+ is closer",
            visible=len(spaces) > 1,
            elem_id=f"{where}-space",
        ),
        gr.Slider(10, 1000, 300, step=10, label="Steps", elem_id=f"{where}-steps"),
        gr.Dropdown(
            classes, value=None, label="Class", visible=bool(classes), elem_id=f"{where}-class"
        ),
    ]


def _report(progress: gr.Progress, done: int, total: int) -> None:
    progress((done, total), desc="Projecting", unit="steps")
