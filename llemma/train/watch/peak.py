"""What a device can compute at best: the whole of which the share reached in training (MFU) is counted."""

from __future__ import annotations

import functools
import time

import torch

from llemma.neox.config import NeoxConfig
from llemma.train.settings import Precision

# Dense TFLOP/s (no sparsity) of matrix products by what stands in the device's name, from the makers' data sheets;
# fp32 without TF32, which torch does not use unless it is told to. The first name that fits counts.
PEAK_TFLOPS: tuple[tuple[str, dict[Precision, float]], ...] = (
    ("GH200", {"bfloat16": 989, "fp32": 67}),
    ("H200", {"bfloat16": 989, "fp32": 67}),
    ("H100 PCIe", {"bfloat16": 756, "fp32": 51}),
    ("H100 NVL", {"bfloat16": 835, "fp32": 60}),
    ("H100", {"bfloat16": 989, "fp32": 67}),
    ("A100", {"bfloat16": 312, "fp32": 19.5}),
    ("A800", {"bfloat16": 312, "fp32": 19.5}),
    ("L40S", {"bfloat16": 362, "fp32": 91.6}),
    ("A40", {"bfloat16": 149.7, "fp32": 37.4}),
    ("RTX 4090", {"bfloat16": 165.2, "fp32": 82.6}),
    ("RTX 3090", {"bfloat16": 71, "fp32": 35.6}),
    ("MI300X", {"bfloat16": 1307.4, "fp32": 163.4}),
)
_MEASURED_S = 0.1  # how long a processor is measured, and the width of its matrices: both chosen by us, and on the
_WIDTH = 768  # machine that they were chosen on two measurements differ by at most 3 %


def peak_flops(device: torch.device, precision: Precision, config: NeoxConfig) -> float | None:
    """FLOP/s of one device at best; None where they are not known.

    `peak_theoretical_tflops` of the configuration counts before the table; a processor is measured, once.
    """
    given = config.other.get("peak_theoretical_tflops")
    if isinstance(given, int | float) and given > 0:
        return float(given) * 1e12
    if device.type == "cpu":
        return processor_flops(precision, torch.get_num_threads())
    if device.type == "cuda":
        return known_flops(torch.cuda.get_device_name(device), precision)
    return None


def known_flops(device_name: str, precision: Precision) -> float | None:
    """FLOP/s at best of a device by its name; None where it does not stand in the table."""
    for name, by_precision in PEAK_TFLOPS:
        if name in device_name:
            return by_precision[precision] * 1e12
    return None


@functools.cache
def processor_flops(precision: Precision, num_threads: int) -> float:
    """FLOP/s of so many threads in a large product of matrices, the best of those that fit into a tenth of a second."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    left = torch.full((_WIDTH, _WIDTH), 0.5, dtype=dtype)
    right, best, end = left.clone(), float("inf"), time.perf_counter() + _MEASURED_S
    with torch.inference_mode():
        torch.mm(left, right)  # the first one also prepares its kernel
        while True:
            started = time.perf_counter()
            torch.mm(left, right)
            now = time.perf_counter()
            best = min(best, now - started)
            if now >= end:
                return 2 * _WIDTH**3 / best
