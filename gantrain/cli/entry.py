"""`gantrain [command] [key=value ...]`: argument handling around Hydra, and the only error handler.

torch is never imported here, and Hydra only when needed, so help and errors appear immediately.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from gantrain import __version__, config
from gantrain.cli import preparation, session
from gantrain.cli.arguments import Arguments, parse
from gantrain.config import paths
from gantrain.engine import signals, startup
from gantrain.errors import ConfigError, RunError
from gantrain.tracking.waiting import waiting

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from gantrain.sweeps.plan import Sweep


def main() -> int:
    """Run the command line and return its exit code.

    0: done; 1: a problem that came up after the start; 2: a problem before it; 130: Ctrl-C.

    A command may exit with a code of its own (SystemExit).
    """
    startup.skip_final_gc()
    return session.run(run, _explain)


def _explain(error: ConfigError) -> int:
    """Print what is wrong and return the exit code."""
    _print_problems(error.problems)
    return 1 if isinstance(error, RunError) else 2


def run() -> int:
    """Run the command line in sys.argv and return the exit code.

    Raises:
        ConfigError: the command line, the config or the data is wrong.
    """
    arguments = parse(sys.argv[1:])
    if arguments.has("--help", "-h"):
        from gantrain.cli import help as help_text

        if arguments.named or arguments.overrides:
            pairs = (text.partition("=") for text in arguments.overrides)
            chosen = {key: value for key, _, value in pairs}
            print(help_text.command_text(arguments.command, chosen, arguments.config_dir))
        else:
            print(help_text.text(arguments.config_dir))
    elif arguments.has("--version"):
        print(f"gantrain {__version__}")
    else:
        return _run(arguments)
    return 0


class CommandTask:
    """The task function that Hydra calls with each composed config: check it, run the command.

    Launchers pickle it to run it in other processes.

    Args:
        command: the name of the command.
        sweep: the sweep that the runs belong to, or None for a single run.

    Attributes:
        demo: whether the command line chose nothing, so that the demo runs.
        started: whether the config was accepted; errors after that are not the config's fault.
        error: the ConfigError of a single run, re-raised once Hydra has returned.
    """

    command_line = staticmethod(run)  # entry point of the processes that a launcher starts

    def __init__(self, command: str, sweep: Sweep | None = None) -> None:
        self.command = command
        self.sweep = sweep
        self.demo = False
        self.started = False
        self.error: ConfigError | None = None

    def __call__(self, cfg: DictConfig) -> float | None:
        """Check a composed config and run the command; returns the objective of a training."""
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        if self.sweep:
            from gantrain.sweeps.job import run as run_job

            return run_job(self.sweep, self._start, cfg)
        try:
            return self._main(cfg)
        except ConfigError as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # the launcher must see that this job failed
            self.error = error  # re-raised later: Hydra would print a message of its own
            return None

    def _main(self, cfg: DictConfig) -> float | None:
        with startup.paused_gc():
            settings = config.load(self.command, cfg)
        return self._start(settings)

    def _start(self, settings: Any) -> float | None:
        """Run the command with its checked settings."""
        extra = []
        if self.command == "train":
            from gantrain.runs import preflight

            extra = [preflight.check(settings)]
        self.started = True
        if self.demo:
            print(preparation.DEMO, file=sys.stderr)
        with waiting("loading torch"):
            command = startup.import_without_gc(f"gantrain.commands.{self.command}")
        try:
            return command.main(settings, *extra)
        except (RuntimeError, MemoryError) as error:  # train handles this itself, in more detail
            from gantrain.engine import memory

            if not memory.is_exhausted(error):
                raise
            fixes = [f"a smaller {key}=" for key in ("batch", "tile") if hasattr(settings, key)]
            raise ConfigError(
                f"Out of memory. {memory.shortage(error)} Try "
                f"{' or '.join([*fixes, 'device=cpu'])}."
            ) from error


def _run(arguments: Arguments) -> int:
    preparation.read(arguments)
    if arguments.has("-sc", "--shell-completion"):
        from gantrain.cli import completion

        if completion.answer(arguments):
            return 0
    else:
        if arguments.command == "train":
            signals.defer_signals()
            signals.stop_with_parent()
        preparation.complete(arguments)
    preparation.close(arguments)
    if arguments.sweep and arguments.display_flag:
        raise ConfigError(
            f"{arguments.display_flag} shows the config of a single run and does not work with -m: "
            "remove -m."
        )
    task = CommandTask(arguments.command)
    if arguments.sweep or arguments.flags:
        if arguments.demo:
            print(preparation.DEMO, file=sys.stderr)
    else:
        task.demo = arguments.demo  # said once the config has been accepted
    try:
        if arguments.sweep and arguments.command == "train":
            return _sweep(arguments, task)
        if arguments.sweep:
            from gantrain.config import compose

            compose.check_sweep(arguments.command, arguments.overrides, arguments.config_dir)
        if arguments.sweep or arguments.flags:
            _hydra_main(arguments, task)
        else:
            _run_once(arguments, task)
    except ConfigError:
        raise
    except Exception as error:
        if task.started:
            raise
        preparation.raise_explained(error, arguments)
    if task.error:
        raise task.error
    return 0


def _sweep(arguments: Arguments, task: CommandTask) -> int:
    from gantrain.sweeps.run import run as run_sweep

    def start(sweep: Sweep, overrides: list[str]) -> None:
        task.sweep, task.started = sweep, True  # every run has been checked already
        arguments.overrides = overrides
        _hydra_main(arguments, task)

    return run_sweep(arguments.overrides, arguments.flags, arguments.config_dir, start)


def _run_once(arguments: Arguments, task: CommandTask) -> None:
    """Run a single job, composing its config once.

    `hydra.main` would compose it twice, the first time only to read `hydra.mode`.
    """
    with startup.paused_gc():
        from hydra._internal.callbacks import Callbacks
        from hydra.core.utils import run_job, setup_globals
        from hydra.types import HydraContext, RunMode
        from omegaconf import read_write

        from gantrain.config import compose

        setup_globals()
        source = compose.config_loader(arguments.config_dir)
        cfg = source.load_configuration(
            arguments.command, arguments.overrides, run_mode=RunMode.RUN
        )
    if cfg.hydra.mode == RunMode.MULTIRUN:
        return _hydra_main(arguments, task)
    with read_write(cfg.hydra):
        cfg.hydra.mode = RunMode.RUN
    context = HydraContext(config_loader=source, callbacks=Callbacks(cfg))
    result = run_job(
        task_function=task,
        config=cfg,
        job_dir_key="hydra.run.dir",
        job_subdir_key=None,
        hydra_context=context,
    )
    _ = result.return_value  # re-raises the exception of the run, if any


def _hydra_main(arguments: Arguments, task: CommandTask) -> None:
    os.environ["HYDRA_FULL_ERROR"] = "1"  # make Hydra raise instead of printing and exiting
    sys.argv = [sys.argv[0], *arguments.flags, *arguments.overrides]
    import hydra
    from hydra._internal import hydra as internal

    from gantrain.config import compose

    # Lists may replace mappings, as in a single run.
    setattr(internal, "ConfigLoaderImpl", compose.Loader)  # noqa: B010 (for pyright: not exported)
    decorate = hydra.main(
        version_base="1.3", config_path=str(paths.config_dir()), config_name=arguments.command
    )
    decorate(task)()


def _print_problems(problems: tuple[str, ...]) -> None:
    if len(problems) == 1:
        print(f"Error: {problems[0]}", file=sys.stderr)
        return
    print(f"Error: {len(problems)} problems", file=sys.stderr)
    for problem in problems:
        print(f"  - {problem}", file=sys.stderr)
