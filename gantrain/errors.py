"""The one exception that is meant for the person at the terminal."""


class ConfigError(Exception):
    """Something the user can mend: shown without a traceback, exit code 2.

    Each problem is one sentence: what, the value, what is allowed, how to fix it. Several problems
    found at the same time travel in one error, so that they can be mended in one go.
    """

    def __init__(self, problem: str, *more: str) -> None:
        self.problems: tuple[str, ...] = (problem, *more)
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)
