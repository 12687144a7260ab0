"""Sentences with numbers."""

import pytest

from gantrain.errors import agreed, counted, listed


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


def test_words_are_listed_as_in_a_sentence() -> None:
    assert [listed(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
