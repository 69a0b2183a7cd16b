"""Text in legacy encodings: of all readings of its bytes, the one in a language."""

import json

import pytest

from ingest.errors import FileError
from ingest.readers.charset import declared_in
from ingest.readers.text import clean, decode
from tests.ingest.reading import SHARED

TEXTS = {
    "german": "Die Größe der Straße überrascht mich. Wir möchten übrigens noch öfter für Käse nach Köln fahren.",
    "french": "L'été dernier, la forêt brûlait à côté de la maison où François a passé Noël. Ça m'a beaucoup gêné.",
    "spanish": "El niño comió una piña mañana por la mañana. ¿Qué pasó después? ¡Ningún camión llegó aquí!",
    "portuguese": "A informação não está disponível para os cidadãos. São três opções e nenhuma solução até amanhã.",
    "italian": "La città è più bella perché lì c'è libertà. Così andrò giù e tornerò lunedì a metà mattina.",
    "swedish": "Vi åkte över bron för att köpa färska räkor på ön. Det är också här jag går hela våren.",
    "finnish": "Tämä päivä on hyvä päivä. Äiti lähtee töihin ja isä jää tänään kotiin lämmittämään pöytää.",
    "polish": "Żółw zauważył, że łąka jest piękna. Chciałbym być tam też w październiku, gdy słońce świeci.",
    "czech": "Příliš žluťoučký kůň úpěl ďábelské ódy. Tomáš řekl, že ještě dnes přijde na večeři s přítelem.",
    "hungarian": "Az őszi szőlő édes, de a nyári gyümölcs még jobb. Hűvös estéken a tűz mellett ülünk és mesélünk.",
    "croatian": "Naš čovjek želi znati što će biti sljedeće godine. Možda će doći još više gostiju iz Češke.",
    "turkish": "Bu akşam için çok güzel bir yemek yapacağım. Işığı açık bırakma, çünkü yarın şehre gideceğiz.",
}
ENCODINGS = {
    "cp1252": "german french spanish portuguese italian swedish finnish",
    "iso8859_15": "german french spanish portuguese italian swedish finnish",
    "cp1250": "polish czech hungarian croatian",
    "iso8859_2": "polish czech hungarian croatian",
    "cp1254": "turkish",
    "iso8859_9": "turkish",
}


@pytest.mark.parametrize(
    ("encoding", "language"),
    [(encoding, language) for encoding, languages in ENCODINGS.items() for language in languages.split()],
)
def test_western_text(encoding, language):
    text = TEXTS[language]
    assert decode("a.txt", text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("shift_jis", "今日はとても良い天気ですね〜。明日も晴れるでしょうか。散歩に行きたいと思います。"),
        ("cp932", "①今日はとても良い天気ですね～。②明日も晴れるでしょうか。散歩に行きたいと思います。"),
        ("euc_jp", "今日はとても良い天気ですね。明日も晴れるでしょうか。散歩に行きたいと思います。"),
        ("cp1251", "Сегодня очень хорошая погода. Завтра мы пойдём гулять в парк, если не будет дождя."),
        ("koi8_r", "Сегодня очень хорошая погода. Завтра мы пойдём гулять в парк, если не будет дождя."),
        ("cp1253", "Σήμερα ο καιρός είναι πολύ καλός. Αύριο θα πάμε μια βόλτα στο πάρκο με τους φίλους."),
        ("gb18030", "今天天气非常好，明天我们要去公园散步，希望不会下雨。后天我们再去图书馆看书。"),
    ],
)
def test_other_text(encoding, text):
    assert decode("a.txt", text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b'<?xml version="1.0" encoding="koi8-r"?><a/>', "koi8-r"),
        (b'<html><head><meta charset="windows-1251"></head>', "windows-1251"),
        (b"<meta http-equiv=Content-Type content='text/html; charset=EUC-JP'>", "EUC-JP"),
        (b"charset=utf-8 in a sentence", None),
    ],
)
def test_what_markup_says_of_itself(data, encoding):
    assert declared_in(data) == encoding


@pytest.mark.shared
def test_labelled_texts():
    """At least 97 % of real texts in 37 encodings come out as their label says."""
    folder = SHARED / "ingest_encodings"
    if not folder.exists():
        pytest.skip(f"no evaluation data {folder} beside the checkout")
    right = total = 0
    for row in map(json.loads, (folder / "index.jsonl").read_text().splitlines()):
        if row["decodes"]:
            data = (folder / "files" / row["file"]).read_bytes()
            total += 1
            try:
                right += decode(row["file"], data) == clean(data.decode(row["encoding"])).lstrip("\ufeff")
            except FileError:
                continue
    assert right >= 0.97 * total
