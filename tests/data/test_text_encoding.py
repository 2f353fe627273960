"""Bytes to text: marks, guesses, and encodings that the caller names."""

from __future__ import annotations

import codecs
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunery.data.dataset import Dataset, preview
from tunery.data.encodings import decode
from tunery.errors import DatasetInvalid, InvalidArgument, Level

CASES = Path(__file__).parents[1] / "fixtures" / "cases"
TEXT = "text,label\nGrüße,hallo\n日本,x\n"


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_marks_are_certain(mark: bytes, encoding: str) -> None:
    """UTF-8 with and without a mark, UTF-16 and UTF-32 with one are read without a warning."""
    decoded = decode(mark + TEXT.encode(encoding))

    assert (decoded.text, decoded.encoding, decoded.problems) == (TEXT, encoding, ())


def test_another_encoding_is_a_guess_that_is_said() -> None:
    """Latin-1 bytes are read as Windows-1252 with a warning that names the line."""
    decoded = decode("text,label\na,b\nGrüße,€\n".encode("cp1252"))

    assert decoded.text == "text,label\na,b\nGrüße,€\n"
    assert decoded.is_guessed
    assert str(decoded.problems[0]).startswith("Row 3: not UTF-8 (byte 0xFC); read as cp1252, a guess")


@pytest.mark.parametrize(
    ("encoding", "rows"),
    [
        ("cp1250", "Paczka nie przyszła,dostawa\nPobrano opłatę dwa razy,płatność\nKurier nie zadzwonił,błąd\n"),
        ("cp1251", "Посылка не пришла,доставка\nСписали деньги дважды,счёт\n"),
        ("cp1252", "Où est ma commande,livraison\nJ'ai été débité deux fois,paiement\n"),
        ("cp1253", "Το δέμα μου δεν έφτασε,παράδοση\nΧρεώθηκα δύο φορές,πληρωμή\n"),
        ("cp1254", "İki kez ücret alındı,ödeme\nUygulama açılmıyor,arıza\nSiparişim nerede,teslimat\n"),
        ("cp1255", "החבילה לא הגיעה,משלוח\nחויבתי פעמיים,תשלום\n"),
        ("cp1256", "لم يصل الطرد,توصيل\nتم خصم المبلغ مرتين,دفع\n"),
        ("cp1257", "Mano siuntinys neatėjo,pristatymas\nAtsiųskite sąskaitą dar kartą,mokėjimas\n"),
        ("koi8-r", "Посылка не пришла,доставка\nСписали деньги дважды,счёт\n"),
        ("cp932", "荷物がまだ届きません,配送\nアプリが開きません,障害\n"),
        ("euc_jp", "荷物がまだ届きません,配送\nアプリが開きません,障害\n"),
        ("iso2022_jp", "荷物がまだ届きません,配送\nアプリが開きません,障害\n"),
        ("gb18030", "快递为什么还没到,物流\n发票开错了怎么办,账单\n"),
        ("big5", "包裹為什麼還沒到,物流\n發票開錯了怎麼辦,帳單\n"),
        ("cp949", "택배가 아직 안 왔어요,배송\n두 번 결제되었습니다,결제\n"),
        ("mac_roman", "Die App lässt sich nicht öffnen,Störung\nDer Bote hat nicht geläutet,Lieferung\n"),
        ("utf-16-le", "快递为什么还没到,物流\n发票开错了怎么办,账单\n"),
    ],
)
def test_short_files_in_old_encodings_are_recognised(encoding: str, rows: str) -> None:
    """Two or three rows are enough; the warning shows one of them as it was read."""
    text = f"text,label\n{rows}"

    decoded = decode(text.encode(encoding))

    assert (decoded.text, decoded.is_guessed) == (text, True)
    assert rows.split("\n")[0] in decoded.problems[0].message
    assert decoded.problems[0].option == "encoding"


@pytest.mark.parametrize(
    ("name", "encoding", "row"),
    [
        ("cp1251.csv", "cp1251", "Посылка не пришла;доставка"),
        ("gbk-that-fits-cp1252.csv", "gb18030", "快递什么时候能到,物流"),
        ("wps-gbk.csv", "gb18030", "快递什么时候能到,物流"),
        ("shift-jis.csv", "cp932", "荷物が届きません,配送"),
        ("utf16-no-mark.csv", "utf-16-le", "快递什么时候能到,物流"),
    ],
)
def test_files_that_fit_windows_1252_by_accident(name: str, encoding: str, row: str) -> None:
    """Cyrillic and East Asian bytes are never offered as Western letters."""
    decoded = decode((CASES / "11-encodings" / name).read_bytes())

    assert decoded.encoding == encoding
    assert row in decoded.text.splitlines()


@pytest.mark.parametrize("text", ["it’s late,b\n", "“hi” – you…,b\n", "it costs £5 or €6,b\n", "• one,b\n", "5 °C,b\n"])
@pytest.mark.parametrize("encoding", ["cp1252", "mac_roman"])
def test_curly_quotes_and_currency_alone_are_recognised(text: str, encoding: str) -> None:
    """English has too few characters beyond ASCII for statistics; only quotes, dashes and signs are likely."""
    if encoding == "mac_roman" and text[0] in "5•":
        return  # "¡" and "¥" in Windows-1252
    assert decode(text.encode(encoding)).text == text


def test_two_plausible_texts_are_asked() -> None:
    """Czech in ISO 8859-2 reads as other Czech letters in Windows-1250: an error with both, and no text is taken."""
    data = "text,label\nBalík nepřišel,doručení\nPošlete fakturu ještě jednou,platba\n".encode("iso8859-2")

    (problem,) = decode(data).problems

    assert (problem.kind, problem.level, problem.option) == ("ambiguous-encoding", Level.ERROR, "encoding")
    assert [reading.value for reading in problem.readings] == ["iso8859-2", "cp1250"]
    assert [reading.rows[0] for reading in problem.readings] == [
        ("Balík nepřišel,doručení",),
        ("Balík nepřiąel,doručení",),
    ]
    assert decode(data, "iso8859-2").problems == ()


def test_an_ambiguous_file_is_shown_and_not_read(tmp_path: Path) -> None:
    """The preview has the question and both readings; nothing can be tuned before it is answered."""
    path = tmp_path / "czech.csv"
    path.write_bytes("text,label\nBalík nepřišel,doručení\nPošlete fakturu,platba\n".encode("iso8859-2"))

    assert [question.option for question in preview(path).questions] == ["encoding"]
    with pytest.raises(DatasetInvalid, match=r"it may be iso8859-2 .* or cp1250 .*\(encoding=\)"):
        Dataset.read(path)
    assert len(Dataset.read(path, encoding="iso8859-2")) == 2


def test_the_question_stays_when_its_row_is_skipped(tmp_path: Path) -> None:
    """A row is named as evidence only; leaving it out does not answer the question."""
    path = tmp_path / "czech.csv"
    path.write_bytes("text,label\nBalík nepřišel,doručení\nPošlete fakturu,platba\n".encode("iso8859-2"))

    (question,) = preview(path, skip_rows=[2]).questions

    assert not question.is_skippable


def test_one_wrong_line_in_a_utf8_file_is_named() -> None:
    """A pasted line in another encoding does not make the rest of the file be read in it."""
    good = "text,label\nGrüße,a\nTschüs,b\n".encode()

    with pytest.raises(DatasetInvalid, match=r"Row 4: not UTF-8 \(byte 0xFC\), although the rest is"):
        decode(good + b"gr\xfcn,c\n")


def test_a_file_cut_inside_a_character_says_so() -> None:
    """The last bytes are half a character."""
    with pytest.raises(DatasetInvalid, match="cut off in the middle of a character"):
        decode("text,label\nGrüße,a\nTschüs,ü".encode()[:-1])


def test_several_marks_are_none() -> None:
    """Two marks at the beginning are taken away; a mark at the beginning of a later line names the line."""
    mark = codecs.BOM_UTF8
    assert decode(2 * mark + b"a,b\n").text == "a,b\n"

    decoded = decode(mark + b"a,b\n" + mark + b"c,d\n")

    assert decoded.text == "a,b\nc,d\n"
    assert [str(problem) for problem in decoded.problems] == [
        "Line 2 begins with a byte order mark: another file was appended there."
    ]
    assert not decoded.is_guessed


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_a_guess(encoding: str) -> None:
    """NUL in every other byte gives UTF-16 away, with a warning."""
    decoded = decode("text,label\nhello,you\n".encode(encoding))

    assert decoded.text == "text,label\nhello,you\n"
    assert (decoded.encoding, decoded.is_guessed) == (encoding, True)


def test_bytes_of_no_known_encoding_are_refused() -> None:
    """What looks like no text in any encoding asks for the name of the encoding."""
    with pytest.raises(DatasetInvalid, match=r"Row 2: not UTF-8 \(byte 0xFF\).* Name the encoding"):
        decode(b"text,label\n\xff\xfe\x81\x90\x80\xff,b\n")


def test_a_named_encoding_is_used() -> None:
    """What the caller names is certain."""
    decoded = decode("текст,метка\n".encode("cp1251"), "windows-1251")

    assert (decoded.text, decoded.encoding, decoded.problems) == ("текст,метка\n", "cp1251", ())


def test_bytes_that_do_not_fit_the_named_encoding_are_refused() -> None:
    """The line of the first wrong byte is named."""
    with pytest.raises(DatasetInvalid, match="Row 2: not ascii"):
        decode("a,b\nä,c\n".encode(), "ascii")


@pytest.mark.parametrize("encoding", ["klingon", "base64", "rot13", "idna", "punycode", "unicode_escape", "", "a\0b"])
def test_what_is_no_encoding_is_refused(encoding: str) -> None:
    """Unknown names and ways of escaping are no encodings of files."""
    with pytest.raises(InvalidArgument):
        decode(b"a,b", encoding)


def test_half_characters_are_left_to_the_checks_of_cells() -> None:
    """A lone surrogate comes through, so that its row and column can be named."""
    assert decode(b"a,\xed\xa0\x80").text == "a,\ud800"


@settings(deadline=None)
# UTF-16 that begins with NUL looks like UTF-32.
@given(
    st.text(min_size=1).filter(lambda text: not text.startswith("\0")),
    st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]),
)
def test_every_text_comes_back(text: str, encoding: str) -> None:
    """What Python writes with a mark is read back."""
    assert decode(text.encode(encoding)).text == text


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_text_or_a_sentence(data: bytes) -> None:
    """No bytes lead to another exception than DatasetInvalid."""
    with suppress(DatasetInvalid):
        decode(data)
