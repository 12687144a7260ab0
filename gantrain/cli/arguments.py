"""Split the command line into a command, Hydra flags and overrides."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from gantrain.config import paths
from gantrain.errors import ConfigError, nearest

# Hydra's flags: switches, and flags that take a value
# fmt: off
SWITCHES = [
    "--help", "-h", "--version", "--hydra-help", "--resolve", "--run", "-r", "--multirun", "-m",
    "--shell-completion", "-sc",
]
VALUE_FLAGS = [
    "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn",
    "--config-dir", "-cd", "--info", "-i",  # not --experimental-rerun, which runs a pickle
]
# fmt: on
DISPLAY_FLAGS = {"--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc"}
SWEEP_GROUPS = ("launcher", "sweep")  # config groups that only make sense for a sweep
POSITIONAL_COMMANDS = ("compare",)  # commands that take arguments without "="
CFG_CHOICES = ("job", "hydra", "all")
INFO_CHOICES = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


@dataclass
class Arguments:
    """A parsed command line.

    Attributes:
        command: the name of the command.
        flags: Hydra's flags, each followed by its value if it takes one.
        overrides: `key=value` arguments in the order they were typed.
        positional: arguments without "=", for commands that accept them.
    """

    command: str = "train"
    flags: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    positional: list[str] = field(default_factory=list)

    def has(self, *names: str) -> bool:
        """Return whether any of the flags `names` was given."""
        return any(flag in names for flag in self.flags)

    def value(self, *names: str) -> str | None:
        """Return the value of one of the flags `names`, as `--flag value` or `--flag=value`."""
        for flag, following in pairwise([*self.flags, ""]):
            if flag in names:
                return following
            if flag.startswith("--") and flag.partition("=")[0] in names and "=" in flag:
                return flag.partition("=")[2]
        return None

    @property
    def sweep(self) -> bool:
        """Whether -m asks for several runs."""
        return self.has("-m", "--multirun")

    @property
    def display_flag(self) -> str | None:
        """The flag that prints something instead of running the command, or None."""
        names = (flag.partition("=")[0] for flag in self.flags)
        return next((name for name in names if name in DISPLAY_FLAGS), None)

    @property
    def config_dir(self) -> str | None:
        """The user's own folder of YAML files, or None."""
        return self.value("--config-dir", "-cd")


def parse(argv: list[str]) -> Arguments:
    """Split the command line `argv` (without the program name) into its parts.

    Raises:
        ConfigError: an argument is neither a command, a flag nor an override.
    """
    result = Arguments()
    words = list(argv)
    if words and words[0] in paths.commands():
        result.command = words.pop(0)
    while words:
        word = words.pop(0)
        name = word.partition("=")[0]
        if word in SWITCHES or (name in VALUE_FLAGS and name != word):
            result.flags.append(word)
        elif word in VALUE_FLAGS:
            result.flags += [word, *_flag_value(word, words)]
        elif word.startswith("-"):
            raise ConfigError(_unknown_flag(word, words))
        elif word.startswith(("=", "+=")):
            raise ConfigError(f"{word} has no key before the =. Write key{word.lstrip('+')}.")
        elif "=" in word or word.startswith("~"):
            result.overrides.append(word)
        elif result.command in POSITIONAL_COMMANDS:
            result.positional.append(word)
        else:
            raise ConfigError(_no_equals(word, words, first=len(words) + 1 == len(argv)))
    if result.command == "train" and not result.sweep:
        _imply_multirun(result)
    return result


def _imply_multirun(arguments: Arguments) -> None:
    """Add -m for launcher=... and sweep=..., unless the config is only displayed."""
    last = {text.partition("=")[0]: text.partition("=")[2] for text in arguments.overrides}
    chosen = [last.get(name) for name in SWEEP_GROUPS]
    single = arguments.display_flag or arguments.has("--run", "-r")
    if not single and any(choice not in (None, "null") for choice in chosen):
        arguments.flags.append("-m")


def _flag_value(flag: str, words: list[str]) -> list[str]:
    if flag in ("--info", "-i") and (not words or words[0] not in INFO_CHOICES):
        return ["all"]
    if flag in ("--cfg", "-c") and words and words[0] not in CFG_CHOICES:
        raise ConfigError(f"{flag} {words[0]} is not a choice. Choices: {', '.join(CFG_CHOICES)}.")
    if not words:
        raise ConfigError(f"{flag} needs a value; see gantrain --help.")
    return [words.pop(0)]


def _unknown_flag(word: str, rest: list[str]) -> str:
    name, _, value = word.lstrip("-").partition("=")
    long_flags = [flag for flag in SWITCHES + VALUE_FLAGS if flag.startswith("--")]
    close = nearest(word, long_flags, cutoff=0.8)
    if close:
        return f"{word} is not a flag. Did you mean {close}?"
    value = value or (
        rest[0] if rest and not rest[0].startswith("-") and "=" not in rest[0] else "..."
    )
    return f"{word} is not a flag. Settings are written without dashes: {name}={value}."


def _no_equals(word: str, rest: list[str], first: bool) -> str:
    names = paths.commands()
    close = nearest(word, names)
    if first and (close or not rest) and "." not in word:
        hint = f"Did you mean {close}? " if close else ""
        return f"{word} is not a command. {hint}Commands: {', '.join(names)}."
    value = rest[0] if rest and "=" not in rest[0] and not rest[0].startswith("-") else "..."
    return f"{word} has no value. Write {word}={value}, without spaces around the =."
