"""In which floating-point format networks multiply: bfloat16 where the processor has it, else float32.

A processor without such products emulates them: measured on one with AVX2 alone, a matrix product in bfloat16 took two
hundred times as long as in float32. Gradients in float32 are the exact ones (whether that matters is asked by
lib.runs.precision), so they stand in for bfloat16 wherever it is asked for and missing, and records and weights say so.
"""

import functools

import torch

BFLOAT16, FLOAT32 = "bfloat16", "float32"


@functools.cache
def has_bfloat16(kind: str) -> bool:
    """Whether the processor multiplies in bfloat16 by itself. kind: a torch.device's type, "cpu" or "cuda"."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    asked = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)     # Apple builds lack it
    return bool(asked and asked())


def used(dtype: str, device: torch.device) -> str:
    """The format that products are taken in on `device` where `dtype` is asked for: itself, or "float32" for a
    "bfloat16" that is not there."""
    return FLOAT32 if dtype == BFLOAT16 and not has_bfloat16(device.type) else dtype


def serves(stated: object, asked: object) -> bool:
    """Whether what was made in one format serves where another is asked for: itself, and "float32" for "bfloat16"."""
    return stated == asked or (stated, asked) == (FLOAT32, BFLOAT16)


def products(dtype: str, device: torch.device) -> torch.autocast:
    """The context in which networks multiply in `dtype`, or what is used in its place."""
    return torch.autocast(device.type, torch.bfloat16, enabled=used(dtype, device) == BFLOAT16)
