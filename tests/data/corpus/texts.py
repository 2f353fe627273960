"""
The texts of the corpus, and how an expectation is written down.

All texts were written for this corpus. A maker writes its files into `files/` and, with `Expected`, one line for each
of them into `expected/<maker>.jsonl`; a row is what the user of that program means by it, decided without any reader.
"""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent
FILES = HERE / "files"

Rows = list[tuple[str, str]]

TICKETS: Rows = [
    ("My parcel has not arrived, although it was promised for Monday", "delivery"),
    ("I was charged twice for the same order", "billing"),
    ('The screen shows "no signal" after the update', "technical"),
    ("Can I change the address of a parcel that is on its way?", "delivery"),
    ("Please send me an invoice with my company's name, street and VAT number", "billing"),
    ("The app closes as soon as I open the camera", "technical"),
    ("The courier left the box in the rain; the books are wet", "delivery"),
    ("Why is the amount on my card higher than on the bill?", "billing"),
    ("Bluetooth finds my car, but there is no sound", "technical"),
    ("The tracking page says 'delivered', but nobody rang", "delivery"),
    ("I cancelled in March and still pay every month", "billing"),
    ("The battery is empty after two hours", "technical"),
]

ANSWERS: Rows = [
    (
        "How do I reset my password?",
        "Open Settings, choose Account, then press Reset.\nYou get a mail within five minutes.",
    ),
    ("What is the warranty?", "Two years for the device.\n\nOne year for the battery, cable and charger."),
    ("Write a list of what is in the box", '- the lamp\n- a cable, 1.5 m\n- screws and a "quick start" leaflet'),
    ("Where can I return an article?", "At every shop; bring the receipt."),
    ("Show a loop in Python", "for i in range(3):\n    print(i)"),
    ("How long does delivery take?", "Three days at most, five on islands."),
    ("Do you ship abroad?", "Yes: to the EU, Norway and Switzerland.\nNot to islands without a harbour."),
    ("Is there a student discount?", "10 % with a valid card."),
]

CITIES: Rows = [
    ("Zürich, Bahnhofstraße 5", "größer"),
    ("Köln am Rhein", "größer"),
    ("Bad Hönningen", "kleiner"),
    ("München, Schwabing", "größer"),
    ("Lübeck an der Trave", "größer"),
    ("Hinterzarten im Schwarzwald", "kleiner"),
    ("Nürnberg, Südstadt", "größer"),
    ("Görlitz an der Neiße", "kleiner"),
]

POLISH: Rows = [
    ("Paczka nie dotarła, choć miała być w poniedziałek", "dostawa"),
    ("Zapłaciłem dwa razy za to samo zamówienie", "płatność"),
    ("Aplikacja zamyka się po włączeniu aparatu", "usterka"),
    ("Czy mogę zmienić adres przesyłki, która jest w drodze?", "dostawa"),
    ("Proszę o fakturę z nazwą mojej firmy", "płatność"),
    ("Głośnik trzeszczy przy każdej rozmowie", "usterka"),
    ("Kurier zostawił pudełko na deszczu, książki są mokre", "dostawa"),
    ("Wciąż płacę, choć zrezygnowałem w marcu", "płatność"),
]

RUSSIAN: Rows = [
    ("Посылка не пришла, хотя её обещали в понедельник", "доставка"),
    ("С меня дважды сняли деньги за один заказ", "оплата"),
    ("Приложение закрывается, когда я открываю камеру", "поломка"),
    ("Можно ли изменить адрес посылки, которая уже в пути?", "доставка"),
    ("Пришлите, пожалуйста, счёт на имя моей фирмы", "оплата"),
    ("Динамик трещит при каждом разговоре", "поломка"),
    ("Курьер оставил коробку под дождём, книги промокли", "доставка"),
    ("Я отказался в марте, но всё ещё плачу каждый месяц", "оплата"),
]

CHINESE: Rows = [
    ("我的包裹还没有到,说好星期一送到的", "物流"),
    ("同一个订单扣了我两次钱", "账单"),
    ("一打开相机应用程序就关闭", "技术"),
    ("包裹已经在路上,还能修改地址吗?", "物流"),
    ("请给我开一张公司名称的发票", "账单"),
    ("手机连上了汽车,但是没有声音", "技术"),
    ("快递员把箱子放在雨里,书都湿了", "物流"),
    ("我三月份已经取消,每个月还在扣款", "账单"),
]

TRADITIONAL: Rows = [
    ("我的包裹還沒有到,說好星期一送到的", "物流"),
    ("同一張訂單扣了我兩次錢", "帳單"),
    ("一打開相機應用程式就關閉", "技術"),
    ("包裹已經在路上,還能修改地址嗎", "物流"),
    ("請給我開一張公司名稱的發票", "帳單"),
    ("手機連上了汽車,但是沒有聲音", "技術"),
    ("快遞員把箱子放在雨裡,書都溼了", "物流"),
    ("我三月份已經取消,每個月還在扣款", "帳單"),
]

JAPANESE: Rows = [
    ("月曜日に届くはずの荷物がまだ届きません", "配送"),
    ("同じ注文で二回請求されました", "請求"),
    ("カメラを開くとアプリが終了します", "技術"),
    ("発送済みの荷物の住所を変更できますか", "配送"),
    ("会社名の入った請求書を送ってください", "請求"),
    ("車とは接続できますが、音が出ません", "技術"),
    ("雨の中に箱が置かれ、本が濡れていました", "配送"),
    ("三月に解約したのに毎月引き落とされています", "請求"),
]

KOREAN: Rows = [
    ("월요일에 온다던 택배가 아직 오지 않았습니다", "배송"),
    ("같은 주문으로 두 번 결제되었습니다", "결제"),
    ("카메라를 열면 앱이 바로 꺼집니다", "기술"),
    ("이미 출발한 택배의 주소를 바꿀 수 있나요", "배송"),
    ("회사 이름으로 영수증을 보내 주세요", "결제"),
    ("자동차와 연결되지만 소리가 나지 않습니다", "기술"),
    ("비가 오는데 상자를 밖에 두어 책이 젖었습니다", "배송"),
    ("삼월에 해지했는데 매달 돈이 나갑니다", "결제"),
]

GREEK: Rows = [
    ("Το δέμα μου δεν έφτασε τη Δευτέρα", "παράδοση"),
    ("Με χρέωσαν δύο φορές για την ίδια παραγγελία", "πληρωμή"),
    ("Η εφαρμογή κλείνει μόλις ανοίξω την κάμερα", "βλάβη"),
    ("Μπορώ να αλλάξω τη διεύθυνση του δέματος;", "παράδοση"),
    ("Στείλτε μου τιμολόγιο με το όνομα της εταιρείας", "πληρωμή"),
    ("Το ηχείο τρίζει σε κάθε συνομιλία", "βλάβη"),
]

ARABIC: Rows = [
    ("لم تصل الشحنة يوم الاثنين كما وعدتم", "توصيل"),
    ("تم خصم المبلغ مرتين للطلب نفسه", "فاتورة"),
    ("يتوقف التطبيق عندما أفتح الكاميرا", "عطل"),
    ("هل يمكنني تغيير عنوان الشحنة؟", "توصيل"),
    ("أرسلوا لي فاتورة باسم الشركة", "فاتورة"),
    ("لا يوجد صوت في السيارة", "عطل"),
]

EMOJI: Rows = [
    ("The parcel came early 🎉", "😀"),
    ("Wet books again 🌧️📚", "😡"),
    ("It works, I guess 🤷‍♀️", "😐"),
    ("My son loves the robot 🤖❤️", "😀"),
    ("Charged twice 💸💸", "😡"),
    ("Delivered on Tuesday 📦", "😐"),
    ("Family tent 👨‍👩‍👧‍👦 fits all of us", "😀"),
    ("The flag 🇨🇭 has the wrong red", "😡"),
]


class Expected:
    """Collects the expectations of one maker."""

    def __init__(self, maker: str) -> None:
        self.maker = maker
        self.lines: dict[str, dict[str, object]] = {}

    def file(
        self,
        name: str,
        by: str,
        rows: Rows | None = None,
        *,
        refused: str | None = None,
        warns: tuple[str, ...] = (),
        row_errors: tuple[int, ...] = (),
        needs: dict[str, object] | None = None,
        asked: str | None = None,
        instead: tuple[dict[str, object], ...] = (),
        note: str = "",
    ) -> Path:
        """
        Write down what is right for the file `name`, and return its path.

        `by` is the program with its version, or the address of the public sample whose form it has. `rows` are the
        examples; `refused` is a pattern that the one sentence of the refusal must contain. `warns` are patterns that
        the warnings must contain, `row_errors` rows that are reported and left out. With `needs`, the file is
        ambiguous: without these options it is refused with the pattern `asked` or at least read with a word that it was
        guessed, with them it has `rows`. `instead` are other outcomes that are not wrong, in the same form.
        """
        line: dict[str, object] = {"file": name, "by": by}
        given = {"refused": refused, "warns": list(warns), "row_errors": list(row_errors), "needs": needs}
        line |= {key: value for key, value in {**given, "asked": asked, "note": note}.items() if value}
        if rows is not None:
            line["rows"] = [list(row) for row in rows]
        if instead:
            line["instead"] = [
                {key: [list(r) for r in value] if key == "rows" else value for key, value in other.items()}
                for other in instead
            ]
        assert name not in self.lines, name
        self.lines[name] = line
        return FILES / name

    def write(self) -> None:
        missing = [name for name in self.lines if not (FILES / name).is_file()]
        assert not missing, missing
        (HERE / "expected").mkdir(exist_ok=True)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.lines.values())
        (HERE / "expected" / f"{self.maker}.jsonl").write_text(text, "utf-8")
