"""The page of a generator: pictures, mixes, photos and videos between pins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr  # pyright: ignore[reportMissingImports]

from gantrain.studio import generating
from gantrain.studio.generating import MOST_DIRECTIONS, Pin
from gantrain.studio.open_run import OpenRun, Picture
from gantrain.studio.page.answers import in_sentences
from gantrain.studio.page.parts import BUTTON, LIVE, Result, add_look, add_result, add_seed
from gantrain.studio.page.photo import add_photo

SEED = "the seed"
MOST_STRENGTH = 5.0  # standard deviations


@dataclass(frozen=True)
class Shelf:
    """The pins of a run: their state, and everything that shows them.

    Attributes:
        pins: list[Pin].
        source: what the picture begins with, SEED or a pin's number.
        gallery: their pictures.
    """

    pins: gr.State
    source: gr.Dropdown
    gallery: gr.Gallery

    @property
    def outputs(self) -> list[Any]:
        """What `values` are for."""
        return [self.pins, self.source, self.gallery]

    def values(self, pins: Sequence[Pin]) -> list[Any]:
        """Return what to show of pins."""
        names = [
            (f"{i + 1}: {pin.name}", i) for i, pin in enumerate(pins) if pin.values is not None
        ]
        pictures = [(str(pin.shown), pin.name) for pin in pins]
        return [list(pins), gr.update(choices=[(SEED, SEED), *names]), pictures]


def add_generator(run: OpenRun, page: gr.Blocks) -> None:
    """Add the tabs of a run with a generator."""
    where = run.name
    pins = gr.State([])
    source = gr.Dropdown(
        [(SEED, SEED)], value=SEED, label="Begin with", elem_id=f"{where}-source", render=False
    )
    gallery = gr.Gallery(
        show_label=False,
        columns=4,
        height=200,
        format="png",
        interactive=False,
        elem_id=f"{where}-pins",
        elem_classes="picture",
        render=False,
    )
    shelf = Shelf(pins, source, gallery)
    with gr.Tabs():
        with gr.Tab("Picture"):
            _add_picture(run, shelf, page)
        if run.model.has_w:
            with gr.Tab("Mix"):
                _add_mix(run, shelf, page)
        with gr.Tab("Photo"):
            add_photo(run, shelf.pins, shelf.outputs, shelf.values)
        with gr.Tab("Video"):
            _add_video(run, shelf)


def _add_picture(run: OpenRun, shelf: Shelf, page: gr.Blocks) -> None:
    where = run.name
    names = generating.directions(run)
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            shelf.source.render()
            seed = add_seed("Seed", where)
            controls = add_look([run], where)
            keys = gr.State(list(names))
            directions = _add_directions(run, names)
        with gr.Column(scale=3, min_width=320):
            result = add_result("Picture", where, npz=run.model.has_w, pin=True)
    current = gr.State(None)
    count, sliders = len(controls.inputs), directions.sliders

    @in_sentences
    def make(
        source: Any, number: int | None, pins: list[Pin], keys: list[str], *values: Any
    ) -> Any:
        strengths = dict(zip(keys, values[count:], strict=False))
        look = controls.look(values[:count], strengths)
        if isinstance(source, int) and source < len(pins):
            call = generating.of_pin(run, pins[source], look)
        else:
            call = generating.of_seed(run, number or 0, look)
        made = run.generate(call)
        return [made, *result.values(made)]

    inputs = [shelf.source, seed, shelf.pins, keys, *controls.inputs, *sliders]
    triggers = [shelf.source.change, seed.change, page.load]
    triggers += [one.change for one in (*controls.inputs, *sliders)]
    gr.on(triggers, make, inputs, [current, *result.outputs], **LIVE)
    _connect_pin(run, shelf, result, current)
    if directions.find is not None:
        _connect_find(run, directions, keys)


@dataclass(frozen=True)
class DirectionControls:
    """Sliders of directions.

    Attributes:
        sliders: one for each direction, and hidden ones for those that may be found.
        find: looks for some; None: there are some, or cannot be any.
        reset: sets all to 0.
    """

    sliders: list[gr.Slider]
    find: gr.Button | None = None
    reset: gr.Button | None = None


def _add_directions(run: OpenRun, names: dict[str, str]) -> DirectionControls:
    """Add a slider for each direction, or a button that finds some."""
    if not run.model.has_w:
        return DirectionControls([])
    where, labels = run.name, list(names.values())
    with gr.Accordion("Directions"):
        find = None if names else gr.Button("Find directions (PCA)", elem_id=f"{where}-find")
        sliders = [
            gr.Slider(
                -MOST_STRENGTH,
                MOST_STRENGTH,
                0,
                step=0.1,
                label=labels[i] if i < len(labels) else "",
                visible=i < len(labels),
                elem_id=f"{where}-direction{i}",
            )
            for i in range(len(labels) or MOST_DIRECTIONS)
        ]
        reset = gr.Button("All to 0", size="sm", visible=bool(names), elem_id=f"{where}-reset")
    reset.click(lambda: [0] * len(sliders), None, sliders, **BUTTON)
    return DirectionControls(sliders, find, reset)


def _connect_find(run: OpenRun, directions: DirectionControls, keys: gr.State) -> None:
    sliders = directions.sliders

    @in_sentences
    def search() -> Any:
        generating.find_directions(run)
        names = list(generating.directions(run).items())
        shown = [gr.update(visible=True, label=name) for _, name in names]
        hidden = [gr.update(visible=False)] * (len(sliders) - len(shown))
        files = [key for key, _ in names]
        return [gr.update(visible=False), gr.update(visible=True), files, *shown, *hidden]

    assert directions.find is not None
    outputs = [directions.find, directions.reset, keys, *sliders]
    directions.find.click(search, None, outputs, **BUTTON)


def _connect_pin(run: OpenRun, shelf: Shelf, result: Result, current: gr.State) -> None:
    @in_sentences
    def keep(made: Picture | None, pins: list[Pin]) -> Any:
        if made is None:
            return shelf.values(pins)
        gr.Info("Begin with it, or go through it: see Video.", duration=3, title="Pinned")
        return shelf.values([*pins, generating.pin(run, made, generating.describe(made))])

    assert result.pin is not None
    result.pin.click(keep, [current, shelf.pins], shelf.outputs, **BUTTON)


def _add_mix(run: OpenRun, shelf: Shelf, page: gr.Blocks) -> None:
    where = f"{run.name}-mix"
    groups = list(generating.layer_groups(run))
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            row = add_seed("Seed A", f"{where}-a", 0)
            column = add_seed("Seed B", f"{where}-b", 1)
            chosen = gr.CheckboxGroup(
                groups, value=groups[:1], label="Layers from B", elem_id=f"{where}-layers"
            )
            controls = add_look([run], where)
            with gr.Row():
                pictures = [
                    gr.Image(
                        label=name,
                        format="png",
                        height=180,
                        interactive=False,
                        buttons=[],
                        elem_id=f"{where}-{name.lower()}",
                        elem_classes="picture",
                    )
                    for name in ("A", "B")
                ]
        with gr.Column(scale=3, min_width=320):
            result = add_result("A with layers of B", where, npz=True, pin=True)
    current = gr.State(None)

    @in_sentences
    def make(a: int | None, b: int | None, groups: list[str], *values: Any) -> Any:
        look, seeds = controls.look(values), (a or 0, b or 0)
        each = [run.generate(generating.of_seed(run, seed, look)).shown for seed in seeds]
        made = run.generate(generating.of_mix(run, *seeds, groups, look))
        return [made, *each, *result.values(made)]

    inputs = [row, column, chosen, *controls.inputs]
    triggers = [page.load, *(one.change for one in inputs)]
    gr.on(triggers, make, inputs, [current, *pictures, *result.outputs], **LIVE)
    _connect_pin(run, shelf, result, current)


def _add_video(run: OpenRun, shelf: Shelf) -> None:
    where = f"{run.name}-video"
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            gr.Markdown("The video goes through what is pinned, in this order.")
            shelf.gallery.render()
            with gr.Row():
                last = gr.Button("Remove the last", size="sm", elem_id=f"{where}-last")
                clear = gr.Button("Remove all", size="sm", elem_id=f"{where}-clear")
            frames = gr.Slider(
                2, 120, 30, step=1, label="Frames between two", elem_id=f"{where}-frames"
            )
            loop = gr.Checkbox(True, label="Back to the first", elem_id=f"{where}-loop")
            start = gr.Button("Make the video", variant="primary", elem_id=f"{where}-make")
        with gr.Column(scale=3, min_width=320):
            result: Result = add_result(
                "Video", where, save="Save video", told="The same video by command"
            )
            latents = gr.DownloadButton(
                "Save pins.npz, which it needs", size="sm", visible=False, elem_id=f"{where}-npz"
            )

    @in_sentences
    def make(pins: list[Pin], frames: int, loop: bool) -> Any:
        call = generating.of_path(run, pins, frames, loop)
        file = call.settings.get("w")
        made = run.generate(call)
        return [gr.update(value=file and file.path, visible=file is not None), *result.values(made)]

    start.click(make, [shelf.pins, frames, loop], [latents, *result.outputs], **BUTTON)
    last.click(lambda pins: shelf.values(pins[:-1]), shelf.pins, shelf.outputs, **BUTTON)
    clear.click(lambda: shelf.values([]), None, shelf.outputs, **BUTTON)
