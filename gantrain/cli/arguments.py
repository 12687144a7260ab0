"""The command line, sorted into command, Hydra's flags and overrides."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from gantrain.config import paths
from gantrain.errors import ConfigError, nearest

# Hydra's flags: those that stand alone, and those followed by a value
# fmt: off
ALONE = [
    "--help", "-h", "--version", "--hydra-help", "--resolve", "--run", "-r", "--multirun", "-m",
    "--shell-completion", "-sc",
]
VALUED = [
    "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn",
    "--config-dir", "-cd", "--experimental-rerun", "--info", "-i",
]
# fmt: on
SHOWING = {"--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc"}
FOR_SWEEPS = ("launcher=", "sweep=")  # groups that only a sweep has a use for
TAKES_WORDS = ("compare",)
CFG = ("job", "hydra", "all")
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


@dataclass
class Arguments:
    """The command line, sorted."""

    command: str = "train"
    flags: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)  # without =, of commands that take such

    def has(self, *names: str) -> bool:
        return any(flag in names for flag in self.flags)

    def value(self, *names: str) -> str | None:
        """What follows (or, after "=", belongs to) one of the flags `names`."""
        for flag, after in pairwise([*self.flags, ""]):
            if flag in names:
                return after
            if flag.startswith("--") and flag.partition("=")[0] in names and "=" in flag:
                return flag.partition("=")[2]
        return None

    @property
    def sweep(self) -> bool:
        """Whether several runs are asked for: by -m."""
        return self.has("-m", "--multirun")

    @property
    def showing(self) -> str | None:
        """The flag that asks to be shown something instead of a run."""
        names = (flag.partition("=")[0] for flag in self.flags)
        return next((name for name in names if name in SHOWING), None)

    @property
    def config_dir(self) -> str | None:
        return self.value("--config-dir", "-cd")


def parse(argv: list[str]) -> Arguments:
    """Sort the command line into command, Hydra's flags and overrides. Raises ConfigError."""
    result = Arguments()
    words = list(argv)
    if words and words[0] in paths.commands():
        result.command = words.pop(0)
    while words:
        word = words.pop(0)
        name = word.partition("=")[0]
        if word in ALONE or (name in VALUED and name != word):
            result.flags.append(word)
        elif word in VALUED:
            result.flags += [word, *_flag_value(word, words)]
        elif word.startswith("-"):
            raise ConfigError(_unknown_flag(word, words))
        elif word.startswith(("=", "+=")):
            raise ConfigError(f"{word} has no key before the =: write key{word.lstrip('+')}.")
        elif "=" in word or word.startswith("~"):
            result.overrides.append(word)
        elif result.command in TAKES_WORDS:
            result.words.append(word)
        else:
            raise ConfigError(_no_equals(word, words, first=len(words) + 1 == len(argv)))
    if result.command == "train" and not result.sweep:
        _sweep_without_m(result)
    return result


def _sweep_without_m(arguments: Arguments) -> None:
    """launcher=local and sweep=optuna mean -m, unless something is only to be shown."""
    last = {text.partition("=")[0]: text.partition("=")[2] for text in arguments.overrides}
    chosen = [last.get(name.rstrip("=")) for name in FOR_SWEEPS]
    single = arguments.showing or arguments.has("--run", "-r")
    if not single and any(choice not in (None, "null") for choice in chosen):
        arguments.flags.append("-m")


def _flag_value(flag: str, words: list[str]) -> list[str]:
    if flag in ("--info", "-i") and (not words or words[0] not in INFO):
        return ["all"]
    if flag in ("--cfg", "-c") and words and words[0] not in CFG:
        raise ConfigError(f"{flag} {words[0]} is not a choice. Choices: {', '.join(CFG)}.")
    if not words:
        raise ConfigError(f"{flag} needs a value after it; see gantrain --help.")
    return [words.pop(0)]


def _unknown_flag(word: str, rest: list[str]) -> str:
    name, _, value = word.lstrip("-").partition("=")
    close = nearest(word, [flag for flag in ALONE + VALUED if flag.startswith("--")], cutoff=0.8)
    if close:
        return f"{word} is not a flag. Did you mean {close}?"
    value = value or (
        rest[0] if rest and not rest[0].startswith("-") and "=" not in rest[0] else "..."
    )
    return f"{word} is not a flag: settings are written without dashes, as {name}={value}."


def _no_equals(word: str, rest: list[str], first: bool) -> str:
    names = paths.commands()
    close = nearest(word, names)
    if first and (close or not rest) and "." not in word:
        hint = f"Did you mean {close}? " if close else ""
        return f"{word} is not a command. {hint}Commands: {', '.join(names)}."
    value = rest[0] if rest and "=" not in rest[0] and not rest[0].startswith("-") else "..."
    return f"{word} has no value: write {word}={value}, without spaces around the =."
