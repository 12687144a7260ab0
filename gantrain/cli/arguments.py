"""Split the command line into a command, Hydra flags and overrides."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from gantrain.config import paths
from gantrain.config.foreign import RECIPES
from gantrain.config.overrides import is_path, quote
from gantrain.errors import ConfigError, nearest, shell_quote

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
# The key that takes an argument without "=", by command; those in LISTS take several
POSITIONAL = {
    **dict.fromkeys(
        (
            "generate",
            "project",
            "directions",
            "translate",
            "evaluate",
            "doctor",
            "report",
            "export",
            "studio",
        ),
        "run",
    ),
    **{"compare": "runs", "prepare": "data.root", "import": "source", "fetch": "weights"},
}
LISTS = ("runs", "source", "weights")
SEVERAL_RUNS = ("studio",)  # commands whose run may be a list, too
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
        dashed: (as typed, as an override) for settings written like flags, such as --seed 3.
        problems: sentences about all other arguments.
        named: whether the command was named.
        demo: whether nothing says what to train, so that the demo was added.
    """

    command: str = "train"
    flags: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    positional: list[str] = field(default_factory=list)
    dashed: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    named: bool = False
    demo: bool = False

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

    What is wrong with single arguments is collected in `problems`, so that all is told at once.
    """
    result = Arguments()
    words = list(argv)
    if words and words[0] in paths.commands():
        result.command, result.named = words.pop(0), True
    while words:
        word = words.pop(0)
        name = word.partition("=")[0]
        if name in ("--cfg", "-c"):
            _cfg_flag(word, words, result)
        elif word in SWITCHES or (name in VALUE_FLAGS and name != word):
            result.flags.append(word)
        elif word in VALUE_FLAGS:
            try:
                result.flags += [word, *_flag_value(word, words)]
            except ConfigError as error:
                result.problems += error.problems
        elif word.startswith("-"):
            _unknown_flag(word, words, result)
        elif word.startswith(("=", "+=")):
            result.problems.append(f"{word} has no key before the =. Write key{word.lstrip('+')}.")
        elif "=" in word or word.startswith("~"):
            result.overrides.append(word)
        else:
            _bare_word(word, words, result, first=len(words) + 1 == len(argv))
    result.problems += _expanded_ranges(result.overrides)
    if result.has("--resolve") and not result.has("--cfg", "-c"):
        result.problems.append("--resolve has no effect without --cfg job.")
    if result.command == "train" and not result.sweep:
        _imply_multirun(result)
    return result


def _expanded_ranges(overrides: list[str]) -> list[str]:
    """Return a sentence for each key that a shell has repeated: of a range of archives."""
    tars = [text.partition("=")[::2] for text in overrides if text.lower().endswith(".tar")]
    values: dict[str, list[str]] = {}
    for key, value in tars:
        values.setdefault(key, []).append(value)
    return [
        f"{key} is given {len(found)} times, {found[0]} to {found[-1]}: the shell has expanded a "
        f"range. Quote it, such as '{key}=train-{{000..099}}.tar'."
        for key, found in values.items()
        if len(set(found)) > 1
    ]


def positional_overrides(arguments: Arguments) -> list[str]:
    """Return the override that the arguments without "=" stand for, if there are any.

    Raises:
        ConfigError: there are too many, or the key is given as well.
    """
    words, command = arguments.positional, arguments.command
    if not words:
        return []
    key = POSITIONAL[command]
    if typed := [text for text in arguments.overrides if text.partition("=")[0] == key]:
        raise ConfigError(f"{words[0]} and {typed[0]} both say {key}: remove one of them.")
    if key in LISTS or command in SEVERAL_RUNS:
        return [f"{key}=[{','.join(map(quote, words))}]"]
    if len(words) > 1:
        together = " ".join(words)
        hint = f"quote it: '{together}'" if is_path(together) else "the others need a key"
        raise ConfigError(
            f"gantrain {command} takes one argument without a key, {key}. Of {together}, {hint}."
        )
    chosen = any(text.startswith("data=") for text in arguments.overrides)
    published = (
        command == "prepare" and (paths.config_dir() / "data" / f"{words[0]}.yaml").is_file()
    )
    if published and not chosen and not is_path(words[0]):
        return [f"data={words[0]}"]
    return [f"{key}={quote(words[0])}"]


def _imply_multirun(arguments: Arguments) -> None:
    """Add -m for launcher=... and sweep=..., unless the config is only displayed."""
    last = {text.partition("=")[0]: text.partition("=")[2] for text in arguments.overrides}
    chosen = [last.get(name) for name in SWEEP_GROUPS]
    single = arguments.display_flag or arguments.has("--run", "-r")
    if not single and any(choice not in (None, "null") for choice in chosen):
        arguments.flags.append("-m")


def _cfg_flag(word: str, words: list[str], result: Arguments) -> None:
    """Note what is to be printed, or the flag of StyleGAN's programs that chooses a recipe."""
    flag, equals, value = word.partition("=")
    if not equals and words and not _is_setting(words[0]):
        value = words.pop(0)
        word = f"{flag} {value}"
    if value in CFG_CHOICES:
        result.flags += [word] if equals else [flag, value]
    elif value in RECIPES:
        result.dashed.append((word, f"cfg={value}"))
    elif value:
        result.problems.append(f"{word} is not a choice. Choices: {', '.join(CFG_CHOICES)}.")
    else:
        result.problems.append(f"{flag} needs a value: {', '.join(CFG_CHOICES)}.")


def _flag_value(flag: str, words: list[str]) -> list[str]:
    if flag in ("--info", "-i") and (not words or words[0] not in INFO_CHOICES):
        return ["all"]
    if not words:
        raise ConfigError(f"{flag} needs a value; see gantrain --help.")
    return [words.pop(0)]


def _unknown_flag(word: str, rest: list[str], result: Arguments) -> None:
    """Note a flag that there is not, with its value if one follows, as a setting or a problem."""
    name, equals, value = word.lstrip("-").partition("=")
    long_flags = [flag for flag in SWITCHES + VALUE_FLAGS if flag.startswith("--")]
    close = nearest(word, long_flags, cutoff=0.8)
    if close:
        result.problems.append(f"{word} is not a flag. Did you mean {close}?")
        return
    if not name.strip("-"):
        result.problems.append(f"{word} is neither a flag nor a setting.")
        return
    if not equals:
        values: list[str] = []
        while rest and not _is_setting(rest[0]):
            values.append(rest.pop(0))
        value, word = ",".join(values), " ".join([word, *values])
        value = value if values else "true"
    result.dashed.append((word, f"{name.replace('-', '_')}={value}"))


def _is_setting(word: str) -> bool:
    return "=" in word or (word.startswith("-") and not word[1:2].isdigit())


def _bare_word(word: str, rest: list[str], result: Arguments, first: bool) -> None:
    """Note an argument without "=" as the command's own, or as a problem."""
    names = paths.commands()
    if result.command in POSITIONAL and (is_path(word) or not _is_key(result.command, word)):
        result.positional.append(word)
        return
    close = nearest(word, names)
    if not result.named and first and is_path(word):
        result.problems.append(_a_path(word))
    elif not result.named and first and (close or not rest) and "." not in word:
        hint = f"Did you mean {close}? " if close else ""
        result.problems.append(f"{word} is not a command. {hint}Commands: {', '.join(names)}.")
    else:
        value = rest.pop(0) if rest and not _is_setting(rest[0]) else "..."
        result.problems.append(
            f"{word} has no value. Write {word}={value}, without spaces around the =."
        )


def _a_path(word: str) -> str:
    """Say what can be done with a folder or file that was typed without a command."""
    shown = shell_quote(word)
    if (Path(word) / "config.yaml").is_file():
        return f"{word} is a run: write resume={shown} to go on, or gantrain generate {shown}."
    return (
        f"{word} is not a command. To train on its images: gantrain data=folder data.root={shown}"
    )


def _is_key(command: str, word: str) -> bool:
    """Return whether a word is a key of the command, without its value."""
    file = paths.config_dir() / f"{command}.yaml"
    return bool(re.search(rf"^{re.escape(word)}:", file.read_text("utf-8"), re.MULTILINE))
