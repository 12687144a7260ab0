"""A page for a model of gantrain, on a CPU."""

from __future__ import annotations

from pathlib import Path

import gradio as gr  # pyright: ignore[reportMissingImports]
from PIL import Image

import gantrain
from gantrain.inference.model import Model
from gantrain.studio import generating, space, translating

MODEL: str | Path = Path(__file__).parent  # or "hub:OWNER/NAME@REVISION"


def add_generator(model: Model) -> None:
    """Add a seed, what else there is to choose, and the picture."""
    classes = generating.choices_of_class(model)

    def make(seed: float, psi: float, label: str | int | None) -> Image.Image:
        try:
            return space.picture_of_seed(model, int(seed), psi, label)
        except gantrain.ConfigError as error:
            raise gr.Error(str(error)) from None

    seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**32 - 1)
    psi = gr.Slider(0, 1, 0.7, step=0.05, label="Truncation", visible=model.has_w)
    first = classes[0][1] if classes else None
    label = gr.Dropdown(classes, value=first, label="Class", visible=bool(classes))
    button = gr.Button("Generate", variant="primary")
    picture = gr.Image(label="Picture", format="png", interactive=False)
    button.click(make, [seed, psi, label], picture)


def add_translator(model: Model) -> None:
    """Add where a photo is dropped, the direction, and the result."""
    directions = translating.choices_of_direction(model)

    def make(file: str | None, direction: str) -> Image.Image:
        if file is None:
            raise gr.Error("Give a picture first.")
        try:
            return space.translated(model, file, direction)
        except gantrain.ConfigError as error:
            raise gr.Error(str(error)) from None

    with gr.Row():
        photo = gr.Image(label="Picture", type="filepath", format="png")
        result = gr.Image(label="Result", format="png", interactive=False)
    direction = gr.Radio(
        directions, value=directions[0][1], label="Direction", visible=len(directions) > 1
    )
    button = gr.Button("Translate", variant="primary")
    button.click(make, [photo, direction], result)


def build(model: Model) -> gr.Blocks:
    """Return the page of a model."""
    with gr.Blocks(title=model.algorithm) as page:
        gr.Markdown(f"# {model.algorithm}\nA model of gantrain, on a CPU: a picture takes a while.")
        add = add_translator if model.directions else add_generator
        add(model)
    return page


if __name__ == "__main__":
    build(gantrain.load(MODEL)).launch()
