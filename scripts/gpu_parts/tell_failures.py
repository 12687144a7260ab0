"""A plugin of pytest that prints a failure when it happens: the time may be up before the end."""

import pytest

LENGTH = 2000  # characters: the end of a traceback, and the error


@pytest.hookimpl(trylast=True)  # after the line that says FAILED
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Print why a test failed."""
    if report.failed:
        print(f"\n{report.longreprtext[-LENGTH:]}", flush=True)
