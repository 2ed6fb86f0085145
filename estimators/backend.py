"""The machine: device, precision, denormal numbers, and the torchvision import.

torch is imported inside the functions, so that importing this module costs nothing.
"""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    import torch

Event = TypeVar("Event")
Result = TypeVar("Result")

PRECISIONS = ("auto", "float32", "bfloat16")

#: ``precision="auto"`` chooses bfloat16 from this many weight visits an epoch (samples times weights)
#: on. Below it training takes a moment in either precision, and float32 costs nothing worth having.
BFLOAT16_PAYS_FROM = 10**10


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

    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        resolved = None
    if resolved is None or resolved.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"device must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps', got {device!r}")
    if resolved.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise DeviceError(
                f"device={device!r} needs an NVIDIA GPU that PyTorch can use and there is none here; "
                "use device='cpu' or 'auto'"
            )
        if resolved.index is not None and resolved.index >= count:
            raise DeviceError(f"device={device!r} does not exist here: the GPUs are cuda:0 to cuda:{count - 1}")
        if resolved.index is None:  # the current GPU belongs to a thread, and training has one of its own
            return torch.device("cuda", torch.cuda.current_device())
    if resolved.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"device={device!r} needs an Apple GPU and there is none here; use device='cpu' or 'auto'")
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
        What was asked for; anything but "auto" is returned as it is.
    device : torch.device
        Where the products are computed.
    work : float
        Samples times weights: how much one pass over the data has to multiply.
    """
    if precision != "auto":
        return precision
    return "bfloat16" if work >= BFLOAT16_PAYS_FROM and multiplies_bfloat16(device) else "float32"


def run_with_denormals_flushed(
    compute: Callable[[Callable[[Event], None]], Result], on_event: Callable[[Event], None] | None
) -> Result:
    """Run a training in a thread of its own, where denormal numbers count as zero.

    Adam's moments of units that have died decay into denormal numbers, which some processors handle ten
    times slower than normal ones. The setting belongs to a thread, and torch's pool threads inherit it when
    they are created, one pool for each thread that computes. So a fresh thread is the one way to have it
    for all of a training, and for nobody else's arithmetic.

    Parameters
    ----------
    compute : callable
        Called in the new thread with a function that tells events. That function raises, and so ends the
        computing, once nobody listens any more.
    on_event : callable, optional
        Called in the calling thread with each event; an exception there, or Ctrl-C, ends the computing.

    Returns
    -------
    What `compute` returned; what it raised is raised here.
    """
    import torch

    n_threads = torch.get_num_threads()
    events: SimpleQueue[Event | None] = SimpleQueue()
    abandoned = threading.Event()
    outcome: list[Result] = []
    errors: list[BaseException] = []

    def tell(event: Event) -> None:
        if abandoned.is_set():
            raise _AbandonedError
        events.put(event)

    def work() -> None:
        torch.set_num_threads(n_threads)  # the caller's number, which a new thread does not know
        torch.set_flush_denormal(True)
        try:
            outcome.append(compute(tell))
        except BaseException as error:  # for the caller, whatever it is
            errors.append(error)
        finally:
            events.put(None)

    thread = threading.Thread(target=work, name="prunelab-training", daemon=True)
    thread.start()
    try:
        while (event := events.get()) is not None:
            if on_event is not None:
                on_event(event)
    finally:
        abandoned.set()
        thread.join()
    if errors:
        raise errors[0]
    return outcome[0]


class _AbandonedError(Exception):
    """Nobody waits for the result of a training any more."""


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
