"""The page of a translator: pictures before and after, and back."""

from __future__ import annotations

from typing import Any

import gradio as gr  # pyright: ignore[reportMissingImports]

from gantrain.studio import translating
from gantrain.studio.open_run import OpenRun
from gantrain.studio.page.answers import in_sentences, uploaded, warn
from gantrain.studio.page.parts import BUTTON, add_command, add_comparison, add_saving, saves
from gantrain.studio.translating import Translation


def add_translator(run: OpenRun) -> None:
    """Add the controls and what they make."""
    where = run.name
    directions = translating.choices_of_direction(run.model)
    has_back = len(directions) > 1
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            files, direction = add_sources(where, directions, several=True)
            shown = gr.Dropdown([], label="Shown", visible=False, elem_id=f"{where}-shown")
            png = add_saving("Save the result", f"{where}-png")
            command = add_command(where)
        with gr.Column(scale=3, min_width=320):
            after = add_comparison("Before and after", f"{where}-after")
            back = add_comparison("Before, and there and back", f"{where}-back", visible=has_back)
            command_back = add_command(f"{where}-back", "The way back by command", has_back)
    made = gr.State([])

    def show(pictures: list[Translation], number: int | None) -> list[Any]:
        if not pictures:
            return [None, None, saves(None), "", ""]
        one = pictures[number or 0]
        returned = (str(one.before), str(one.back.shown)) if one.back else None
        text = one.back.call.text if one.back else ""
        pair = str(one.before), str(one.after.shown)
        return [pair, returned, saves(one.after.file), one.after.call.text, text]

    @in_sentences
    def translate(
        paths: list[str] | None, direction: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (so gradio finds it)
    ) -> Any:  # fmt: skip
        pictures = []
        for i, path in enumerate(paths or ()):
            progress((i, len(paths or ())), desc="Translating", unit="pictures")
            pictures.append(translating.translate(run, uploaded(path), direction, warn))
        names = [(f"{i + 1}: {one.name}", i) for i, one in enumerate(pictures)]
        choice = gr.update(choices=names, value=0 if names else None, visible=len(names) > 1)
        return [pictures, choice, *show(pictures, 0)]

    outputs = [after, back, png, command, command_back]
    gr.on(
        [files.change, direction.change], translate, [files, direction], [made, shown, *outputs],
        trigger_mode="always_last", show_progress_on=after, **BUTTON,
    )  # fmt: skip
    shown.input(show, [made, shown], outputs, show_progress="hidden", **BUTTON)


def add_sources(
    where: str, directions: list[tuple[str, str]], *, several: bool
) -> tuple[gr.File, gr.Radio]:
    """Add where pictures are dropped, one or several, and the choice of a direction."""
    files = gr.File(
        label="Pictures" if several else "A picture",
        file_count="multiple" if several else "single",
        height=160,
        elem_id=f"{where}-files",
    )
    direction = gr.Radio(
        directions, value=directions[0][1], label="Direction", elem_id=f"{where}-direction"
    )
    return files, direction
