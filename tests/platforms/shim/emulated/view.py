"""What gantrain's own modules find when they import modules of the standard library."""

import builtins
import importlib.machinery
import math
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from emulated import windows

COARSE = 1 / 64  # seconds between two values of Windows' clock


class Stand(ModuleType):
    """A module with other attributes than the real one."""

    def __init__(
        self, real: ModuleType, other: Mapping[str, Any], lacking: Sequence[str] = ()
    ) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(other)
        self.__dict__["_real"], self.__dict__["_lacking"] = real, frozenset(lacking)

    def __getattr__(self, name: str) -> Any:
        if name in self._lacking:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} here")
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)


class View:
    """The modules that those of `packages` (gantrain) get, if their name is one of `modules`."""

    def __init__(self, kind: str) -> None:
        self.packages = os.environ.get("GANTRAIN_TEST_VIEW", "gantrain").split(",")
        self.modules = _windows() if kind == "windows" else _macos()

    def install(self) -> None:
        sys.meta_path.insert(0, self)  # type: ignore[arg-type]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] not in self.packages:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
            spec.loader.view = self
        return spec

    def importing(
        self,
        name: str,
        globals: Any = None,
        locals: Any = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        if level or name not in self.modules:
            return builtins.__import__(name, globals, locals, fromlist, level)
        if fromlist and isinstance(self.modules[name], Stand):
            builtins.__import__(name, globals, locals, fromlist, level)  # ctypes.wintypes
        return self.modules[name]


class _Loader(importlib.machinery.SourceFileLoader):
    view: View

    def exec_module(self, module: ModuleType) -> None:
        # A module's functions look names up here, `import` among them.
        own = {**builtins.__dict__, "__import__": self.view.importing}
        module.__dict__["__builtins__"] = own
        super().exec_module(module)


def _windows() -> dict[str, ModuleType]:
    signals = [n for n in dir(signal) if n.startswith("SIG") and n not in windows.SIGNALS]
    calls = ("pthread_sigmask", "pthread_kill", "sigwait", "alarm", "setitimer", "siginterrupt")
    lacking_of_os = [n for n in dir(os) if n.startswith("O_") and n not in windows.OPEN_FLAGS]
    # numpy, torch and platformdirs call these where `sys.platform` is linux.
    lacking_of_os += ["uname", "sysconf", "register_at_fork", "getuid", "geteuid"]
    own_os = {"name": "nt", "kill": windows.kill, "getppid": windows.getppid(), "O_BINARY": 0}
    return {
        "sys": Stand(sys, {"platform": "win32"}),
        "os": Stand(os, own_os, lacking_of_os),
        "platform": Stand(platform, _named("Windows", "Windows-11-10.0.26100-SP0")),
        "signal": Stand(signal, windows.own_signals(), [*signals, *calls]),
        "subprocess": Stand(subprocess, windows.own_subprocess()),
        "ctypes": Stand(__import__("ctypes"), {"WinDLL": windows.Library}),
        "msvcrt": windows.console_runtime(),
        "time": Stand(time, {"time": _coarse(time.time), "monotonic": _coarse(time.monotonic)}),
    }


def _macos() -> dict[str, ModuleType]:
    def getrusage(who: int) -> Any:
        used = resource.getrusage(who)
        values = list(used)
        values[2] *= 1024  # ru_maxrss: bytes there
        return resource.struct_rusage(values)

    return {
        "sys": Stand(sys, {"platform": "darwin"}),
        "platform": Stand(platform, _named("Darwin", "macOS-15.5-arm64-arm-64bit")),
        "resource": Stand(resource, {"getrusage": getrusage}),
        "subprocess": Stand(subprocess, {"run": _with_vm_stat}),
    }


def _named(system: str, whole: str) -> dict[str, Any]:
    return {"system": lambda: system, "platform": lambda *_: whole}


def _coarse(clock: Any) -> Any:
    return lambda: math.floor(clock() / COARSE) * COARSE


def _with_vm_stat(command: Sequence[str], **options: Any) -> Any:
    if list(command) != ["vm_stat"]:
        return subprocess.run(command, **options)
    text = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
        "Pages free:                               100000.\n"
        "Pages active:                             390522.\n"
        "Pages inactive:                           200000.\n"
        "Pages speculative:                          1107.\n"
    )
    return subprocess.CompletedProcess(command, 0, stdout=text.encode())
