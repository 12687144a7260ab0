"""What a constructor accepts, read from its source text: nothing is imported, so torch is not.

`read("torch.optim.Adam")` finds the file, parses it, follows `from x import Y` and aliases such as
`Y = Literal[...]`, and returns the parameters, their annotations turned into `typing` objects.
"""

from __future__ import annotations

import ast
import importlib.util
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Optional, Union

from gantrain.errors import ConfigError, nearest
from gantrain.types import Points, Range, Schedule

PLAIN: dict[str, Any] = {
    **{kind.__name__: kind for kind in (int, float, bool, str, list, tuple, dict)},
    **{"List": list, "Tuple": tuple, "Dict": dict, "Sequence": list, "Mapping": dict},
    **{"Schedule": Schedule, "Points": Points, "Path": str, "None": type(None)},
    "Tensor": NoReturn,  # no config can hold one: `float | Tensor` means a number
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a constructor."""

    name: str
    annotation: Any = Any  # typing.Any when it is not understood
    required: bool = True
    default: Any = ...  # ... when it has none, or no plain one


@dataclass(frozen=True)
class Signature:
    """Parameters by name; `open` when the constructor takes any further keyword."""

    parameters: dict[str, Parameter] = field(default_factory=dict)
    open: bool = False


def read_signature(target: str) -> Signature:
    """The signature of `package.module.Name`. Raises ConfigError when there is no such thing."""
    home, node = _find(target)
    if isinstance(node, ast.ClassDef):
        return _from_class(home, node)
    return _from_function(home, node, skip=0)


def class_constant(target: str, name: str) -> str | None:
    """The string that the class `target`, or a base of it, assigns to `name`; None: none does."""
    found: tuple[SourceModule, ast.AST] | None = _find(target)
    while found:
        home, node = found
        if not isinstance(node, ast.ClassDef):
            return None
        for statement in node.body:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
            value = getattr(statement, "value", None)
            if name in map(ast.unparse, targets) and isinstance(value, ast.Constant):
                return str(value.value)
        found = home.find(ast.unparse(node.bases[0]).rpartition(".")[2]) if node.bases else None
    return None


def _find(target: str) -> tuple[SourceModule, ast.ClassDef | ast.FunctionDef]:
    module_name, _, name = target.rpartition(".")
    module = _module(module_name) if module_name else None
    if module is None:
        raise ConfigError(f"_target_={target}: there is no module {module_name or target}.")
    found = module.find(name)
    if found is None or not isinstance(found[1], (ast.ClassDef, ast.FunctionDef)):
        close = nearest(name, module.names())
        hint = f" Did you mean {module_name}.{close}?" if close else ""
        raise ConfigError(f"_target_={target}: {module_name} has no class {name}.{hint}")
    return found[0], found[1]


@dataclass(frozen=True)
class SourceModule:
    """A parsed source file."""

    name: str
    is_package: bool
    body: tuple[ast.stmt, ...]

    def names(self) -> list[str]:
        """Classes and functions that are offered here, imported ones included."""
        kinds = (ast.ClassDef, ast.FunctionDef)
        own = [node.name for node in self._statements() if isinstance(node, kinds)]
        return own + [alias.asname or alias.name for _, alias in self._imports()]

    def find(self, name: str, depth: int = 8) -> tuple[SourceModule, ast.AST] | None:
        """Where `name` is defined and how: a class, a function, or the value assigned to it."""
        for node in self._statements():
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
                return self, node
            if isinstance(node, ast.Assign) and name in map(ast.unparse, node.targets):
                return self, node.value
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name and node.value:
                return self, node.value
        for source, alias in self._imports():
            if alias.name == "*" or name == (alias.asname or alias.name):
                other = _module(source) if depth else None
                found = (
                    other.find(name if alias.name == "*" else alias.name, depth - 1)
                    if other
                    else None
                )
                if found:
                    return found
        return None

    def _statements(self) -> Iterator[ast.stmt]:
        """Top-level statements, those inside `if` and `try` included."""
        pending = list(self.body)
        while pending:
            node = pending.pop(0)
            yield node
            if isinstance(node, (ast.If, ast.Try)):
                pending += [*node.body, *node.orelse]

    def _imports(self) -> Iterator[tuple[str, ast.alias]]:
        for node in self._statements():
            if isinstance(node, ast.ImportFrom):
                source = self._absolute(node.module or "", node.level)
                yield from ((source, alias) for alias in node.names)

    def _absolute(self, module: str, level: int) -> str:
        if not level:
            return module
        parts = self.name.split(".")
        base = parts[: len(parts) - level + self.is_package]
        return ".".join([*base, module] if module else base)


def _module(name: str) -> SourceModule | None:
    file = _source(name)
    return None if file is None else _parse(name, file, file.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _parse(name: str, file: Path, _changed: int) -> SourceModule:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ConfigError(f"{file}, line {error.lineno}: not valid Python ({error.msg}).") from None
    return SourceModule(name, file.name == "__init__.py", tuple(tree.body))


def _source(name: str) -> Path | None:
    """The .py file of a module. Only the top-level package is looked up, never imported."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for root in spec.submodule_search_locations or ():
        path = Path(root).joinpath(*rest)
        for file in (path / "__init__.py", path.with_name(path.name + ".py")):
            if file.is_file():
                return file
    return None


def _from_class(home: SourceModule, node: ast.ClassDef) -> Signature:
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return _from_function(home, statement, skip=1)
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return _from_fields(home, node)
    for base in node.bases:
        found = home.find(ast.unparse(base).rpartition(".")[2])
        if found and isinstance(found[1], ast.ClassDef):
            return _from_class(found[0], found[1])
    return Signature(open=bool(node.bases))  # a base out of sight may take anything


def _from_function(home: SourceModule, node: ast.FunctionDef, skip: int) -> Signature:
    args = node.args
    positional = [*args.posonlyargs, *args.args]
    none = [None] * (len(positional) - len(args.defaults))
    pairs = [*zip(positional, [*none, *args.defaults], strict=True)][skip:]
    pairs += zip(args.kwonlyargs, args.kw_defaults, strict=True)
    parameters = [
        Parameter(a.arg, _understood(home, a.annotation), d is None, _plain(d)) for a, d in pairs
    ]
    return Signature({p.name: p for p in parameters}, open=args.kwarg is not None)


def _from_fields(home: SourceModule, node: ast.ClassDef) -> Signature:
    fields = [
        s for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
    ]
    parameters = [
        Parameter(
            ast.unparse(s.target), _understood(home, s.annotation), s.value is None, _plain(s.value)
        )
        for s in fields
    ]
    return Signature({p.name: p for p in parameters})


def _plain(default: ast.AST | None) -> Any:
    """The value of a literal, else ..."""
    try:
        return ... if default is None else ast.literal_eval(default)  # type: ignore[arg-type]
    except ValueError:
        return ...


def _understood(home: SourceModule, node: ast.AST | None) -> Any:
    """An annotation's syntax as a typing object; Any for what is not understood."""
    try:
        return _annotation(home, node, 8)
    except (ValueError, TypeError, SyntaxError):  # Literal[Colour.RED], Range(LOW), "half a str
        return Any


def _annotation(home: SourceModule, node: ast.AST | None, depth: int) -> Any:
    if node is None or depth == 0:
        return Any
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _annotation(home, ast.parse(node.value, mode="eval").body, depth - 1)
        return type(None) if node.value is None else Any
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Union[_annotation(home, node.left, depth), _annotation(home, node.right, depth)]  # noqa: UP007
    if isinstance(node, ast.Subscript):
        return _subscript(home, node, depth)
    if isinstance(node, (ast.Name, ast.Attribute)):
        return _named(home, ast.unparse(node).rpartition(".")[2], depth)
    return Any


def _named(home: SourceModule, name: str, depth: int) -> Any:
    if name in PLAIN:
        return PLAIN[name]
    found = home.find(name)  # an alias: Norm = Literal["instance", "batch"]
    if found is None or isinstance(found[1], (ast.ClassDef, ast.FunctionDef)):
        return Any
    return _annotation(found[0], found[1], depth - 1)


def _subscript(home: SourceModule, node: ast.Subscript, depth: int) -> Any:
    base = ast.unparse(node.value).rpartition(".")[2]
    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if base == "Literal":
        return Literal[tuple(ast.literal_eval(item) for item in items)]  # type: ignore[valid-type]
    if base == "Annotated":
        ranges = [found for item in items[1:] if (found := _range(item))]
        inner = _annotation(home, items[0], depth)
        return Annotated[(inner, *ranges)] if ranges else inner  # type: ignore[valid-type]
    inner = [
        ...
        if isinstance(item, ast.Constant) and item.value is ...
        else _annotation(home, item, depth)
        for item in items
    ]
    if base == "Optional":
        return Optional[inner[0]]  # noqa: UP045
    if base == "Union":
        return Union[tuple(inner)]  # noqa: UP007
    kind = PLAIN.get(base)
    return types.GenericAlias(kind, tuple(inner)) if kind in (list, tuple, dict) else Any


def _range(node: ast.AST) -> Range | None:
    """Range(1), Range(0, high=1, open_low=True): literal arguments only."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] != "Range":
        return None
    args = [ast.literal_eval(arg) for arg in node.args]
    return Range(*args, **{k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg})
