"""Pickles of networks are data: read by an unpickler that runs nothing of them."""

import os
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gantrain.errors import ConfigError
from gantrain.io.module_pickle import read_modules
from gantrain.snapshot import load_snapshot
from tests.helpers import reference_pickles
from tests.helpers.golden_files import load, under

CANARY = Path("canary")


class Call:
    """Its pickle calls a function."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_golden(path: Path = Path("network.pkl"), p: float = 0.25) -> Path:
    meta, golden = load("stylegan2_generator_conditional")
    return reference_pickles.write_stylegan(path, {"G_ema": (under(golden, "state/"), meta)}, p)


def test_weights_and_settings_come_out_as_they_went_in() -> None:
    meta, golden = load("stylegan2_generator_conditional")
    modules = read_modules(write_golden())
    G = modules["G_ema"]
    assert G.kind == "Generator" and G.arguments == meta
    expected = under(golden, "state/")
    assert G.weights.keys() == expected.keys()
    assert all(torch.equal(G.weights[key], expected[key]) for key in expected)
    assert float(modules["augment_pipe"].weights["p"]) == 0.25
    assert not Path("executed").exists()


def test_arrays_and_numbers_of_numpy() -> None:
    arguments = {"size": np.array([[1, 2], [3, 4]], np.int32).T, "gain": np.float64(0.5)}
    weights = {"x": torch.ones(2)}
    reference_pickles.write_stylegan(Path("n.pkl"), {"G": (weights, arguments)})
    assert read_modules(Path("n.pkl"))["G"].arguments == {"size": [[1, 3], [2, 4]], "gain": 0.5}


def test_r3gan_s_pickles_hold_ordinary_modules() -> None:
    _, golden = load("r3gan_networks_conditional")
    expected = under(golden, "state/G/")
    modules = read_modules(reference_pickles.write_r3gan(Path("r.pkl"), {"G_ema": expected}))
    assert modules["G_ema"].arguments == {}
    assert all(torch.equal(modules["G_ema"].weights[key], expected[key]) for key in expected)


def _storage(data: bytes) -> Call:
    return Call(torch.storage._load_from_bytes, data)


def _tensor(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> Call:
    rebuild = torch.ones(1).__reduce_ex__(2)[0]  # torch._utils._rebuild_tensor_v2
    storage = torch.ones(4).untyped_storage()
    typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
    return Call(rebuild, typed, offset, size, stride, False, {})


def _raw(*opcodes: bytes) -> bytes:
    return b"\x80\x04" + b"".join(opcodes) + b"."


def _name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


OBJECT = _name("training.networks", "Generator") + b")\x81"  # an empty record
RECONSTRUCT = _name("torch_utils.persistence", "_reconstruct_persistent_obj")
HOSTILE: dict[str, object] = {
    "os.system": Call(os.system, "touch canary"),
    "eval": Call(eval, "open('canary', 'w')"),
    "exec": Call(exec, "open('canary', 'w')"),
    "open": Call(open, "canary", "w"),
    "getattr": Call(getattr, "x", "upper"),
    "import": _raw(_name("importlib", "import_module"), b"(Vcanary\nt R".replace(b" ", b"")),
    "builtins by another name": _raw(_name("__builtin__", "eval"), b"(V1\ntR"),
    "torch.load": _raw(_name("torch", "load"), b"(Vcanary\ntR"),
    "torch.serialization.load": _raw(_name("torch.serialization", "load"), b"(Vx\ntR"),
    "nested names": _raw(b"\x8c\x08training\x8c\x11os.system.__call__\x93"),
    "attribute of an allowed class": _raw(b"\x8c\x0bcollections\x8c\x0fOrderedDict.pop\x93"),
    "code in a record's module": _raw(b"\x8c\x10training.network\x8c\x05a.b.c\x93"),
    "code in a storage": {"G": _storage(pickle.dumps(Call(os.system, "touch canary")))},
    "persistent id": _raw(b"P1\n"),
    "extension": _raw(b"\x82\x01"),
    "subprocess": _raw(_name("subprocess", "Popen"), b"(Vtouch canary\ntR"),
    "a changed function": _raw(RECONSTRUCT, b"N}(V__defaults__\nN.".replace(b".", b"") + b"u\x86b"),
    "a changed class": _raw(
        _name("training.networks", "Generator"), b"N}(V__init__\nNu\x86b", b"0", OBJECT
    ),
    "a changed class of ours": _raw(_name("dnnlib.util", "EasyDict"), b"N}(Vpop\nNu\x86b"),
    "a record that is called": _raw(OBJECT, b")R"),
    "a tensor beyond its numbers": {"G": _tensor((100,), (1,))},
    "a tensor of one number, often": {"G": _tensor((10**12,), (0,))},
    "a tensor before its numbers": {"G": _tensor((2,), (1,), -5)},
    "a tensor with negative steps": {"G": _tensor((2,), (-1,), 3)},
    "a tensor of no storage": _raw(_name("torch._utils", "_rebuild_tensor_v2"), b"(NK\x00))tR"),
    "an array of objects": {"G": np.array([Call(os.system, "touch canary")], object)},
    "a huge array": _raw(
        *(_name("numpy.core.multiarray", "_reconstruct"), _name("numpy", "ndarray")),
        *(b"\x8a\x08" + struct.pack("<q", 2**60), b"\x85", b"C\x01b", b"\x87R"),
    ),
    "a long string that is not there": _raw(b"\x8d" + struct.pack("<Q", 2**40) + b"x"),
    "bytes that are not there": _raw(b"\x8e" + struct.pack("<Q", 2**40) + b"x"),
    "nothing": b"",
    "a list": [1, 2],
    "TensorFlow": _raw(_name("dnnlib.tflib.network", "Network"), b")\x81"),
    "another program": _raw(_name("sklearn.svm", "SVC"), b")\x81"),
    "marks only": _raw(b"(" * 1000),
    "deeply nested": _raw(b"]" * 100_000, b"a" * 99_999),
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_one_sentence(name: str) -> None:
    content = HOSTILE[name]
    Path("x.pkl").write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    with pytest.raises(ConfigError) as error:
        load_snapshot("x.pkl")
    assert len(error.value.problems) == 1 and "x.pkl" in str(error.value)
    assert not CANARY.exists()
    write_golden()
    load_snapshot("network.pkl")  # nothing has changed for the next file


def test_what_is_named_is_said() -> None:
    Path("x.pkl").write_bytes(pickle.dumps(HOSTILE["eval"]))
    with pytest.raises(ConfigError, match=r"names builtins.eval, which is code .* nothing of it"):
        read_modules(Path("x.pkl"))
    Path("x.pkl").write_bytes(HOSTILE["TensorFlow"])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"TensorFlow version\. Convert it with the legacy\.py"):
        read_modules(Path("x.pkl"))


def _mutate(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5, 50])):
        place = rng.randrange(len(changed))
        kind = rng.randrange(4)
        if kind == 0:
            changed[place] = rng.randrange(256)
        elif kind == 1:
            del changed[place : place + rng.randrange(1, 40)]
        elif kind == 2:
            changed[place:place] = rng.randbytes(rng.randrange(1, 10))
        else:
            other = rng.randrange(len(changed))
            changed[place:place] = changed[other : other + rng.randrange(1, 60)]
        changed = changed or bytearray(b".")
    return bytes(changed)


@pytest.mark.ci
def test_mutated_pickles_load_or_are_one_sentence() -> None:
    rng = random.Random(0)
    _, golden = load("r3gan_networks_conditional")
    r3gan = reference_pickles.write_r3gan(Path("r.pkl"), {"G_ema": under(golden, "state/G/")})
    originals = [write_golden().read_bytes(), r3gan.read_bytes()]
    refused = 0
    for i in range(1000):
        Path("x.pkl").write_bytes(_mutate(originals[i % 2], rng))
        try:
            load_snapshot("x.pkl")
        except ConfigError as error:
            assert len(error.problems) == 1
            refused += 1
    assert 100 < refused < 1000  # some changes only touch numbers
    assert sorted(path.name for path in Path().iterdir()) == ["network.pkl", "r.pkl", "x.pkl"]
