"""Numbers as a spreadsheet shows them."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.data.number_formats import BUILT_IN_FORMATS, GENERAL, is_date_format, serial_number, show

# As LibreOffice shows them; Excel's are the point after a whole number and the dates before 1 March 1900.
# fmt: off
SHOWN = [
    (2494, "00000", "02494"), (301234567, '"0"#', "0301234567"), (123456789, "000-00-0000", "123-45-6789"),
    (7, "000-00-0000", "000-00-0007"), (12, "???", "12"),
    (5551234567, r"[<=9999999]###\-####;\(###\)\ ###\-####", "(555) 123-4567"),
    (5551234, r"[<=9999999]###\-####;\(###\)\ ###\-####", "555-1234"),
    (0.25, "0%", "25%"), (1, "0%", "100%"), (0.1234, "0.00%", "12.34%"), (0.5, "#%", "50%"),
    (1234.5, '#,##0.00 "EUR"', "1,234.50 EUR"), (20, '#,##0.00 "EUR"', "20.00 EUR"),
    (1234.5, r"#,##0.00\ [$€-407]", "1,234.50 €"), (1234.5, "[$$-409]#,##0.00", "$1,234.50"),
    (-1234.5, r"#,##0.00\ [$€-407];[Red]\-#,##0.00\ [$€-407]", "-1,234.50 €"),
    (1234.5, BUILT_IN_FORMATS[44], "$1,234.50"), (-1234.5, BUILT_IN_FORMATS[44], "$(1,234.50)"),
    (0, BUILT_IN_FORMATS[44], "$-"), (-1234, BUILT_IN_FORMATS[38], "(1,234)"),
    (1234567.891, "#,##0.00", "1,234,567.89"), (1234567, "#,##0,", "1,235"), (1234567, '0.0,,"M"', "1.2M"),
    (7, "0,000", "0,007"), (0.5, "#.##", ".5"), (5, "0.#", "5."), (5, "0.0#", "5.0"), (1.005, "0.00", "1.01"),
    (2.5, "0", "3"), (-0.001, "0.00", "0.00"), (-7, '0" kg"', "-7 kg"), (7, 'General" kg"', "7 kg"), (3, ";;;", ""),
    (0, '"Yes";"Yes";"No"', "No"), (7, r"0.00_ ;[Red]-0.00\ ", "7.00"), (5, '"a"0"b"0"c"', "a0b5c"), (7, "@", "7"),
    (0.5, "# ?/?", "1/2"), (3.14159, "# ??/??", "3 14/99"), (2, "# ?/?", "2"), (0, "# ?/?", "0"),
    (12345, "0.00E+00", "1.23E+04"), (0.00012, "0.00E+00", "1.20E-04"),
    (45000, "dd.mm.yyyy", "15.03.2023"), (45000, "yyyy-mm-dd", "2023-03-15"), (45000, "d-mmm-yy", "15-Mar-23"),
    (45000.75, "m/d/yyyy h:mm AM/PM", "3/15/2023 6:00 PM"), (45000, "yyyy/mm/dd;@", "2023/03/15"),
    (45000, "[$-409]dddd, mmmm d, yyyy", "Wednesday, March 15, 2023"), (45000, "[$-407]d.m.yyyy", "15.3.2023"),
    (45000, "[$-en-US]d-mmm-yy;@", "15-Mar-23"), (1234.5, "#,##0.00 [$€-de-DE]", "1,234.50 €"),
    (45000, 'yyyy"年"m"月"d"日"', "2023年3月15日"), (45000, "[$-1010409]m/d/yyyy;@", "3/15/2023"),
    (1, "yyyy-mm-dd", "1900-01-01"), (59, "yyyy-mm-dd", "1900-02-28"), (61, "yyyy-mm-dd", "1900-03-01"),
    (36526.999999, "yyyy-mm-dd", "2000-01-01"), (0.0104166666666667, "hh:mm", "00:15"), (1.5, "[h]:mm:ss", "36:00:00"),
    (0.5 / 1440, "mm:ss.0", "00:30.0"), (45000.5, "mmmmm", "M"), (45000, "ddd", "Wed"),
]
NOT_FOLLOWED = [
    (0.5, "# ?/8", "0.5"), (12, "##0.0E+0", "12"), (1e300, "0.00", "1E+300"), (-3, "[<0]0;0", "-3"),
    (7, "0" * 256, "7"),
    (45000, "[$-407]d. mmmm yyyy", "2023-03-15"), (45000, "[$-fr-FR]d mmmm", "2023-03-15"),
    (45000.5, "[$-1070000]d/m/yyyy", "2023-03-15 12:00:00"),
    (45000, BUILT_IN_FORMATS[27], "2023-03-15"), (60, "yyyy-mm-dd", "60"), (-5, "yyyy-mm-dd", "-5"),
    (1e9, "yyyy-mm-dd", "1000000000"), (7, "0;;[Nonsense]0", "7"), (7, "[<1.2.3]0;0", "7"),
]
# fmt: on


@pytest.mark.parametrize(("value", "code", "text"), SHOWN)
def test_formats_are_followed(value: float, code: str, text: str) -> None:
    """The text is the one in the cell, and nothing is doubtful about it."""
    shown = show(float(value), code)

    assert (shown.text, shown.doubt) == (text, None)


@pytest.mark.parametrize(("value", "code", "text"), NOT_FOLLOWED)
def test_other_formats_are_named(value: float, code: str, text: str) -> None:
    """The stored number comes, or the date in ISO 8601."""
    shown = show(float(value), code)

    assert (shown.text, shown.doubt) == (text, f"the number format {code!r} is not supported")


@pytest.mark.parametrize(
    "code", [BUILT_IN_FORMATS[14], BUILT_IN_FORMATS[22], r"[$-F800]dddd\, mmmm dd\, yyyy", "[$-x-systime]h:mm:ss AM/PM"]
)
def test_dates_of_the_system_are_doubtful(code: str) -> None:
    """These look different on each computer."""
    assert "in the system's format" in (show(45000.0, code).doubt or "")


@pytest.mark.parametrize(
    ("value", "text", "is_doubtful"),
    [
        (0.1 + 0.2, "0.3", False),
        (1 / 3, "0.333333333333333", True),
        (7.000000000000001, "7", False),
        (123456789012345, "123456789012345", False),
        (4111111111111111, "4111111111111110", True),
        (1e-05, "1E-05", False),
        (-0.0, "0", False),
    ],
)
def test_numbers_without_a_format(value: float, text: str, is_doubtful: bool) -> None:
    """They have 15 digits; longer numbers and longer fractions are doubtful."""
    shown = show(float(value), GENERAL)

    assert (shown.text, shown.doubt is not None) == (text, is_doubtful)


def test_days_since_1904() -> None:
    """Workbooks from old Macs count from another day; times are the same."""
    assert show(0.0, "yyyy-mm-dd", is_1904=True).text == "1904-01-01"
    assert show(1.25, "[h]:mm", is_1904=True).text == "30:00"
    assert serial_number(dt.datetime(1904, 1, 2, 12), is_1904=True) == 1.5


def test_dates_are_told_from_numbers() -> None:
    """By letters that are neither quoted nor in brackets."""
    dates = ["yyyy", "[h]", BUILT_IN_FORMATS[27], "mm:ss"]
    numbers = ["0.00E+00", "[Red]0", '0" days"', r"0\h", "General"]

    assert [is_date_format(code) for code in dates + numbers] == [True] * 4 + [False] * 5


@given(st.floats(), st.text('0#?.,%eE+-/\\"[]$;:@ ymdhsAP*_<=1€GeneralRd', max_size=20))
def test_any_code_gives_a_text(value: float, code: str) -> None:
    """Whatever a workbook says."""
    assert isinstance(show(value, code).text, str)
