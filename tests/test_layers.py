"""The rules of the house (docs/architecture.md), read off the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gantrain

PACKAGE = Path(gantrain.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
LAYERS = {
    0: "errors types targets losses networks ops io",
    1: "gans augment data health metrics tracking snapshot",
    2: "engine inference interop",
    3: "config build runs",
    4: "pages studio sweeps commands cli __main__",
}
LAYER = {name: number for number, names in LAYERS.items() for name in names.split()}
ORDER = {name: place for names in LAYERS.values() for place, name in enumerate(names.split())}
ORDERED = (3, 4)  # layers whose parts may know those before them
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
LIGHT += ["cli.entry", "cli.arguments", "cli.help", "cli.saved_overrides", "cli.preparation"]


def part(path: Path) -> str:
    """Folder or module directly below gantrain/."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(TREES[path]):
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
        for node in ast.walk(TREES[path])
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
        if LAYER[there] == LAYER[here] and LAYER[here] in ORDERED:
            assert ORDER[there] < ORDER[here], f"{here} imports {name} from beside it"
        assert LAYER[there] <= LAYER[here], f"{here} imports {name} from above"
        assert not siblings or (here, name) in MAY_CROSS, f"{here} imports its sibling {name}"
        # A concrete GAN is reached through the config's _target_ only: no registry.
        assert there != "gans" or name == "gantrain.gans.base", f"{here} names a GAN: {name}"


MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in FILES
}


def runtime_imports(tree: ast.Module) -> Iterator[tuple[str, ast.alias]]:
    """(module, name) of what is imported when the program runs, also inside functions."""
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in for_types:
            yield from ((node.module, alias) for alias in node.names)


def known_module(module: str, name: str) -> str | None:
    """The module of ours that `from module import name` runs."""
    for candidate in (f"{module}.{name}", module):
        if candidate in MODULES:
            return candidate
    return None


def test_no_circle_among_modules() -> None:
    graph = {
        module: {known_module(m, alias.name) for m, alias in runtime_imports(TREES[path])}
        - {None, module, "gantrain"}
        for module, path in MODULES.items()
    }
    while leaves := [module for module, needed in graph.items() if not needed]:
        for leaf in leaves:
            del graph[leaf]
        for needed in graph.values():
            needed.difference_update(leaves)
    assert not graph, f"these import each other in a circle, or what does: {sorted(graph)}"


def test_nobody_uses_anothers_private_names() -> None:
    found = []
    for module, path in MODULES.items():
        own: dict[str, str | None] = {}
        for imported, alias in runtime_imports(TREES[path]):
            if imported.startswith("gantrain"):
                own[alias.asname or alias.name] = f"{imported}.{alias.name}"
                if alias.name.startswith("_") and not alias.name.startswith("__"):
                    found.append(f"{module}: {imported}.{alias.name}")
        for node in ast.walk(TREES[path]):
            if (
                isinstance(node, ast.Attribute)
                and node.attr.startswith("_")
                and not node.attr.startswith("__")
                and own.get(getattr(node.value, "id", "")) in MODULES
            ):
                found.append(f"{module}: {ast.unparse(node)}")
    assert found == []


def test_few_modules_stand_loose() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def top_imports(path: Path) -> set[str]:
    """What importing `path` imports, without what stands in functions or under TYPE_CHECKING."""
    body = TREES[path].body
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


def test_only_the_page_imports_gradio() -> None:
    users = {path for path in FILES if "gradio" in top_imports(path)}
    assert users == {path for path in (PACKAGE / "studio/page").glob("[!_]*.py")}


FITTING = (
    "inference/projection.py",
    "inference/pivotal_tuning.py",
    "inference/linear_classifier.py",
)
WHERE = {  # call: the only places it may stand in
    # latents and boundaries are found, and a generator is tuned, without a GAN to train
    "backward": (*FITTING, "engine/"),
    "zero_grad": (*FITTING, "engine/"),
    "step": (*FITTING, "engine/"),
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
    loaders |= {"io/module_pickle.py", "io/reference_file.py", "io/rosinality.py"}
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
    limit = 200 if path.parent.name == "gans" else 400
    assert text.count("\n") <= limit
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{node.name} is too long"
