"""What is said when there is no memory left."""

import pytest
import torch

from gantrain.engine.memory import is_exhausted, peak_gigabytes, shortage

CUDA = (
    "CUDA out of memory. Tried to allocate 96.00 MiB. GPU 0 has a total capacity of 79.10 GiB of "
    "which 3.50 MiB is free. Process 7 has 79.09 GiB memory in use. Of the allocated memory "
    "78.00 GiB is allocated by PyTorch, and 1.00 GiB is reserved by PyTorch but unallocated. If "
    "reserved but unallocated memory is large try setting PYTORCH_ALLOC_CONF."
)


def test_peak() -> None:
    assert 0.01 < peak_gigabytes(torch.device("cpu")) < 100


def test_an_allocation_that_this_machine_refuses() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert is_exhausted(caught.value)
    assert shortage(caught.value).startswith("can't allocate memory: you tried to allocate 1441")
    assert "Exception raised" not in shortage(caught.value) and "\n" not in shortage(caught.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError(CUDA), CUDA.partition(" Process")[0]),
        (
            RuntimeError("MPS backend out of memory (MPS allocated: 9.1 GB, max: 9.2 GB). Tried"),
            "MPS backend out of memory (MPS allocated: 9.1 GB, max: 9.2 GB).",
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(h)`"),
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(h)`.",
        ),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), None),
        (MemoryError(), "MemoryError."),
    ],
)
def test_errors_of_memory(error: BaseException, said: str | None) -> None:
    assert is_exhausted(error)
    assert said is None or shortage(error) == said


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory")])
def test_other_errors(error: BaseException) -> None:
    assert not is_exhausted(error)
