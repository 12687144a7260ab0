"""The page in a real browser: dragged, clicked, and compared with what its commands write."""

import base64
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.config.machine import is_installed
from gantrain.metrics.lpips import LPIPS
from tests.helpers import generators
from tests.helpers.command_line import gantrain
from tests.helpers.running_studio import Studio

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
MISSING = [name for name in ("gradio", "playwright") if not is_installed(name)]
MISSING += [] if CHROMIUM else ["Chromium"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
]
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
# The pixels that the browser shows, whatever the server sent.
PIXELS = """image => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
    return [canvas.height, canvas.width, [...data]];
}"""
DROP = """([area, name, content]) => {
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name));
    const target = document.querySelector(area + " button") ?? document.querySelector(area);
    for (const kind of ["dragenter", "dragover", "drop"])
        target.dispatchEvent(new DragEvent(kind, {dataTransfer: transfer, bubbles: true}));
}"""


class Browser:
    """The page of a studio, in a browser with a fresh profile."""

    def __init__(self, playwright: Any, studio: Studio, home: Path) -> None:
        self.studio, self.home = studio, home
        self.context = playwright.chromium.launch_persistent_context(
            home / "profile",
            executable_path=CHROMIUM,
            args=ARGUMENTS,
            accept_downloads=True,
            permissions=["clipboard-read", "clipboard-write"],
        )
        self.asked: set[str] = set()
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("request", lambda request: self.asked.add(request.url))
        self.page.goto(f"{studio.root}{studio.path}")

    def tab(self, *names: str) -> None:
        for name in names:
            self.page.get_by_role("tab", name=name, exact=True).locator("visible=true").click()

    def drop(self, area: str, file: Path) -> None:
        """Drag a file onto an area."""
        content = base64.b64encode(file.read_bytes()).decode()
        self.page.wait_for_selector(f"#{area}")
        self.page.evaluate(DROP, [f"#{area}", file.name, content])

    def command(self, where: str, *parts: str) -> str:
        """The command, once it has these parts."""
        self.page.wait_for_function(
            "([id, parts]) => parts.every(part => "
            "document.querySelector(`#${id}-command textarea`)?.value.includes(part))",
            arg=[where, parts],
        )
        return self.page.input_value(f"#{where}-command textarea")

    def pixels(self, selector: str) -> np.ndarray:
        """uint8 [H, W, 3] of an image, once it is loaded."""
        image = self.page.locator(selector).first
        while not image.evaluate("image => image.naturalWidth"):
            self.page.wait_for_timeout(20)
        height, width, values = image.evaluate(PIXELS)
        return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]

    def assert_same(self, selector: str, file: Path) -> None:
        """The image becomes what is in a file."""
        with Image.open(file) as image:
            expected = np.asarray(image.convert("RGB"))
        for _ in range(50):
            if np.array_equal(shown := self.pixels(selector), expected):
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{shown} is not {expected}")

    def save(self, button: str) -> Path:
        """Click a button that saves a file, and return the file."""
        with self.page.expect_download() as download:
            self.page.click(f"#{button}")
        name = download.value.suggested_filename
        target = self.home / (name if name.endswith(".npz") else f"saved/{name}")
        download.value.save_as(target)
        return target

    def assert_saves(self, button: str, file: Path) -> None:
        """A button comes to save what is in a file."""
        for _ in range(10):
            if self.save(button).read_bytes() == file.read_bytes():
                return
            self.page.wait_for_timeout(200)
        raise AssertionError(f"{button} saves another file than {file}")

    def type(self, command: str, *more: str) -> None:
        """Type a command where the saved files are."""
        gantrain(self.home, *shlex.split(command)[1:], *more)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright  # pyright: ignore[reportMissingImports]

    home = tmp_path_factory.mktemp("browser")
    style = generators.stylegan(home / "style", generators.ANIMALS)
    words = ("method=pca", "count=2", "samples=20", "seeds=0", "device=cpu")
    gantrain(home, "directions", f"run={style}", "output=style/pca", *words)
    generators.cyclegan(home / "both")
    torch.save(LPIPS().state_dict(), home / "lpips.pth")
    levels = np.arange(20 * 28, dtype=np.uint16).reshape(20, 28) * 100
    Image.fromarray(levels).save(home / "deep.png")
    colours = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(colours).save(home / "face.png")
    with Studio(home, "run=[style,both]", "weights.lpips=lpips.pth") as studio:
        with sync_playwright() as playwright:
            opened = Browser(playwright, studio, home)
            yield opened
            opened.context.close()
        said = studio.end(signal.SIGINT, 130)
    assert "Traceback" not in said, said
    own = {urlsplit(url).netloc for url in opened.asked if url.startswith(("http", "ws"))}
    assert own == {urlsplit(studio.root).netloc}, sorted(opened.asked)


def test_a_picture(browser: Browser) -> None:
    page = browser.page
    browser.tab("style", "Picture")
    slider = page.locator("#style-psi input[type=range]").bounding_box()
    assert slider
    middle = slider["y"] + slider["height"] / 2
    page.mouse.move(slider["x"] + slider["width"] * 0.8, middle)  # where 1 is, of -1 to 1.5
    page.mouse.down()
    page.mouse.move(slider["x"] + slider["width"] * 0.6, middle, steps=5)
    page.mouse.up()
    page.locator("#style-seed").get_by_role("button", name="Random").click()
    page.click("#style-class input")
    page.get_by_role("option", name="fox").click()
    page.get_by_label("random", exact=True).locator("visible=true").check()
    page.fill("#style-direction1 input[type=number]", "2.5")
    page.keyboard.press("Tab")
    command = browser.command(
        "style", "truncation_psi=0.", "class=fox", "noise=random", "npz:1", "strength=2.5"
    )
    assert "seeds=0" not in command
    browser.type(command, "out=picture")
    [file] = browser.home.glob("picture/seed*.png")
    browser.assert_same("#style-picture img", file)
    browser.assert_saves("style-png", file)
    with np.load(browser.save("style-npz")) as content:
        assert content["w"].shape == (1, 6, 16)
    page.locator("#style-command").get_by_role("button").click()
    assert page.evaluate("navigator.clipboard.readText()") == command
    page.click("#style-pin")


def test_a_mix(browser: Browser) -> None:
    browser.tab("style", "Mix")
    browser.page.fill("#style-mix-b-seed input", "5")
    browser.page.get_by_label("fine (4-5)").check()
    command = browser.command("style-mix", "columns=5", "[0-1,4-5]")
    browser.type(command, "out=mix")
    browser.assert_same("#style-mix-picture img", browser.home / "mix/seed0000-seed0005.png")
    browser.page.click("#style-mix-pin")


def test_a_photo_and_a_video(browser: Browser) -> None:
    page = browser.page
    browser.tab("style", "Photo")
    browser.drop("style-photo-file", browser.home / "face.png")
    page.get_by_label("w+").check()
    page.fill("#style-photo-steps input[type=number]", "10")
    page.keyboard.press("Tab")
    page.click("#style-photo-class input")
    page.get_by_role("option", name="dog").locator("visible=true").click()
    page.locator("#style-photo-file").get_by_label("Clear").wait_for()  # it is uploaded
    page.click("#style-photo-start")
    browser.type(browser.command("style-photo", "input=face.png", "class=dog", "steps=10"))
    browser.assert_same("#style-photo-compared img >> nth=-1", browser.home / "projected/face.png")
    assert "LPIPS" in page.locator("#style-photo-said").inner_text()
    with np.load(browser.save("style-photo-npz")) as content:
        assert content["w"].shape == (6, 16)
    browser.tab("Video")
    page.fill("#style-video-frames input[type=number]", "3")
    page.keyboard.press("Tab")
    page.click("#style-video-make")
    command = browser.command("style-video", "w=pins.npz", "frames=3")
    assert browser.save("style-video-npz").name == "pins.npz"
    browser.type(command, "out=video")
    browser.assert_saves("style-video-png", browser.home / "video/video.webp")


@pytest.mark.parametrize("direction", ["a to b", "b to a"])
def test_a_translation_and_the_way_back(browser: Browser, direction: str) -> None:
    page, (one, other) = browser.page, direction[::5]
    browser.tab("both")
    page.get_by_label(direction).locator("visible=true").check()
    if direction == "a to b":
        browser.drop("both-files", browser.home / "deep.png")
    there, back = f"{one}{other}", f"{other}{one}"
    browser.type(browser.command("both", f"direction={there}"))
    browser.type(browser.command("both-back", f"direction={back}"))
    result = browser.home / f"translated_{there}/deep.png"
    browser.assert_saves("both-png", result)  # 16 bits
    before, after = browser.pixels("#both-after img >> nth=0"), page.locator("#both-after img")
    assert before.shape == (20, 28, 3) and after.count() == 2
    box = page.locator("#both-after").bounding_box()
    assert box
    style = "element => getComputedStyle(element).clipPath"
    was = [image.evaluate(style) for image in after.all()]
    start, end = (0.5, 0.25) if direction == "a to b" else (0.25, 0.75)
    page.mouse.move(box["x"] + box["width"] * start, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    assert [image.evaluate(style) for image in after.all()] != was
    assert (browser.home / f"back_{back}/deep.png").is_file()


def test_side_by_side(browser: Browser) -> None:
    browser.tab("Side by side")
    browser.page.fill("#all-seed input", "11")
    browser.type(browser.command("all0", "seeds=11"), "out=side")
    browser.assert_same("#all0-picture img", browser.home / "side/seed0011.png")
    browser.drop("all-files", browser.home / "face.png")
    assert "direction=ab" in browser.command("all0-after", "input=face.png")


def test_what_does_not_work_is_said_on_the_page(browser: Browser) -> None:
    browser.tab("both")
    browser.page.locator("#both-files").get_by_label("Clear").click()
    bad = browser.home / "bad <b>name.png"
    bad.write_bytes(b"no image")
    browser.drop("both-files", bad)
    said = browser.page.locator(".toast-body").last
    said.wait_for()
    assert "name.png is unreadable" in said.inner_text()
    assert "gantrain-studio" not in said.inner_text()


def test_the_end_does_not_wait_for_a_projection(browser: Browser) -> None:
    """The fixture ends the studio, which must leave nothing, while this is at work."""
    page = browser.page
    browser.tab("style", "Photo")
    page.fill("#style-photo-steps input[type=number]", "1000")
    page.keyboard.press("Tab")
    page.click("#style-photo-start")
    page.get_by_text("/1000 steps").first.wait_for()
