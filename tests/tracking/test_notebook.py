"""What a notebook's cell shows while a training runs."""

from typing import Any

import IPython.display
import pytest

from gantrain.tracking import notebook


class Output:
    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def update(self, content: dict[str, str], raw: bool) -> None:
        self.shown.append(content)


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    output = Output()

    def display(content: dict[str, str], **options: Any) -> Output:
        output.update(content, options["raw"])
        return output

    monkeypatch.setattr(IPython.display, "display", display)
    return output


def test_one_output_is_redrawn_at_most_every_second(
    output: Output, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr(notebook.time, "monotonic", lambda: now[0])
    display = notebook.NotebookDisplay(total=1000, start=200)
    for step in range(30):  # of 0.1 s
        now[0] += 0.1
        display.progress(200 + 10 * step)
    assert len(output.shown) == 3
    display.scalars(500, {"loss/G/<x>": 1.5, "health/image/separation": 0.5})
    display.say("a line")
    display.close()
    assert capsys.readouterr().out == "a line\n"
    last = output.shown[-1]
    assert (
        '<progress value="500" max="1000"' in last["text/html"]
        and "0.50/1 kimg" in last["text/html"]
    )
    assert "G/&lt;x&gt; 1.5" in last["text/html"] and "separation 0.50" in last["text/html"]
    assert last["text/plain"].splitlines()[0] == "0.50/1 kimg"


def test_a_training_without_a_step_shows_nothing(output: Output) -> None:
    notebook.NotebookDisplay(total=1000).close()
    assert output.shown == []


def test_a_terminal_is_no_notebook() -> None:
    assert not notebook.in_notebook()
