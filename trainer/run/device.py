"""A job's GPU: whether it can be used, and whether an error means that memory is full."""

import torch

from traind.trainer.contract.errors import SpecError

CUDA = "cuda"
_FULL = ("can't allocate memory", "out of memory", "ALLOC_FAILED")  # of torch, of CUDA's contexts, of its libraries


def check_device(device: str) -> None:
    """Raise `SpecError` with CUDA's message where the GPU cannot be used, such as with too old a driver."""
    if not device.startswith(CUDA):
        return
    try:
        torch.cuda.current_device()  # the first call initialises CUDA
        torch.cuda.get_device_properties(device)
    except (AssertionError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        why = str(error).strip().partition("\n")[0].rstrip(".")
        hint = 'Use "auto" or "cpu"; where the driver is too old, a newer one or an older torch.'
        raise SpecError(f"The GPU cannot be used: {why}.", field="device", hint=hint) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory is full, the machine's or a GPU's."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _FULL)


def is_of_gpu(error: BaseException) -> bool:
    """Return whether an out-of-memory error is about a GPU's memory."""
    return isinstance(error, torch.OutOfMemoryError) or "CUDA" in str(error) or "CUBLAS" in str(error)
