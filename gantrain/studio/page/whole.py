"""The page: a run's own, or several in tabs with one where they stand side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr  # pyright: ignore[reportMissingImports]
from gradio.themes import Default  # pyright: ignore[reportMissingImports]

from gantrain.studio.open_run import OpenRun
from gantrain.studio.page.generator import add_generator
from gantrain.studio.page.side_by_side import add_side_by_side
from gantrain.studio.page.translator import add_translator

# Small pictures are enlarged without being smoothed; fonts are the machine's own.
CSS = """
.picture img { image-rendering: pixelated; object-fit: contain; }
.command textarea { font-family: ui-monospace, monospace; font-size: 0.85em; }
footer { display: none !important; }
"""
_MONO = ["ui-monospace", "monospace"]
LOOK: dict[str, Any] = {
    "theme": Default(font=["system-ui", "sans-serif"], font_mono=_MONO),
    "css": CSS,
}


def build(runs: Sequence[OpenRun]) -> gr.Blocks:
    """Return the page of one run or several."""
    with gr.Blocks(title="gantrain studio", analytics_enabled=False, fill_width=True) as page:
        if len(runs) == 1:
            _add(runs[0], page)
            return page
        with gr.Tabs():
            with gr.Tab("Side by side"):
                add_side_by_side(runs, page)
            for run in runs:
                with gr.Tab(run.name):
                    _add(run, page)
    return page


def _add(run: OpenRun, page: gr.Blocks) -> None:
    kimg = run.model.meta.get("nimg", 0) / 1000
    gr.Markdown(f"**{run.name}** · {run.model.algorithm} at {kimg:g} kimg", sanitize_html=True)
    if run.translates:
        add_translator(run)
    else:
        add_generator(run, page)
