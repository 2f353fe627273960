"""
Turns the bytes of a text file into text.

A byte order mark and UTF-8 are certain. Everything else is detected with chardet, among the encodings that spreadsheets
and editors write. The result is checked for characters that do not occur in text, and is shown with a sample. If two
encodings give plausible texts, the user chooses.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tunery.data.tables import DecodedText, invalid, printable, warning
from tunery.errors import DataProblem, InvalidArgument, Level, Reading

# UTF-32 comes first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Encodings of Python that are really escapes; some take quadratic time.
_NOT_ENCODINGS = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "mbcs", "oem"})
_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
# If several encodings give the same text, the first is named.
# fmt: off
_DETECTED = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp874",
    "cp932", "gb18030", "big5hkscs", "cp949", "euc_jis_2004", "koi8-r", "koi8-u",
    "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-9", "cp866", "cp437", "cp850", "cp852", "mac-roman",
)
# fmt: on
_RARE = frozenset({"cp866", "cp437", "cp850", "cp852", "mac-roman"})  # used only by DOS and old Macs
_RARITY = 0.85
_RIVAL = 0.9  # a text whose score is this share of the best score is equally plausible
_LEAST_SCORE = 0.005  # two or three characters can fit a language by chance
_MAX_ODD = 0.2  # share of odd characters that a correct text may still have
_SAMPLE_BYTES = 64 * 1024
_SAMPLE_ROWS = 3
_SHOWN_CHARACTERS = 60


def decode(data: bytes, encoding: str | None = None) -> DecodedText:
    """
    Return `data` as text without its byte order marks.

    A given `encoding` wins, then a byte order mark, UTF-8, and detection. Raises DatasetInvalid when the bytes do not
    fit, InvalidArgument for an unknown encoding.
    """
    return _without_marks(_decoded(data, encoding))


def _decoded(data: bytes, encoding: str | None) -> DecodedText:
    if encoding is not None:
        return _decode_as(data, _known(encoding))
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _decode_as(data, name)
    if b"\0" in data and (wide := _wide_encoding(data)) is not None:
        decoded = _decode_as(data, wide)
        return _guessed(decoded.text, wide, "there is no byte order mark", row=None)
    if data.isascii() and re.search(rb"\x1b\$[@B]", data):
        return _guessed(
            _decode_as(data, "iso2022_jp_2").text, "iso2022_jp_2", "the file has ISO 2022 escapes", row=None
        )
    try:
        return DecodedText(data.decode("utf-8", "surrogatepass"), "utf-8")
    except UnicodeDecodeError as error:
        _refuse_broken_utf8(data, error)
        return _detected(data, error.start)


def _without_marks(decoded: DecodedText) -> DecodedText:
    """Remove byte order marks at the beginning, and at the start of lines where another file was appended."""
    text = decoded.text.lstrip("\ufeff")
    joint = text.find("\n\ufeff")
    if joint < 0:
        return replace(decoded, text=text)
    line = text.count("\n", 0, joint + 1) + 1
    message = f"Line {line} begins with a byte order mark: another file was appended there."
    note = warning("joined-files", message)
    return replace(decoded, text=re.sub("\n\ufeff+", "\n", text), problems=(*decoded.problems, note))


def _decode_as(data: bytes, encoding: str) -> DecodedText:
    errors = "surrogatepass" if encoding.startswith("utf-") and encoding != "utf-7" else "strict"
    try:
        return DecodedText(data.decode(encoding, errors), encoding)
    except UnicodeDecodeError as error:
        line, byte = _line_of(data, error.start), data[error.start]
        message = f"not {encoding} (byte 0x{byte:02X}). Name the encoding of the file."
        raise invalid("encoding", message, row=line, option="encoding") from error


def _known(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        b" ".decode(name, "ignore")  # rejects codecs that are not text encodings, such as base64
    except (LookupError, ValueError) as error:
        raise InvalidArgument(f"There is no text encoding named {encoding!r}.") from error
    if name.replace("_", "-") in _NOT_ENCODINGS:
        raise InvalidArgument(f"{encoding!r} cannot be used as the encoding of a file.")
    return name


def _wide_encoding(data: bytes) -> str | None:
    import chardet

    found = chardet.detect(
        data[:_SAMPLE_BYTES], include_encodings=_WIDE, no_match_encoding="utf-16-le", compat_names=False
    )
    return found["encoding"] if found["confidence"] > 0.5 else None


_UTF8_CHARACTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


def _refuse_broken_utf8(data: bytes, error: UnicodeDecodeError) -> None:
    """Raise DatasetInvalid if most characters beyond ASCII are UTF-8: any other encoding would garble them."""
    rest, whole = _UTF8_CHARACTER.subn(b"", data)
    broken = len(rest.translate(None, bytes(range(128))))
    if whole <= broken:
        return
    line = _line_of(data, error.start)
    if error.end == len(data) and error.reason == "unexpected end of data":
        raise invalid("encoding", "the file is cut off in the middle of a character.", row=line)
    message = f"not UTF-8 (byte 0x{data[error.start]:02X}), although the rest is. Correct this line."
    raise invalid("encoding", message, row=line)


@dataclass(frozen=True, slots=True)
class _Candidate:
    encoding: str
    text: str  # of the sample
    score: float


def _detected(data: bytes, first_bad: int) -> DecodedText:
    line = _line_of(data, first_bad)
    why = f"not UTF-8 (byte 0x{data[first_bad]:02X})"
    candidates = _candidates(_sample(data))
    if not candidates and b"\0" in data:
        raise invalid("not-a-table", "This is not a text file. CSV, TSV, XLSX, XLS, ODS, JSONL and JSON can be read.")
    if not candidates:
        message = f"{why} and no other encoding that can be detected. Name the encoding of the file."
        raise invalid("encoding", message, row=line, option="encoding")
    best = candidates[0]
    text = _decode_as(data, best.encoding).text
    rivals = [other for other in candidates[1:] if other.score >= _RIVAL * best.score]
    if not rivals:
        return _guessed(text, best.encoding, why, row=line)
    return DecodedText(text, best.encoding, (_question([best, *rivals[:2]], why, line),), is_guessed=True)


def _sample(data: bytes) -> bytes:
    """Return the lines with characters beyond ASCII; only they can tell encodings apart."""
    lines = (line for line in data.splitlines() if not line.isascii())
    sample = b"\n".join(lines)
    return sample if len(sample) <= _SAMPLE_BYTES else sample[:_SAMPLE_BYTES].rpartition(b"\n")[0]


def _candidates(sample: bytes) -> list[_Candidate]:
    """Return the plausible texts of `sample`, each once, the likeliest first."""
    if (typographic := _typographic(sample)) is not None:
        return [typographic]
    import chardet

    found = chardet.detect_all(sample, ignore_threshold=True, include_encodings=_DETECTED, compat_names=False)
    scores = {one["encoding"]: one["confidence"] for one in found if one["encoding"]}
    texts: dict[str, _Candidate] = {}
    for encoding in filter(scores.__contains__, _DETECTED):
        try:
            text = sample.decode(encoding)
        except UnicodeDecodeError:
            continue
        score = scores[encoding] * (_RARITY if encoding in _RARE else 1)
        if text in texts:
            texts[text] = replace(texts[text], score=max(score, texts[text].score))
        else:
            texts[text] = _Candidate(encoding, text, score)
    odd = {text: _odd_share(text) for text in texts}
    weighed = [replace(one, score=one.score * (1 - odd[text]) ** 2) for text, one in texts.items()]
    plausible = [one for one in weighed if odd[one.text] <= _MAX_ODD and one.score >= _LEAST_SCORE]
    return sorted(plausible, key=lambda one: -one.score)


_TYPOGRAPHY = frozenset("‘’‚“”„‹›«»–—…•·€£¥§©®™°±×÷½¼¾²³µ†‡‰\xa0\xad")
_APOSTROPHE = re.compile(r"(?:(?<!\w)\w{1,2}’(?=\w)|(?<=\w)’(?:s|t|d|m|n|re|ve|ll|em)\b)", re.IGNORECASE)


def _typographic(sample: bytes) -> _Candidate | None:
    """Return the text of a file in ASCII except for curly quotes, dashes and currency, too few for statistics."""
    for encoding in ("cp1252", "iso8859-15", "mac-roman"):
        try:
            text = sample.decode(encoding)
        except UnicodeDecodeError:
            continue
        is_typographic = all(character.isascii() or character in _TYPOGRAPHY for character in set(text))
        is_typographic &= all(text.count(left) == text.count(right) for left, right in ("«»", "‹›"))
        if is_typographic and not _odd_share(_APOSTROPHE.sub("'", text), between_letters="–—\xad"):
            return _Candidate(encoding, text, 1.0)
    return None


_WORD = re.compile(r"[^\s,;|\"]*[^\x00-\x7f\s][^\s,;|\"]*")
_NEVER = re.compile(
    "[\x80-\x9f]|\\w[\u2500-\u259f]|[\u2500-\u259f]\\w"
)  # control characters, and box-drawing characters next to letters
_NO_LETTERS = frozenset("ƒﬁﬂⁿˇ˘˙˚˛˝")  # Python counts some of them as letters
_OTHER_SCRIPTS = frozenset({"CYRILLIC", "GREEK", "HEBREW", "ARABIC", "THAI"})


def _odd_share(text: str, between_letters: str = "’‘´`·–—\xad") -> float:
    """
    Return the share of characters beyond ASCII that are in places where text does not have them, 0 to 1.

    `between_letters` are the symbols that a word may contain.
    """
    if _NEVER.search(text):
        return 1.0
    words = _WORD.findall(text)
    letters = sum(map(str.isalpha, text))
    is_latin = 3 * sum(letter.isascii() and letter.isalpha() for letter in text) > 2 * letters
    odd = sum(sum(_odd_places(word, between_letters)) + _is_foreign(word, is_latin) for word in words)
    return min(1.0, odd / max(1, sum(not character.isascii() for word in words for character in word)))


def _odd_places(word: str, between_letters: str) -> Iterator[bool]:
    """For each character beyond ASCII, yield whether it is odd, such as a symbol inside a word."""
    for before, character, after in zip(" " + word, word, word[1:] + " ", strict=False):
        if character.isascii():
            continue
        category = unicodedata.category(character)
        is_inside = before.isalpha() and (after.isalpha() or category == "Sk")
        is_symbol = category[0] in "SPN" and character not in between_letters
        yield (
            category in ("Co", "Cn")
            or "\u2500" <= character <= "\u259f"
            or (character in "ªº" and not before.isalnum())
            or character in _NO_LETTERS
            or (before.isalpha() and character in "‚„‰†‡¶¿¡")
            or (after.isalpha() and character in "‰†‡€")
            or (is_symbol and is_inside)
            or (category == "Lu" and before.islower())
        )


def _is_foreign(word: str, is_latin: bool) -> bool:
    """
    Return whether a word mixes Latin with another script, or is a single letter of another script in a Latin text.
    """
    scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in word if letter.isalpha()}
    return bool(scripts & _OTHER_SCRIPTS) and ("LATIN" in scripts or (is_latin and len(word) == 1))


def _guessed(text: str, encoding: str, why: str, row: int | None) -> DecodedText:
    shown = _excerpt(next((line for line in text.splitlines() if not line.isascii()), text[:_SHOWN_CHARACTERS]))
    message = f"{why[0].upper() + why[1:] if row is None else why}; read as {encoding}, a guess: {shown!r}. "
    note = warning("guessed-encoding", message + "Name the encoding if this is wrong.", row=row, option="encoding")
    return DecodedText(text, encoding, (note,), is_guessed=True)


def _question(candidates: list[_Candidate], why: str, row: int) -> DataProblem:
    """Return an error with the lines that the candidates read differently."""
    lines = zip(*(one.text.splitlines() for one in candidates), strict=False)
    differing = [[_excerpt(line) for line in versions] for versions in lines if len(set(versions)) > 1][:_SAMPLE_ROWS]
    readings = tuple(
        Reading(one.encoding, tuple((versions[place],) for versions in differing))
        for place, one in enumerate(candidates)
    )
    shown = " or ".join(f"{one.value} ({one.rows[0][0]!r})" for one in readings)
    message = f"{why}; it may be {shown}. Name the encoding of the file."
    return DataProblem("ambiguous-encoding", message, Level.ERROR, row=row, option="encoding", readings=readings)


def _excerpt(line: str) -> str:
    """Return the part of a line with its first character beyond ASCII."""
    place = next((at for at, character in enumerate(line) if not character.isascii()), 0)
    start = max(0, min(place - _SHOWN_CHARACTERS // 2, len(line) - _SHOWN_CHARACTERS))
    return printable(line[start : start + _SHOWN_CHARACTERS].strip())


def _line_of(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1
