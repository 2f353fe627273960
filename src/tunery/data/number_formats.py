"""
Formats numbers the way a spreadsheet does, with the number formats of Open XML and of the old .xls (ECMA-376, 18.8.30
and 18.8.31).

Digits, thousands, decimals, percent, fractions, literal texts, scientific numbers, and English dates and times are
supported.
The separators are those of the format code, `,` and `.`, although spreadsheets show those of the system.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache

GENERAL = "General"
_DATE, _DATE_AND_TIME = "[$-x-sysdate]m/d/yyyy", "[$-x-sysdate]m/d/yyyy h:mm"
_EAST_ASIAN_DATE = "[$-404]e/m/d"  # these differ by language
BUILT_IN_FORMATS = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00",
    5: "$#,##0_);($#,##0)", 6: "$#,##0_);[Red]($#,##0)", 7: "$#,##0.00_);($#,##0.00)",
    8: "$#,##0.00_);[Red]($#,##0.00)",
    9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?", 13: "# ??/??",
    14: _DATE, 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm",
    21: "h:mm:ss", 22: _DATE_AND_TIME,
    37: "#,##0_);(#,##0)", 38: "#,##0_);[Red](#,##0)", 39: "#,##0.00_);(#,##0.00)", 40: "#,##0.00_);[Red](#,##0.00)",
    41: '_(* #,##0_);_(* (#,##0);_(* "-"_);_(@_)', 42: '_($* #,##0_);_($* (#,##0);_($* "-"_);_(@_)',
    43: '_(* #,##0.00_);_(* (#,##0.00);_(* "-"??_);_(@_)', 44: '_($* #,##0.00_);_($* (#,##0.00);_($* "-"??_);_(@_)',
    45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0", 49: "@",
    **dict.fromkeys([*range(27, 37), *range(50, 59)], _EAST_ASIAN_DATE),
}  # fmt: skip

_KEPT_DIGITS = 15  # digits of a number in a spreadsheet; 0.1 + 0.2 is stored as 0.30000000000000004
_GENERAL_CHARACTERS = 11  # the most digits that the format General shows
_WHOLE_BELOW = 1e21
_MAX_CODE_CHARACTERS = 255
_OF_SYSTEM = re.compile(r"\[\$-(?:F|x-sys)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Shown:
    """The text of a number; `doubt` says why a spreadsheet may show a different text."""

    text: str
    doubt: str | None = None


def show(value: float, code: str, *, is_1904: bool = False) -> Shown:
    """
    Return a stored number in its format, or as it is stored if the format is not supported.

    `code` is the format code, as in `0.00%`; dates are days since 1900, or 1904 when `is_1904`.
    """
    if code in (GENERAL, "@", ""):
        return _general(value)
    text = _followed(value, code, is_1904)
    if text is None:
        return Shown(_stored(value, code, is_1904), f"the number format {code!r} is not supported")
    if _OF_SYSTEM.search(code):
        return Shown(text, "the sheet shows this date or time in the system's format")
    return Shown(text)


def is_date_format(code: str) -> bool:
    """Return whether the format shows dates or times, even if it cannot be applied."""
    plain = re.sub(r'"[^"]*"?|\\.|_.|\*.|\[(?![hms]+\])[^]]*\]|General|E[+-]', "", code, flags=re.IGNORECASE)
    return re.search("[ymdhs]", plain, re.IGNORECASE) is not None


def serial_number(moment: datetime, *, is_1904: bool = False) -> float:
    """Return the number stored for a moment."""
    return (moment - _DAY_ZERO) / _DAY - (_DAYS_TO_1904 if is_1904 else 0)


def iso_text(moment: datetime) -> str:
    """Return a moment in ISO 8601 with a space, without the time if it is midnight."""
    text = moment.isoformat(" ", "seconds")
    return text.removesuffix(" 00:00:00")


def _general(value: float) -> Shown:
    digits = f"{value:.{_KEPT_DIGITS}G}"
    if value.is_integer() and abs(value) < _WHOLE_BELOW:
        text = str(int(Decimal(digits)))
        is_longer = len(text.lstrip("-")) > _KEPT_DIGITS
        return Shown(text, "spreadsheets keep only 15 digits of a number" if is_longer else None)
    is_long = len(digits.lstrip("-")) > _GENERAL_CHARACTERS
    return Shown(digits, "the sheet may show fewer digits of this number" if is_long else None)


def _stored(value: float, code: str, is_1904: bool) -> str:
    moment = _moment(value, is_1904) if is_date_format(code) else None
    return _general(value).text if moment is None else iso_text(moment)


_Token = tuple[str, str]

_TOKENS = re.compile(
    r'"(?P<quoted>[^"]*)"?|\\(?P<escaped>.)|(?P<blank>_.)|(?P<fill>\*.)|(?P<end>;)|(?P<general>General|@)'
    r"|\[\$(?P<currency>[^\]-]*)(?:-(?P<locale>[^\]]+))?\]"
    r"|\[(?P<elapsed>h+|m+|s+)\]|\[(?P<condition>(?:<>|[<>]=?|=)-?\d+(?:\.\d+)?)\]"
    r"|\[(?P<colour>Black|Blue|Cyan|Green|Magenta|Red|White|Yellow|Color ?\d+)\]"
    r"|(?P<noon>AM/PM|A/P)|(?P<date>y+|m+|d+|h+|s+(?:\.0+)?)|(?P<exponent>E[+-])"
    r"|(?P<digit>[0#?])|(?P<point>\.)|(?P<comma>,)|(?P<percent>%)|(?P<sign>[^A-Za-z\[\]])",
    re.IGNORECASE | re.DOTALL,
)
_DATE_KINDS = frozenset({"date", "elapsed", "noon"})
_LITERALS = frozenset({"quoted", "escaped", "blank", "currency", "percent", "sign"})
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": float.__lt__, ">": float.__gt__, "<=": float.__le__, ">=": float.__ge__, "=": float.__eq__, "<>": float.__ne__,
}  # fmt: skip

_Section = Callable[[float, bool], str | None]  # formats a number without its sign; True: days since 1904


@dataclass(frozen=True, slots=True)
class _Format:
    """A format code that can be applied, ready for any number of values."""

    sections: tuple[_Section, ...]
    conditions: tuple[str, ...]  # "" if a section has none

    def section_for(self, value: float) -> tuple[_Section | None, bool]:
        """Return the section for a value, and whether its text needs a minus sign."""
        if any(self.conditions):
            return (None if value < 0 else self._by_condition(value)), False
        if value < 0 and len(self.sections) > 1:
            return self.sections[1], False
        if value == 0 and len(self.sections) > 2:
            return self.sections[2], False
        return self.sections[0], value < 0

    def _by_condition(self, value: float) -> _Section | None:
        for section, condition in zip(self.sections[:3], self.conditions, strict=False):
            sign = condition.rstrip("-.0123456789")
            if not condition or _COMPARISONS[sign](value, float(condition[len(sign) :])):
                return section
        return None


def _followed(value: float, code: str, is_1904: bool) -> str | None:
    found = _format(code) if len(code) <= _MAX_CODE_CHARACTERS and abs(value) < _WHOLE_BELOW else None
    section, is_negative = (None, False) if found is None else found.section_for(value)
    try:
        text = None if section is None else section(value, is_1904)
    except InvalidOperation:  # more digits than Decimal can keep
        return None
    return f"-{text}" if text and is_negative and re.search("[1-9]", text) else text


@lru_cache(maxsize=1024)
def _format(code: str) -> _Format | None:
    """Return the format, or None if part of it cannot be applied."""
    split = _split(code)
    if split is None:
        return None
    if len(split) > 1 and ("general", "@") in split[-1]:
        split = split[:-1]  # for texts
    conditions = tuple(next((text for kind, text in tokens if kind == "condition"), "") for tokens in split)
    sections = tuple(map(_section, split[:3]))
    followed = tuple(section for section in sections if section is not None)
    return _Format(followed, conditions) if len(followed) == len(sections) else None


def _split(code: str) -> list[list[_Token]] | None:
    """Return the tokens of each section."""
    sections: list[list[_Token]] = [[]]
    at = 0
    while at < len(code):
        match = _TOKENS.match(code, at)
        if match is None:
            return None
        at = match.end()
        kind = match.lastgroup or ""
        if match["currency"] is not None:
            if not _is_western(match["locale"] or "0"):
                return None
            sections[-1] += [("currency", match["currency"]), ("locale", match["locale"] or "0")]
        elif kind == "end":
            sections.append([])
        elif kind not in ("colour", "fill"):
            sections[-1].append((kind, " " if kind == "blank" else match[kind]))
    return sections


def _is_western(locale: str) -> bool:
    """Return whether a locale uses the usual calendar and digits, which are the two bytes above the language."""
    number = _lcid(locale)
    return number >> 24 in (0, 1) and number >> 16 & 0xFF in (0, 1)


def _lcid(locale: str) -> int:
    """Return the number of a locale such as 407 or de-DE, or 0x0A for any name that is not English."""
    try:
        return int(locale, 16)
    except ValueError:
        return _ENGLISH if locale.lower().startswith(("en", "x-sys")) else _OTHER


def _section(tokens: list[_Token]) -> _Section | None:
    kinds = {kind for kind, _ in tokens}
    if kinds & _DATE_KINDS:
        return _date(tokens)
    tokens = [token for token in tokens if token[0] not in ("locale", "condition")]
    if "general" in kinds:
        texts = [None if kind == "general" else text for kind, text in tokens]
        return lambda value, _: "".join(_general(abs(value)).text if text is None else text for text in texts).strip()
    if "digit" in kinds:
        return _number(tokens)
    text = _literal(tokens)
    return None if text is None else lambda _value, _is_1904: text.strip()


def _number(tokens: list[_Token]) -> _Section | None:
    """Return the section of a number: literal texts around digits."""
    places = [at for at, (kind, _) in enumerate(tokens) if kind in ("digit", "point")]
    end = places[-1] + 1
    while end < len(tokens) and tokens[end][0] == "comma":
        end += 1
    before, body, after = _literal(tokens[: places[0]]), tokens[places[0] : end], _literal(tokens[end:])
    factor = Decimal(100) ** sum(kind == "percent" for kind, _ in tokens)
    signs = {text for kind, text in body if kind in ("exponent", "sign")}
    shown = (
        _scientific(body) if signs & {"E+", "E-", "e+", "e-"} else _fraction(body) if "/" in signs else _decimal(body)
    )
    if before is None or after is None or shown is None or ("sign", "/") in tokens[end:]:
        return None
    return lambda value, _: f"{before}{shown(Decimal(f'{abs(value):.{_KEPT_DIGITS}G}') * factor)}{after}".strip()


def _literal(tokens: list[_Token]) -> str | None:
    if any(kind not in _LITERALS and kind != "comma" for kind, _ in tokens):
        return None
    return "".join(text for _, text in tokens)


def _decimal(body: list[_Token]) -> Callable[[Decimal], str] | None:
    """Return a function that formats a number with the digits, commas and point of `body`."""
    scale = Decimal(1)
    while body[-1][0] == "comma":  # each trailing comma divides by a thousand
        body, scale = body[:-1], scale / 1000
    kinds = [kind for kind, _ in body]
    has_point = "point" in kinds
    at = kinds.index("point") if has_point else len(kinds)
    whole, fraction = body[:at], [text for _, text in body[at + 1 :]]
    while whole and whole[-1][0] == "comma":
        whole, scale = whole[:-1], scale / 1000
    is_followed = (
        all(kind in _LITERALS or kind in ("digit", "comma") for kind, _ in whole) and ("sign", "/") not in whole
    )
    if not is_followed or any(kind != "digit" for kind in kinds[at + 1 :]):
        return None
    unit = Decimal(1).scaleb(-len(fraction))

    def shown(amount: Decimal) -> str:
        digits, _, decimals = f"{(amount * scale).quantize(unit, ROUND_HALF_UP):f}".partition(".")
        text = _whole(digits.lstrip("0"), whole)
        return f"{text}.{_decimals(decimals, fraction)}" if has_point else text

    return shown


def _fraction(body: list[_Token]) -> Callable[[Decimal], str] | None:
    """Return a function that formats a number like # ?/?, with up to three digits in the denominator."""
    match = re.fullmatch(r"[#0] +\?{1,3}/(\?{1,3})", "".join(text for _, text in body))
    if match is None:
        return None
    largest = 10 ** len(match[1]) - 1

    def shown(amount: Decimal) -> str:
        whole, rest = divmod(Fraction(amount).limit_denominator(largest), 1)
        return f"{whole} {rest}" if whole and rest else str(rest or whole)

    return shown


def _whole(digits: str, places: list[_Token]) -> str:
    """Fill the placeholders from the right; remaining digits go before the first one."""
    has_thousands = any(kind == "comma" for kind, _ in places)
    left = sum(kind == "digit" for kind, _ in places)
    shown: list[str] = []
    for kind, text in reversed(places):
        if kind in _LITERALS:
            shown.append(text)
        elif kind == "digit":
            left -= 1
            taken = digits[-1:] if left else digits
            digits = digits[: -len(taken)] if taken else ""
            shown.append(taken or {"0": "0", "?": " "}.get(text, ""))
    text = "".join(reversed(shown)) or digits
    return re.sub(r"(?<=\d)(?=(?:\d{3})+$)", ",", text) if has_thousands else text


def _decimals(digits: str, places: list[str]) -> str:
    end = len(places)
    while end and places[end - 1] != "0" and digits[end - 1] == "0":
        end -= 1
    return digits[:end]


def _scientific(body: list[_Token]) -> Callable[[Decimal], str] | None:
    """Return a function that formats a number like 0.00E+00; only one digit before the point is supported."""
    match = re.fullmatch(r"0(?:\.(0*))?E([+-])(0+)", "".join(text for _, text in body), re.IGNORECASE)
    if match is None:
        return None
    decimals, plus, places = len(match[1] or ""), match[2].strip("-"), len(match[3])

    def shown(amount: Decimal) -> str:
        mantissa, _, exponent = f"{float(amount):.{decimals}E}".partition("E")
        return f"{mantissa}E{exponent[0].replace('+', plus)}{exponent[1:].lstrip('0').rjust(places, '0')}"

    return shown


_DAY_ZERO, _DAY = datetime(1899, 12, 30), timedelta(days=1)
_DAYS_TO_1904 = 1462
_LAST_DAY = 2_958_466  # 1 January 10000
_FIRST_TRUE_DAY = 61  # 1 March 1900: spreadsheets count a 29 February 1900, which did not exist
# fmt: off
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)
# fmt: on
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NAMED = re.compile("mmm+|ddd+", re.IGNORECASE)
_ENGLISH, _OTHER, _SYSTEM = 0x09, 0x0A, (0x000, 0x400, 0x800)


def _moment(value: float, is_1904: bool) -> datetime | None:
    """Return the day and time of a stored number, rounded to milliseconds; None for a day that does not exist."""
    days = value + _DAYS_TO_1904 if is_1904 else value
    if not 0 <= days < _LAST_DAY or int(days) == _FIRST_TRUE_DAY - 1:
        return None
    if days < _FIRST_TRUE_DAY:
        days += 1
    return _DAY_ZERO + timedelta(milliseconds=round(days * 86_400_000))


def _date(tokens: list[_Token]) -> _Section | None:
    """Return the section of a date or time."""
    parts = _with_minutes([token for token in tokens if token[0] not in ("condition", "locale")])
    decimals = max((len(text.partition(".")[2]) for kind, text in parts if kind == "date"), default=0)
    followed = _LITERALS | _DATE_KINDS | {"comma", "point"}
    if decimals > 3 or any(kind not in followed for kind, _ in parts) or not _names_are_english(tokens):
        return None
    has_day = any(kind == "date" and text[0] in "yMd" for kind, text in parts)
    has_clock = any(kind == "elapsed" or (kind == "date" and text[0] in "hms") for kind, text in parts)
    is_noon = any(kind == "noon" for kind, _ in parts)

    def shown(value: float, is_1904: bool) -> str | None:
        seconds = round(value * 86_400, decimals if has_clock else 3)
        moment = _moment(seconds / 86_400, is_1904)
        if value < 0 or moment is None or (has_day and int(value) == 0 and not is_1904):  # there is no day 0
            return None
        return "".join(_date_part(kind, text, moment, seconds, is_noon) for kind, text in parts).strip()

    return shown


def _names_are_english(tokens: list[_Token]) -> bool:
    if not any(kind == "date" and _NAMED.fullmatch(text) for kind, text in tokens):
        return True
    languages = [_lcid(text) & 0xFFFF for kind, text in tokens if kind == "locale"]
    return all(found & 0x3FF == _ENGLISH or found in _SYSTEM or found >> 12 == 0xF for found in languages)


def _with_minutes(tokens: list[_Token]) -> list[_Token]:
    """Return the tokens in lower case, with months as M; an m after hours or before seconds means minutes."""
    found = [(kind, text.lower() if kind in ("date", "elapsed") else text) for kind, text in tokens]
    clock = [at for at, (kind, _) in enumerate(found) if kind in ("date", "elapsed")]
    for place, at in enumerate(clock):
        kind, text = found[at]
        before = found[clock[place - 1]][1][0] if place else ""
        after = found[clock[place + 1]][1][0] if place + 1 < len(clock) else ""
        if kind == "date" and text[0] == "m" and not (len(text) < 3 and (before == "h" or after == "s")):
            found[at] = (kind, text.upper())
    return found


def _date_part(kind: str, text: str, moment: datetime, seconds: float, is_noon: bool) -> str:
    """Return the text of one token of a date or time."""
    if kind == "elapsed":
        return str(int(seconds // {"h": 3_600, "m": 60, "s": 1}[text[0]])).rjust(len(text), "0")
    if kind == "noon":
        half = "AM" if moment.hour < 12 else "PM"
        return half if len(text) > 3 else half[0]
    if kind != "date":
        return text
    letters, _, decimals = text.partition(".")
    if letters[0] == "y":
        return f"{moment.year:04}" if len(letters) > 2 else f"{moment.year % 100:02}"
    if letters[0] in "Md" and len(letters) > 2:
        return _name(letters, moment)
    hour = (moment.hour + 11) % 12 + 1 if is_noon else moment.hour
    numbers = {"M": moment.month, "d": moment.day, "h": hour, "m": moment.minute, "s": moment.second}
    number = str(numbers[letters[0]]).rjust(min(len(letters), 2), "0")
    return number + f".{moment.microsecond // 1000:03}"[: len(decimals) + 1] if decimals else number


def _name(letters: str, moment: datetime) -> str:
    name = _MONTHS[moment.month - 1] if letters[0] == "M" else _WEEKDAYS[moment.weekday()]
    if len(letters) == 5 and letters[0] == "M":
        return name[0]
    return name[:3] if len(letters) == 3 else name
