"""Numbers as people read them: 55.3 B tokens, 1.2 × 10⁻⁴, 3 min 20 s; and round places for the ticks of an axis.

A run that diverged writes NaN and infinity: they are shown as such.
"""

from __future__ import annotations

import math

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def format_count(value: float) -> str:
    """A count with three significant digits and a short unit: 950, 12.3 k, 4.19 M, 55.3 B."""
    if not math.isfinite(value):
        return str(value)
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            divisor = 1e3 if unit == "k" else limit
            return f"{_significant(value / divisor)} {unit}"
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else _significant(value)


def format_bytes(value: float) -> str:
    """Bytes in binary units."""
    for limit, unit in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if abs(value) >= limit:
            return f"{_significant(value / limit)} {unit}"
    return f"{value:,.0f} B"


def format_flops(value: float) -> str:
    """Floating-point operations a second: 651 GFLOP/s."""
    for limit, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= limit:
            return f"{_significant(value / limit)} {unit}FLOP/s"
    return f"{value:,.0f} FLOP/s"


def format_seconds(value: float) -> str:
    """A span of time: 4.2 s, 3 min 20 s, 2 h 05 min, 3.1 days."""
    if not math.isfinite(value):
        return str(value)
    if round(value, 1) < 60:
        return f"{value:.1f} s"
    if round(value) < 3600:
        minutes, seconds = divmod(round(value), 60)
        return f"{minutes} min {seconds:02d} s"
    if value < 2 * 86400:
        hours, minutes = divmod(round(value / 60), 60)
        return f"{hours} h {minutes:02d} min"
    return f"{value / 86400:.1f} days"


def format_small(value: float) -> str:
    """A learning rate: 3 × 10⁻⁴."""
    if value == 0 or not math.isfinite(value):
        return str(value) if value else "0"
    exponent = math.floor(math.log10(abs(value)))
    if -3 < exponent < 4:
        return f"{value:.4g}"
    mantissa = f"{value / 10**exponent:.2f}".rstrip("0").rstrip(".")
    power = f"10{str(exponent).translate(_SUPERSCRIPTS)}"
    return power if mantissa == "1" else f"{mantissa} × {power}"


def format_share(value: float, digits: int = 1) -> str:
    """A share as a percentage."""
    return f"{100 * value:.{digits}f} %"


def _significant(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def ticks(low: float, high: float, num: int = 5) -> list[float]:
    """Round numbers within [low, high], about `num` of them: steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, num)
    power = 10 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(place * step, 12) + 0.0 for place in range(first, last + 1)]
