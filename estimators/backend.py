"""The machine: device, precision, memory, denormal numbers, and the torchvision import.

torch is imported inside the functions, so that importing this module costs nothing.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from .messages import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    import torch
    from numpy.typing import NDArray

PRECISIONS = ("auto", "float32", "bfloat16")

#: ``precision="auto"`` chooses bfloat16 from this many weight visits an epoch (samples times weights)
#: on. Below it training takes a moment in either precision, and float32 costs nothing worth having.
BFLOAT16_PAYS_FROM = 10**10


#: What to do where memory runs out.
OUT_OF_MEMORY = "out of memory: use a smaller network, fewer samples, a smaller batch or another device"


class DeviceError(ValueError):
    """A device was asked for that this machine does not have."""


def share_processors() -> None:
    """On a busy machine, let waiting threads sleep instead of spin; call it before torch is imported.

    Torch's worker threads spin while they wait for each other. That is the faster way (by about a third)
    on an idle machine, but where other processes want the processors too it makes small trainings ten to
    twenty times slower. It is for programs that own their process: a library must not decide this for its
    caller. What the user has set stays.
    """
    n_processors = os.cpu_count() or 1
    is_busy = hasattr(os, "getloadavg") and os.getloadavg()[0] >= n_processors / 2
    if is_busy:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def resolve_device(device: str) -> torch.device:
    """Turn ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"`` into a device that exists.

    Raises
    ------
    DeviceError
        If the device is unknown, or not on this machine.
    """
    import torch

    # CUDA cannot be used in a process that was forked from one that has used it.
    is_forked = getattr(torch.cuda, "_is_in_bad_fork", lambda: False)()
    if device == "auto":
        if torch.cuda.is_available() and not is_forked:
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        resolved = None
    if resolved is None or resolved.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"device must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps', got {as_text(device)}")
    if resolved.type == "cuda":
        if is_forked:
            raise DeviceError(
                f"device={as_text(device)} cannot be used in a process forked from one that has used the GPU: "
                "use joblib's backend 'loky', the start method 'spawn', or device='cpu'"
            )
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise DeviceError(
                f"device={as_text(device)} needs an NVIDIA GPU that PyTorch can use and there is none here; "
                "use device='cpu' or 'auto'"
            )
        if resolved.index is not None and resolved.index >= count:
            raise DeviceError(f"device={as_text(device)} does not exist here: the GPUs are cuda:0 to cuda:{count - 1}")
    if resolved.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(
            f"device={as_text(device)} needs an Apple GPU and there is none here; use device='cpu' or 'auto'"
        )
    return resolved


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16 products (elsewhere they are slower than float32)."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # absent from older torch: reads as "no"
        return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
    return False


def resolve_precision(precision: str, device: torch.device, work: float) -> str:
    """Turn ``"auto"`` into ``"float32"`` or ``"bfloat16"``.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        The requested device; anything but "auto" is returned unchanged.
    device : torch.device
        Where the products are computed.
    work : float
        Samples times weights: how much one pass over the data has to multiply.
    """
    if precision != "auto":
        return precision
    return "bfloat16" if work >= BFLOAT16_PAYS_FROM and multiplies_bfloat16(device) else "float32"


@cache
def prepare_forks() -> None:
    """Let processes that are forked from now on compute with one thread; call it before computing with torch.

    The threads of OpenMP do not survive a fork: where torch has computed with several, a child waits for them forever
    as soon as it computes (``os.fork``, the start method "fork", joblib's backend "multiprocessing"). With a single
    thread it does not need them. Processes that are started anew, as joblib's default backend does, are not affected.
    """
    import torch

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))


def as_tensor(array: NDArray[Any]) -> torch.Tensor:
    """A tensor over the same memory (over a copy of what is read-only, which torch does not know of)."""
    import numpy as np
    import torch

    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError, with a sentence on what to do, where memory of the machine or of a GPU runs out.

    Torch raises RuntimeError then, and NumPy an error without advice.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(OUT_OF_MEMORY) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory has run out."""
    words = "out of memory", "can't allocate memory"  # of CUDA and MPS; of torch's allocator for the CPU
    is_torch = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    return is_torch or isinstance(error, MemoryError)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Treat denormal numbers as zero while the block runs.

    Adam's moments of units that have died decay into denormal numbers, which some processors handle ten
    times slower than normal ones. The setting belongs to a thread. The calling thread gets its own back.
    Torch's pool threads take it over when they are created, and keep it: those that torch started before
    prunelab first computed something do not have it, so in such a process only a part of the work is sped
    up. (A thread with a pool of its own for every training would cure that, but OpenMP lets the threads of
    a second pool sleep instead of spin, which costs more than it gains.)
    """
    import torch

    were_flushed = (torch.tensor(1e-40) * 1.0).item() == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(were_flushed)


def import_torchvision() -> ModuleType:
    """Import torchvision, also where its wheel was built for another torch than the one installed.

    A CUDA build of torchvision beside a CPU build of torch fails to import with "operator
    torchvision::nms does not exist". Declaring that operator and its sibling (nothing here calls
    them) lets datasets and models be imported.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _declare_missing_operators()
        import torchvision
    return torchvision


_declared_operators: list[Any] = []  # torch forgets a library's operators when the object is collected


def _declare_missing_operators() -> None:
    import sys

    from torch.library import Library

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # the half-imported modules of the failed attempt
    library = Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared_operators.append(library)
