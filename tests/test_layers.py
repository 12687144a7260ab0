"""The rules of the house (docs/architecture.md), read off the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gantrain

PACKAGE = Path(gantrain.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
LAYERS = {
    0: "errors types targets losses networks ops io",
    1: "gans augment data health metrics tracking snapshot",
    2: "engine inference interop",
    3: "config build runs",
    4: "pages sweeps commands cli __main__",
}
LAYER = {name: number for number, names in LAYERS.items() for name in names.split()}
# Siblings that may see each other, and what of the other.
MAY_CROSS = {
    ("gans", "gantrain.augment.ada"),
    ("gans", "gantrain.augment.pipe"),
    ("inference", "gantrain.engine.precision"),
}
# These answer without torch.
LIGHT = [f"config.{file.stem}" for file in sorted((PACKAGE / "config").glob("*.py"))]
LIGHT += ["__main__", "errors", "targets", "types"]
LIGHT += ["engine.startup", "engine.distributed.environment", "runs.preflight", "runs.resume"]
LIGHT += ["cli.entry", "cli.arguments", "cli.help", "cli.saved_overrides"]


def part(path: Path) -> str:
    """Folder or module directly below gantrain/."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "gantrain":
            yield from (f"gantrain.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def calls(path: Path, name: str) -> list[ast.Call]:
    """Calls of `name(...)` or `anything.name(...)`."""
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and name in (getattr(node.func, "id", None), getattr(node.func, "attr", None))
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    here = part(path)
    if here == "__init__":
        return
    for name in imports(path):
        package, _, rest = name.partition(".")
        there = rest.partition(".")[0]
        if package != "gantrain" or there in ("", "__version__", here):
            continue
        siblings = LAYER[there] == LAYER[here] and LAYER[here] in (1, 2)
        assert LAYER[there] <= LAYER[here], f"{here} imports {name} from above"
        assert not siblings or (here, name) in MAY_CROSS, f"{here} imports its sibling {name}"
        # A concrete GAN is reached through the config's _target_ only: no registry.
        assert there != "gans" or name == "gantrain.gans.base", f"{here} names a GAN: {name}"


def top_imports(path: Path) -> set[str]:
    """What importing `path` imports, without what stands in functions or under TYPE_CHECKING."""
    body = ast.parse(path.read_text()).body
    modules = {a.name for node in body if isinstance(node, ast.Import) for a in node.names}
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
    return modules


@pytest.mark.parametrize("name", LIGHT)
def test_what_answers_at_once_does_not_import_torch(name: str) -> None:
    seen: set[str] = set()
    waiting = [f"gantrain.{name}"]
    while waiting:
        module = waiting.pop()
        file = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
        if module in seen or not file.is_file():
            continue
        seen.add(module)
        found = top_imports(file)
        heavy = {other for other in found if other.split(".")[0] in ("torch", "numpy", "PIL")}
        assert not heavy, f"gantrain.{name} reaches {module}, which imports {heavy}"
        waiting += [other for other in found if other.startswith("gantrain.")]
    assert seen


WHERE = {  # call: the only places it may stand in
    "backward": ("engine/",),
    "zero_grad": ("engine/",),
    "step": ("engine/",),
    # inference asks the engine's Precision; networks, penalties and measurements leave autocast for
    # what stays in float32 (layers.in_float32, losses.gradient_penalty, precision.full_float32)
    "autocast": ("engine/", "inference/", "networks/layers.py", "ops/precision.py", "losses.py"),
    "print": ("tracking/", "commands/", "sweeps/", "cli/", "runs/", "engine/distributed/launch.py"),
}


@pytest.mark.parametrize("name", WHERE)
def test_who_may_do_what(name: str) -> None:
    for path in FILES:
        place = str(path.relative_to(PACKAGE))
        if not place.startswith(WHERE[name]):
            assert not calls(path, name), f"{place} calls {name}"


def test_loading_is_safe() -> None:
    loaders = {"snapshot.py", "engine/checkpoint.py", "interop/cyclegan.py", "metrics/extractor.py"}
    found = set()
    for path in FILES:
        for call in calls(path, "load"):
            if (
                isinstance(call.func, ast.Attribute)
                and getattr(call.func.value, "id", "") == "torch"
            ):
                found.add(str(path.relative_to(PACKAGE)))
                safe = [k for k in call.keywords if k.arg == "weights_only"]
                assert safe and getattr(safe[0].value, "value", None) is True, path
    assert found == loaders


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_fit_a_screen(path: Path) -> None:
    text = path.read_text()
    limit = 150 if path.parent.name == "gans" else 400
    assert text.count("\n") <= limit
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{node.name} is too long"
