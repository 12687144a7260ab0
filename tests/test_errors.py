"""Sentences with numbers."""

import pytest

from gantrain.errors import agreed, counted, listed, shell_quote, shown


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [(0, "image", "0 images"), (1, "image", "1 image"), (2, "usable image", "2 usable images"),
     (1, "entry", "1 entry"), (3, "entry", "3 entries"), (2, "array", "2 arrays")],
)  # fmt: skip
def test_nouns_follow_their_number(count: int, noun: str, said: str) -> None:
    assert counted(count, noun) == said


def test_verbs_follow_their_number() -> None:
    assert [agreed(count) for count in (0, 1, 2)] == ["are", "is", "are"]
    assert [agreed(1, verb) for verb in ("have", "need", "stay")] == ["has", "needs", "stays"]
    assert agreed(2, "have") == "have"


@pytest.mark.parametrize(
    ("word", "here", "windows"),
    [
        ("run=runs/x", "run=runs/x", "run=runs/x"),
        (r"run=C:\runs\x", r"'run=C:\runs\x'", r"run=C:\runs\x"),
        ("name=two words", "'name=two words'", '"name=two words"'),
        ("a&b", "'a&b'", '"a&b"'),
        ('say "x"', "'say \"x\"'", r'"say \"x\""'),
    ],
)
def test_words_are_quoted_for_the_shell_that_is_here(
    word: str, here: str, windows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell_quote(word) == shown(word) == here
    monkeypatch.setattr("gantrain.errors.sys.platform", "win32")
    assert shell_quote(word) == shown(word) == windows


def test_words_are_listed_as_in_a_sentence() -> None:
    assert [listed(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
