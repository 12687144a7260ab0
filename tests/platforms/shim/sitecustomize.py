"""Python reads this file at every start: it makes the process look as on another system."""

import os

if _kind := os.environ.get("GANTRAIN_TEST_PLATFORM"):
    import emulated

    emulated.install(_kind, os.environ["GANTRAIN_TEST_DRIVE"])
