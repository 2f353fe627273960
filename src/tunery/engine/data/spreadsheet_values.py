"""
Values of spreadsheet cells as the text that a spreadsheet shows: 7 and not 7.0, TRUE, 2024-01-31.

It knows nothing of files and sheets.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from tunery.engine.data.tables import BadCell, Cell

Value = int | float | str | bool | date | time | datetime | timedelta | BadCell | None

_SHOWN_DIGITS = 15  # what spreadsheets show and keep of a number; 0.1 + 0.2 is stored as 0.30000000000000004
_WHOLE_NUMBERS_BELOW = 1e15


def cell_of(value: Value) -> Cell:
    """Return the text of a value; an empty cell is None, a cell without a usable value stays what it is."""
    if value is None or isinstance(value, BadCell):
        return value
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return value.isoformat() if isinstance(value, (date, time)) else _duration(value)


def is_shown_differently(value: Value) -> bool:
    """Whether a spreadsheet may show the value in another form: fractions, dates and times have formats."""
    if isinstance(value, float):
        return not value.is_integer()
    return isinstance(value, (date, time, timedelta))


def _number(value: float) -> str:
    if isinstance(value, int) or (value.is_integer() and abs(value) < _WHOLE_NUMBERS_BELOW):
        return str(int(value))
    return f"{value:.{_SHOWN_DIGITS}g}"


def _duration(value: timedelta) -> str:
    """Hours may go beyond 24: 30:00:00."""
    minutes, seconds = divmod(round(value.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
