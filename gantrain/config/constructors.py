"""Read constructor signatures from source code, without importing anything (torch in particular).

`read_signature("torch.optim.Adam")` finds the file, parses it, follows `from x import Y` and
aliases such as `Y = Literal[...]`, and returns the parameters with their annotations as `typing`
objects.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Optional, Union

from gantrain.errors import ConfigError, nearest
from gantrain.types import Points, Ramp, Range, Schedule

PLAIN: dict[str, Any] = {
    **{kind.__name__: kind for kind in (int, float, bool, str, list, tuple, dict)},
    **{"List": list, "Tuple": tuple, "Dict": dict, "Sequence": list, "Mapping": dict},
    **{"Schedule": Schedule, "Points": Points, "Ramp": Ramp, "Path": str, "None": type(None)},
    "Tensor": NoReturn,  # a config cannot hold a tensor, so `float | Tensor` means a number
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a constructor.

    Attributes:
        annotation: the type; `typing.Any` if the annotation cannot be interpreted.
        required: whether there is no default.
        default: the default, or `...` if there is none or it is not a literal.
    """

    name: str
    annotation: Any = Any
    required: bool = True
    default: Any = ...


@dataclass(frozen=True)
class Signature:
    """Parameters by name; `open` if the constructor also takes arbitrary keywords."""

    parameters: dict[str, Parameter] = field(default_factory=dict)
    open: bool = False


def read_signature(target: str) -> Signature:
    """Return the signature of the class or function `package.module.Name`.

    Raises:
        ConfigError: there is no such module, class or function.
    """
    module, node = _find(target)
    if isinstance(node, ast.ClassDef):
        return _from_class(module, node)
    return _from_function(module, node, skip=0)


def class_constant(target: str, name: str) -> str | None:
    """Return the constant assigned to the class attribute `name`, as a string.

    Args:
        target: `package.module.Class`; its base classes are searched too.
        name: the attribute.

    Returns:
        None if neither the class nor a base assigns a constant to `name`.

    Raises:
        ConfigError: there is no such class.
    """
    definition: tuple[SourceModule, ast.AST] | None = _find(target)
    while definition:
        module, node = definition
        if not isinstance(node, ast.ClassDef):
            return None
        for statement in node.body:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
            value = getattr(statement, "value", None)
            if name in map(ast.unparse, targets) and isinstance(value, ast.Constant):
                return str(value.value)
        base = ast.unparse(node.bases[0]).rpartition(".")[2] if node.bases else None
        definition = module.find(base) if base else None
    return None


def _find(target: str) -> tuple[SourceModule, ast.ClassDef | ast.FunctionDef]:
    module_name, _, name = target.rpartition(".")
    module = _module(module_name) if module_name else None
    if module is None:
        raise ConfigError(f"_target_={target}: there is no module {module_name or target}.")
    definition = module.find(name)
    if definition is None or not isinstance(definition[1], (ast.ClassDef, ast.FunctionDef)):
        close = nearest(name, module.names())
        hint = f" Did you mean {module_name}.{close}?" if close else ""
        raise ConfigError(f"_target_={target}: {module_name} has no class {name}.{hint}")
    return definition[0], definition[1]


@dataclass(frozen=True)
class SourceModule:
    """A parsed source file.

    Attributes:
        name: the dotted module name.
        is_package: whether the file is an `__init__.py`.
        body: the top-level statements.
    """

    name: str
    is_package: bool
    body: tuple[ast.stmt, ...]

    def names(self) -> list[str]:
        """Return the names of the classes and functions available here, including imports."""
        kinds = (ast.ClassDef, ast.FunctionDef)
        defined = [node.name for node in self._statements() if isinstance(node, kinds)]
        return defined + [alias.asname or alias.name for _, alias in self._imports()]

    def find(self, name: str, depth: int = 8) -> tuple[SourceModule, ast.AST] | None:
        """Find the definition of `name`, following imports.

        Args:
            name: the name to look up.
            depth: how many imports to follow at most.

        Returns:
            (defining module, its class, function or assigned value), or None.
        """
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
                original = name if alias.name == "*" else alias.name
                definition = other.find(original, depth - 1) if other else None
                if definition:
                    return definition
        return None

    def _statements(self) -> Iterator[ast.stmt]:
        """Yield the top-level statements, including those inside `if` and `try`."""
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
    """Return the .py file of a module. The top-level package is located but never imported."""
    top, *rest = name.split(".")
    if top in sys.stdlib_module_names:  # typing and the like hold no constructor, and are long
        return None
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


def _from_class(module: SourceModule, node: ast.ClassDef) -> Signature:
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return _from_function(module, statement, skip=1)
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return _from_fields(module, node)
    for base in node.bases:
        definition = module.find(ast.unparse(base).rpartition(".")[2])
        if definition and isinstance(definition[1], ast.ClassDef):
            return _from_class(definition[0], definition[1])
    return Signature(open=bool(node.bases))  # a base that cannot be read may take anything


def _from_function(module: SourceModule, node: ast.FunctionDef, skip: int) -> Signature:
    args = node.args
    positional = [*args.posonlyargs, *args.args]
    no_default = [None] * (len(positional) - len(args.defaults))
    pairs = [*zip(positional, [*no_default, *args.defaults], strict=True)][skip:]
    pairs += zip(args.kwonlyargs, args.kw_defaults, strict=True)
    parameters = [
        Parameter(arg.arg, _interpret(module, arg.annotation), default is None, _literal(default))
        for arg, default in pairs
    ]
    return Signature({p.name: p for p in parameters}, open=args.kwarg is not None)


def _from_fields(module: SourceModule, node: ast.ClassDef) -> Signature:
    fields = [
        s for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
    ]
    parameters = [
        Parameter(
            ast.unparse(s.target),
            _interpret(module, s.annotation),
            s.value is None,
            _literal(s.value),
        )
        for s in fields
    ]
    return Signature({p.name: p for p in parameters})


def _literal(default: ast.AST | None) -> Any:
    """Return the value of a literal default, else `...`."""
    try:
        return ... if default is None else ast.literal_eval(default)  # type: ignore[arg-type]
    except ValueError:
        return ...


def _interpret(module: SourceModule, node: ast.AST | None) -> Any:
    """Return an annotation's syntax tree as a typing object, or Any if it cannot be interpreted."""
    try:
        return _annotation(module, node, 8)
    except (ValueError, TypeError, SyntaxError):  # Literal[Color.RED], Range(LOW), "half a str
        return Any


def _annotation(module: SourceModule, node: ast.AST | None, depth: int) -> Any:
    if node is None or depth == 0:
        return Any
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _annotation(module, ast.parse(node.value, mode="eval").body, depth - 1)
        return type(None) if node.value is None else Any
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        left, right = (_annotation(module, side, depth) for side in (node.left, node.right))
        return Union[left, right]  # noqa: UP007
    if isinstance(node, ast.Subscript):
        return _subscript(module, node, depth)
    if isinstance(node, (ast.Name, ast.Attribute)):
        return _named(module, ast.unparse(node).rpartition(".")[2], depth)
    return Any


def _named(module: SourceModule, name: str, depth: int) -> Any:
    if name in PLAIN:
        return PLAIN[name]
    definition = module.find(name)  # an alias: Norm = Literal["instance", "batch"]
    if definition is None or isinstance(definition[1], (ast.ClassDef, ast.FunctionDef)):
        return Any
    return _annotation(definition[0], definition[1], depth - 1)


def _subscript(module: SourceModule, node: ast.Subscript, depth: int) -> Any:
    base = ast.unparse(node.value).rpartition(".")[2]
    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if base == "Literal":
        return Literal[tuple(ast.literal_eval(item) for item in items)]  # type: ignore[valid-type]
    if base == "Annotated":
        ranges = [bounds for item in items[1:] if (bounds := _range(item))]
        inner = _annotation(module, items[0], depth)
        return Annotated[(inner, *ranges)] if ranges else inner  # type: ignore[valid-type]
    inner = [
        ...
        if isinstance(item, ast.Constant) and item.value is ...
        else _annotation(module, item, depth)
        for item in items
    ]
    if base == "Optional":
        return Optional[inner[0]]  # noqa: UP045
    if base == "Union":
        return Union[tuple(inner)]  # noqa: UP007
    kind = PLAIN.get(base)
    return types.GenericAlias(kind, tuple(inner)) if kind in (list, tuple, dict) else Any


def _range(node: ast.AST) -> Range | None:
    """Evaluate a call such as Range(1) or Range(0, high=1, open_low=True), if it is one.

    Raises:
        ValueError: an argument is not a literal.
    """
    if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] != "Range":
        return None
    args = [ast.literal_eval(arg) for arg in node.args]
    return Range(*args, **{k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg})
