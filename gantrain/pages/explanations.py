"""What the figures of a report mean, and which direction is better, in half a sentence each."""

from gantrain.metrics.protocol import HIGHER_IS_BETTER

_NOTES = {
    "metric": f"against real images: lower is better ({', '.join(HIGHER_IS_BETTER)}: higher)",
    "loss/G": "no measure of quality: D changes, too; a cycle loss should fall and stay low",
    "loss/D": "steady is good; near 0 means that D tells everything apart and G learns nothing",
    "score": "values that are not descended, such as D's mean logits",
    "augment": "how often D's images are augmented; near its bound the data are few",
    "grad_norm": "steady is good; a rise over decades announces a breakdown",
    "lr": "as scheduled",
    "schedule": "settings that change over time, by key",
    "progress": "img_per_sec: higher is better; data_wait is the share of time spent on loading",
    "resources": "peak memory so far",
    "health/separation": "how often D scores a real image above a fake: at 1, G learns little",
    "health/overfit": "how far unseen real images score towards fakes: near 0 is good",
    "health/diversity": "how much fakes differ, relative to real images: near 1 is good",
    "health/copy": "how far a translation is from its input: well above 0 is good",
    "health/luma": "correlation of brightness of input and translation: -1 is a negative",
    "health/hidden": "how much a cycle depends on invisible patterns: near 1 is good",
}


def explain(group: str) -> str:
    """Return the note about a group of curves, such as "loss/G" or "health/overfit"; "": none."""
    if group.startswith("health/logits"):
        return "D's mean answers: real above fake; held-out ones far below real mean memorizing"
    return _NOTES.get(group, "")
