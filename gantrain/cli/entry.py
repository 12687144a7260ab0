"""`gantrain [command] [key=value ...]`: argument handling around Hydra, and the only error handler.

Imports neither torch nor, before it has to, Hydra: help and errors answer at once.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from gantrain import __version__, config
from gantrain.cli.arguments import Arguments, parse
from gantrain.cli.saved_overrides import continued
from gantrain.config import paths
from gantrain.config.overrides import hydra_quote
from gantrain.engine import signals, startup
from gantrain.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from gantrain.sweeps.plan import Sweep

WHAT_TO_TRAIN = {"model", "data", "experiment", "resume"}
NO_MODEL = {"sweep=optuna", "sweep=null"}


def main() -> int:
    """Entry point: 0 done, 2 configuration error; a command may leave with its own code."""
    startup.skip_final_gc()
    try:
        return run()
    except ConfigError as error:
        _report(error.problems)
        return 2


def run() -> int:
    """The command line in sys.argv; returns the exit code. Raises ConfigError."""
    arguments = parse(sys.argv[1:])
    if arguments.has("--help", "-h"):
        from gantrain.cli import help as help_text

        print(help_text.text(arguments.config_dir))
    elif arguments.has("--version"):
        print(f"gantrain {__version__}")
    else:
        return _run(arguments)
    return 0


class CommandTask:
    """What Hydra calls with each composed config: validate, then import the command and run it.

    Launchers send it to other processes, pickled. `sweep`: the one that its runs belong to.
    """

    command_line = staticmethod(run)  # what a launcher lets another process do

    def __init__(self, command: str, sweep: Sweep | None = None) -> None:
        self.command = command
        self.sweep = sweep
        self.started = False  # the config was accepted: what fails from now on is not its fault
        self.error: ConfigError | None = None

    def __call__(self, cfg: DictConfig) -> float | None:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        if self.sweep:
            from gantrain.sweeps import job as task

            return task.run(self.sweep, self._start, cfg)
        try:
            return self._main(cfg)
        except ConfigError as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # the launcher must see that this job failed
            self.error = error  # raised later: Hydra would print a line of its own about it
            return None

    def _main(self, cfg: DictConfig) -> float | None:
        return self._start(config.load(self.command, cfg))

    def _start(self, settings: Any) -> float | None:
        """Run the command with its checked settings."""
        more = []
        if self.command == "train":
            from gantrain.runs import preflight

            more = [preflight.check(settings)]
        self.started = True
        command = startup.import_without_gc(f"gantrain.commands.{self.command}")
        try:
            return command.main(settings, *more)
        except (RuntimeError, MemoryError) as error:  # train has its own words for it
            from gantrain.engine import memory

            if not memory.is_exhausted(error):
                raise
            ways = [f"a smaller {key}=" for key in ("batch", "tile") if hasattr(settings, key)]
            raise ConfigError(
                f"The memory does not suffice. {memory.shortage(error)} Try "
                f"{' or '.join([*ways, 'device=cpu'])}."
            ) from error


def _run(arguments: Arguments) -> int:
    if arguments.has("-sc", "--shell-completion"):
        _prepare_completion(arguments)
    else:
        if arguments.command == "train":
            signals.defer_signals()
            signals.stop_with_parent()
            if not arguments.sweep:
                arguments.overrides = continued(arguments.overrides)
        _default_to_quickstart(arguments)
        _switch_off(arguments.overrides)
    if arguments.words:
        arguments.overrides.append(f"runs=[{','.join(map(hydra_quote, arguments.words))}]")
    if arguments.sweep and arguments.showing:
        raise ConfigError(f"{arguments.showing} shows what one run is made of: leave -m out.")
    job = CommandTask(arguments.command)
    try:
        if arguments.sweep and arguments.command == "train":
            return _sweep(arguments, job)
        if arguments.sweep:
            from gantrain.config import compose

            compose.check_sweep(arguments.command, arguments.overrides, arguments.config_dir)
        if arguments.sweep or arguments.flags:
            _hydra(arguments, job)
        else:
            _run_once(arguments, job)
    except ConfigError:
        raise
    except Exception as error:
        if job.started:
            raise
        _explain(error, arguments)
    if job.error:
        raise job.error
    return 0


def _sweep(arguments: Arguments, job: CommandTask) -> int:
    from gantrain.sweeps import run as running

    def start(sweep: Sweep, overrides: list[str]) -> None:
        job.sweep, job.started = sweep, True  # everything has been checked
        arguments.overrides = overrides
        _hydra(arguments, job)

    return running.run(arguments.overrides, arguments.flags, arguments.config_dir, start)


def _run_once(arguments: Arguments, job: CommandTask) -> None:
    """One run. `hydra.main` would compose its config twice, first for `hydra.mode` alone."""
    from hydra._internal.callbacks import Callbacks
    from hydra.core.utils import run_job, setup_globals
    from hydra.types import HydraContext, RunMode
    from omegaconf import read_write

    from gantrain.config import compose

    setup_globals()
    source = compose.config_loader(arguments.config_dir)
    cfg = source.load_configuration(arguments.command, arguments.overrides, run_mode=RunMode.RUN)
    if cfg.hydra.mode == RunMode.MULTIRUN:
        return _hydra(arguments, job)
    with read_write(cfg.hydra):
        cfg.hydra.mode = RunMode.RUN
    context = HydraContext(config_loader=source, callbacks=Callbacks(cfg))
    done = run_job(
        task_function=job,
        config=cfg,
        job_dir_key="hydra.run.dir",
        job_subdir_key=None,
        hydra_context=context,
    )
    _ = done.return_value  # raises what the run has raised


def _hydra(arguments: Arguments, job: CommandTask) -> None:
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing and leaving
    sys.argv = [sys.argv[0], *arguments.flags, *arguments.overrides]
    import hydra

    decorate = hydra.main(
        version_base="1.3", config_path=str(paths.config_dir()), config_name=arguments.command
    )
    decorate(job)()


def _explain(error: Exception, arguments: Arguments) -> NoReturn:
    from gantrain.config import hydra_errors

    problems = hydra_errors.to_sentences(
        error, arguments.command, arguments.overrides, arguments.config_dir, arguments.sweep
    )
    if not problems:
        raise error
    raise ConfigError(*problems) from error


def _default_to_quickstart(arguments: Arguments) -> None:
    keys = {text.lstrip("+~").partition("=")[0].partition("@")[0] for text in arguments.overrides}
    if "resume=auto" in arguments.overrides:
        keys.discard("resume")  # begins the run where there is none, as the same command without it
    if "sweep" in keys and not NO_MODEL & set(arguments.overrides):
        return  # such as sweep=stylegan_gamma: it says of which model
    if arguments.command != "train" or keys & WHAT_TO_TRAIN:
        return
    arguments.overrides.insert(0, "experiment=quickstart")
    if os.environ.get("RANK", "0") == "0":
        print(
            "No model, data, experiment or resume given: running experiment=quickstart, a demo.",
            file=sys.stderr,
        )


def _switch_off(overrides: list[str]) -> None:
    """experiment=null and the like: Hydra knows no null choice, so take out what they cancel."""
    for group in ("experiment", "debug", "launcher", "sweep"):
        if f"{group}=null" in overrides:
            last = len(overrides) - overrides[::-1].index(f"{group}=null")
            kept = [text for text in overrides[:last] if not text.startswith(f"{group}=")]
            overrides[:last] = kept


def _prepare_completion(arguments: Arguments) -> None:
    """Hydra completes overrides only: take the command's name out of the line it looks at."""
    program, _, rest = os.environ.get("COMP_LINE", "").partition(" ")
    command, space, overrides = rest.lstrip().partition(" ")
    if space and command in paths.commands():
        arguments.command = command
        os.environ["COMP_LINE"] = f"{program} {overrides}"


def _report(problems: tuple[str, ...]) -> None:
    if len(problems) == 1:
        print(f"Error: {problems[0]}", file=sys.stderr)
        return
    print(f"Error: {len(problems)} problems", file=sys.stderr)
    for problem in problems:
        print(f"  - {problem}", file=sys.stderr)
