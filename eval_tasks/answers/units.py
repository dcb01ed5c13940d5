"""Units of measure: word -> (dimension, factor to the dimension's base unit). Factors from the SI brochure and the
international yard and pound agreement of 1959; written exactly."""

from __future__ import annotations

from fractions import Fraction

Dimension = tuple[tuple[str, int], ...]

_INCH = Fraction(254, 10_000)
_POUND = Fraction(45359237, 100_000_000)
_BASE: dict[str, tuple[str, Fraction | int, str]] = {
    # unit: (dimension, factor, its other names)
    "m": ("length", 1, "meter meters metre metres"),
    "km": ("length", 1000, "kilometer kilometers kilometre kilometres kms"),
    "cm": ("length", Fraction(1, 100), "centimeter centimeters centimetre centimetres cms"),
    "mm": ("length", Fraction(1, 1000), "millimeter millimeters millimetre millimetres"),
    "nm": ("length", Fraction(1, 10**9), "nanometer nanometers"),
    "in": ("length", _INCH, "inch inches"),
    "ft": ("length", _INCH * 12, "foot feet"),
    "yd": ("length", _INCH * 36, "yard yards yds"),
    "mi": ("length", _INCH * 63360, "mile miles"),
    "g": ("mass", Fraction(1, 1000), "gram grams gm gms"),
    "kg": ("mass", 1, "kilogram kilograms kgs"),
    "mg": ("mass", Fraction(1, 10**6), "milligram milligrams"),
    "lb": ("mass", _POUND, "pound pounds lbs"),
    "oz": ("mass", _POUND / 16, "ounce ounces"),
    "s": ("time", 1, "second seconds sec secs"),
    "ms": ("time", Fraction(1, 1000), "millisecond milliseconds"),
    "min": ("time", 60, "minute minutes mins"),
    "h": ("time", 3600, "hour hours hr hrs"),
    "day": ("time", 86400, "days"),
    "week": ("time", 604800, "weeks"),
    "month": ("month", 1, "months"),
    "year": ("month", 12, "years yr yrs"),
    "L": ("volume", 1, "liter liters litre litres l"),
    "mL": ("volume", Fraction(1, 1000), "milliliter milliliters millilitre millilitres ml"),
    "gal": ("volume", Fraction(3785411784, 10**9), "gallon gallons"),
    "$": ("money", 1, "dollar dollars usd bucks"),
    "cent": ("money", Fraction(1, 100), "cents \u00a2"),
    "euro": ("euro", 1, "euros \u20ac"),
    "yen": ("yen", 1, ""),
    "gbp": ("gbp", 1, "\u00a3"),
    "N": ("force", 1, "newton newtons"),
    "J": ("energy", 1, "joule joules"),
    "kJ": ("energy", 1000, "kilojoule kilojoules"),
    "W": ("power", 1, "watt watts"),
    "Pa": ("pressure", 1, "pascal pascals"),
    "Hz": ("frequency", 1, "hertz"),
    "K": ("temperature", 1, "kelvin kelvins"),
    "degC": ("celsius", 1, "celsius"),
    "degF": ("fahrenheit", 1, "fahrenheit"),
    "V": ("voltage", 1, "volt volts"),
    "mol": ("amount", 1, "mole moles"),
    "deg": ("angle", 1, "degree degrees"),
    "rad": ("radian", 1, "radian radians rads"),
    "%": ("percent", 1, "percent percents percentage pct"),
}
UNITS: dict[str, tuple[str, Fraction | int]] = {}
for _name, (_dimension, _factor, _others) in _BASE.items():
    UNITS[_name] = (_dimension, _factor)
    for _other in _others.split():
        UNITS[_other] = (_dimension, _factor)
_ALIASES = {other: name for name, (_d, _f, others) in _BASE.items() for other in others.split()}
_SPEEDS = {"mph": "mile/hour", "kmh": "km/h", "kph": "km/h", "kmph": "km/h", "fps": "ft/s"}
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
# Bare letters that are units only inside \text{...}: as plain letters they are variables.
LETTER_UNITS = frozenset(["m", "g", "s", "h", "L", "l", "N", "J", "W", "K", "V"])


def canonical_word(word: str) -> str | None:
    """The unit that a word names, or None."""
    if word in UNITS:
        return _ALIASES.get(word, word)
    lowered = word.lower()
    return _ALIASES.get(lowered, lowered) if lowered in UNITS else None


def unit_of(words: str) -> tuple[Dimension, Fraction] | None:
    """Dimension and factor of a unit such as 'cm^2', 'square feet', 'm/s', 'miles per hour'; None for a label."""
    text = words.replace(" per ", "/").replace("/ ", "/").replace(" /", "/")
    text = "/".join(_SPEEDS.get(part, part) for part in text.split("/"))
    powers: dict[str, int] = {}
    factor = Fraction(1)
    for place, part in enumerate(text.split("/")):
        pending = 1
        for word in part.replace("*", " ").split():
            if word.lower() in _POWERS:
                pending = _POWERS[word.lower()]
                continue
            if word in ("squared", "cubed"):
                return None
            name, _, exponent = word.partition("^")
            known = canonical_word(name)
            if known is None:
                return None
            if exponent and not exponent.lstrip("-").isdecimal():
                return None
            power = (int(exponent[:4]) if exponent else pending) * (1 if place == 0 else -1)
            if abs(power) > 9:
                return None
            pending = 1
            dimension, scale = UNITS[known]
            if dimension == "volume":  # a litre is a cubic decimetre
                factor *= (Fraction(scale) / 1000) ** power
                dimension, power = "length", 3 * power
            else:
                factor *= Fraction(scale) ** power
            powers[dimension] = powers.get(dimension, 0) + power
    dimensions = tuple(sorted((name, power) for name, power in powers.items() if power))
    return (dimensions, factor) if dimensions else None
