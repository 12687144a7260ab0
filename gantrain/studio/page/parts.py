"""Parts of the page that stand in several places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr  # pyright: ignore[reportMissingImports]

from gantrain.inference.seeds import LARGEST_SEED
from gantrain.studio import generating
from gantrain.studio.generating import Look
from gantrain.studio.open_run import OpenRun, Picture

HEIGHT = 420  # pixels of a picture
SAME = "The same picture by command"
RANDOM_SEEDS = 1_000_000  # short to read, and enough
# The latest value counts: while a picture is made, a slider passes others.
LIVE: dict[str, Any] = {
    "trigger_mode": "always_last",
    "show_progress": "hidden",
    "api_visibility": "private",
}
BUTTON: dict[str, Any] = {"api_visibility": "private"}


@dataclass(frozen=True)
class Result:
    """A picture, its files and its command.

    Attributes:
        picture: the image.
        png: saves it.
        npz: saves its latents; None: there are none.
        pin: pins it; None: that is not offered.
        command: the text.
    """

    picture: gr.Image
    png: gr.DownloadButton
    npz: gr.DownloadButton | None
    pin: gr.Button | None
    command: gr.Textbox

    @property
    def outputs(self) -> list[Any]:
        """What `values` are for."""
        buttons = [self.png] if self.npz is None else [self.png, self.npz]
        return [self.picture, *buttons, self.command]

    def values(self, made: Picture) -> list[Any]:
        """Return what to show of a picture."""
        files = [made.file] if self.npz is None else [made.file, made.latents]
        return [made.shown, *map(saves, files), made.call.text]


def add_result(
    label: str,
    where: str,
    *,
    npz: bool = False,
    pin: bool = False,
    save: str = "Save image",
    told: str = SAME,
) -> Result:
    """Add a picture with what belongs to it.

    Args:
        label: what the picture is called.
        where: the first part of the ids of the elements.
        npz: whether it has latents to save.
        pin: whether it can be pinned.
        save: text of the button that saves the picture.
        told: what the command is called.
    """
    picture = gr.Image(
        label=label,
        format="png",
        height=HEIGHT,
        interactive=False,
        buttons=["fullscreen"],
        elem_id=f"{where}-picture",
        elem_classes="picture",
    )
    with gr.Row():
        png = add_saving(save, f"{where}-png")
        latents = add_saving("Save npz", f"{where}-npz") if npz else None
        keep = gr.Button("Pin", size="sm", elem_id=f"{where}-pin") if pin else None
    return Result(picture, png, latents, keep, add_command(where, told))


def add_saving(text: str, where: str) -> gr.DownloadButton:
    """Add a button that saves a file, once there is one: see `saves`."""
    return gr.DownloadButton(text, size="sm", interactive=False, elem_id=where)


def saves(file: Path | None) -> Any:
    """Return the update of a saving button for a file; None: there is none."""
    return gr.update(value=file and str(file), interactive=file is not None)


def add_command(where: str, label: str = SAME, visible: bool = True) -> gr.Textbox:
    """Add the text of a command, with a button that copies it."""
    return gr.Textbox(
        label=label,
        lines=2,
        visible=visible,
        interactive=False,
        buttons=["copy"],
        elem_id=f"{where}-command",
        elem_classes="command",
    )


def add_comparison(label: str, where: str, *, visible: bool = True) -> gr.ImageSlider:
    """Add a picture that a slider divides into before and after."""
    return gr.ImageSlider(
        label=label,
        height=HEIGHT,
        max_height=HEIGHT,
        interactive=False,
        buttons=["fullscreen"],
        visible=visible,
        elem_id=where,
        elem_classes="picture",
    )


def add_seed(label: str, where: str, value: int = 0) -> gr.Number:
    """Add a seed with a button for another one."""
    button = gr.Button("Random", size="sm", render=False, elem_id=f"{where}-random")
    seed = gr.Number(
        value,
        label=label,
        precision=0,
        minimum=0,
        maximum=LARGEST_SEED,
        buttons=[button],
        elem_id=f"{where}-seed",
    )
    button.click(
        fn=None,
        outputs=seed,
        js=f"() => Math.floor(Math.random() * {RANDOM_SEEDS})",
        api_visibility="private",
    )
    return seed


@dataclass(frozen=True)
class LookControls:
    """The controls of a look without directions: truncation, class and noise, where there are any.

    Attributes:
        controls: those that there are, by the attribute of `Look`.
    """

    controls: dict[str, Any]

    @property
    def inputs(self) -> list[Any]:
        """The components."""
        return list(self.controls.values())

    def look(self, values: Sequence[Any], strengths: dict[str, float] | None = None) -> Look:
        """Return the look of the components' values."""
        return Look(**dict(zip(self.controls, values, strict=True)), strengths=strengths or {})


def add_look(runs: Sequence[OpenRun], where: str) -> LookControls:
    """Add the controls that fit all of the runs."""
    controls: dict[str, Any] = {}
    if all(run.model.has_w for run in runs):
        controls["psi"] = gr.Slider(
            -1, 1.5, 1, step=0.05, label="Truncation psi", elem_id=f"{where}-psi"
        )
    classes = generating.choices_of_class(runs[0].model)
    if classes and all(generating.choices_of_class(run.model) == classes for run in runs):
        controls["label"] = gr.Dropdown(
            classes, value=generating.CLASS_OF_SEED, label="Class", elem_id=f"{where}-class"
        )
    if all(map(generating.has_noise, runs)):
        controls["noise"] = gr.Radio(
            ["const", "random", "none"], value="const", label="Noise", elem_id=f"{where}-noise"
        )
    return LookControls(controls)
