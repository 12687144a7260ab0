"""Settings of Hydra that have no place in gantrain: refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gantrain.errors import ConfigError

FOLDER_KEYS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
FOLDER_KEYS += ("hydra.output_subdir", "hydra.job.chdir")
LAUNCHER_GROUP = "hydra/launcher"
OWN_LAUNCHERS = ("basic", "gantrain_local")


def problems(command: str, overrides: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each override of where Hydra writes, or of the launcher that it uses.

    Args:
        command: the name of the command.
        overrides: as typed.
    """
    where = "out=... and name=..." if command == "train" else "out=..."
    for text in overrides:
        key, _, value = text.lstrip("+~").partition("=")
        inside = any(name.startswith(f"{key}.") for name in FOLDER_KEYS)
        if key in FOLDER_KEYS or (inside and value.lstrip().startswith("{")):
            yield f"{text} has no effect, since gantrain makes its own folders: write {where}."
        elif key.partition("@")[0] == LAUNCHER_GROUP and value not in OWN_LAUNCHERS:
            yield other_launcher(text)


def other_launcher(what: str) -> str:
    """Return the sentence about a launcher that is not gantrain's.

    Args:
        what: how it was chosen.
    """
    return (
        f"{what} is a launcher whose runs neither end with Ctrl-C nor are found again: write "
        "launcher=local, launcher=slurm or launcher=slurm_detached."
    )


def refuse_two_presets(overrides: Iterable[str]) -> None:
    """Check that what describes a sweep itself is chosen once: it cannot differ between runs.

    Of launchers that are typed one after the other, the last one counts, as with other keys.

    Raises:
        ConfigError: there are several presets or launchers.
    """
    pairs = [text.lstrip("+").partition("=") for text in overrides]
    for group, what in (("sweep", "preset"), ("launcher", "launcher")):
        chosen = dict.fromkeys(value for key, _, value in pairs if key.partition("@")[0] == group)
        if (group == "sweep" and len(chosen) > 1) or any("," in value for value in chosen):
            raise ConfigError(
                f"{group}={','.join(chosen)}: {group}= takes one {what}; run them one after the "
                "other."
            )
