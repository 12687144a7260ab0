"""The one exception a user is meant to read."""


class ConfigError(Exception):
    """One or more problems with what the user asked for, each a sentence that says how to fix it.

    `cli.py` prints them to stderr without a traceback and exits with code 2.
    """

    def __init__(self, problem: str, *more: str) -> None:
        super().__init__(problem, *more)
        self.problems: tuple[str, ...] = (problem, *more)

    def __str__(self) -> str:
        return "\n".join(self.problems)
