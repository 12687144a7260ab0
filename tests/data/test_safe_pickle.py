import os
import pickle

import numpy as np
import pytest

from gantrain.data.safe_pickle import unpickle

DATA = np.arange(6, dtype=np.uint8).reshape(2, 3)
PYTHON_2 = (  # {"data": DATA, "labels": [6, 9]} as Python 2 wrote it: strings by opcode U
    b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    b"(K\x01K\x02K\x03\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
    b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    b"\x89U\x06\x00\x01\x02\x03\x04\x05tbU\x06labels](K\x06K\x09eu."
)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_bytes_come_back(protocol, order):
    array = np.asarray(DATA, order=order)
    found = unpickle(pickle.dumps({b"data": array, b"labels": [3, 4]}, protocol))
    assert (found[b"data"].array == DATA).all() and found[b"labels"] == [3, 4]


def test_as_python_2_wrote_them():
    found = unpickle(PYTHON_2)
    assert (found[b"data"].array == DATA).all() and found[b"labels"] == [6, 9]


class Runs:
    """Unpickled by `pickle`, it makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Pointers:
    """An array that declares its bytes to be pointers to objects and denies that it has any."""

    class Kind:
        def __reduce__(self):
            return np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0)

    def __reduce__(self):
        restore = np.empty(0).__reduce__()[0]
        return restore, (np.ndarray, (0,), b"b"), (1, (1,), self.Kind(), False, b"A" * 8)


def test_code_does_not_run(tmp_path):
    content = pickle.dumps({b"data": Runs(tmp_path / "made")}, 2)
    with pytest.raises(pickle.UnpicklingError, match=r"\w+\.mkdir is not allowed"):
        unpickle(content)
    assert not (tmp_path / "made").exists()
    pickle.loads(content)  # it would have
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "value", [Pointers(), np.zeros(3), np.array([{}]), np.dtype("f4"), np.float32(1)]
)
def test_other_arrays_are_refused(value):
    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        unpickle(pickle.dumps(value, 2))


def test_shapes_that_lie_are_refused():
    content = pickle.dumps(DATA, 2).replace(b"K\x02K\x03\x86", b"K\x02K\x09\x86")
    with pytest.raises(ValueError, match="reshape"):
        unpickle(content)
