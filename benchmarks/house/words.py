"""How is a figure written for a reader? Its name ends with its unit."""

from __future__ import annotations

_UNITS = {
    "per_s": "/s",
    "s": "s",
    "ms": "ms",
    "us": "µs",
    "ns": "ns",
    "kib": "KiB",
    "mib": "MiB",
    "mib_per_s": "MiB/s",
    "bytes": "bytes",
    "percent": "%",
    "busy": "",
}
_DIGITS = 3


def number(value: float) -> str:
    """Write a number with three digits that count.

    >>> number(12345.6), number(12.345), number(0.00123)
    ('12,346', '12.3', '0.00123')
    """
    if abs(value) >= 10 ** (_DIGITS - 1):
        return f"{value:,.0f}"
    return f"{value:.{_DIGITS}g}"


def split_unit(name: str) -> tuple[str, str]:
    """Return a figure's name in words, and its unit.

    >>> split_unit("p99_ms"), split_unit("requests_per_s"), split_unit("kib_per_connection")
    (('p99', 'ms'), ('requests', '/s'), ('kib per connection', ''))
    """
    name = name.replace("p999", "p99.9")
    for suffix in sorted(_UNITS, key=len, reverse=True):
        if name.endswith(f"_{suffix}") and _UNITS[suffix]:
            return name[: -len(suffix) - 1].replace("_", " "), _UNITS[suffix]
    return name.replace("_", " "), ""


def heading(name: str) -> str:
    """Return what stands over a column of the figure."""
    words, unit = split_unit(name)
    if unit.startswith("/"):
        return words + unit
    return f"{words}, {unit}" if unit else words


def figure_text(name: str, value: float) -> str:
    """Write a figure in a line of text."""
    words, unit = split_unit(name)
    if unit.startswith("/"):
        return f"{number(value)} {words}{unit}"
    return f"{words} {number(value)}{' ' * bool(unit)}{unit}"
