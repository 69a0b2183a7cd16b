"""XML that asks for files, for the network or for all the memory there is: nothing is fetched, nothing grows.

The readers run here without their fences, so that it is the parsers that are shown to ask for nothing.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.errors import XmlEntities
from ingest.readers.registry import read
from tests.ingest.hostile_packages import GOOD, main_member, members, zipped

SECRET = "hunter2 of the secret file"
PORT = 9  # nobody listens there; what counts is whether anybody asks
_READ = """
import json, sys, time
from pathlib import Path
from ingest.errors import FileError
from ingest.readers.registry import read

found = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    data, start = path.read_bytes(), time.process_time()
    try:
        said = read(path.name, data).text
    except FileError as error:
        said = error.code
    found[path.name] = [said, time.process_time() - start]
print(json.dumps(found))
"""


def payloads(secret: Path) -> Iterator[tuple[str, str, str]]:
    """Name, what stands in front of the root, and what stands for its text."""
    laughs = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
    web = f"http://127.0.0.1:{PORT}"
    yield "a file", f'<!DOCTYPE r [<!ENTITY x SYSTEM "file://{secret}">]>', "&x;"
    yield "a public file", f'<!DOCTYPE r [<!ENTITY x PUBLIC "p" "{secret}">]>', "&x;"
    yield "a page", f'<!DOCTYPE r [<!ENTITY x SYSTEM "{web}/x">]>', "&x;"
    yield (
        "another scheme",
        '<!DOCTYPE r [<!ENTITY x SYSTEM "ftp://127.0.0.1/x"><!ENTITY y SYSTEM "php://input">]>',
        "&x;&y;",
    )
    yield "a file as a parameter", f'<!DOCTYPE r [<!ENTITY % p SYSTEM "file://{secret}"> %p;]>', "x"
    yield "a page as a parameter", f'<!DOCTYPE r [<!ENTITY % p SYSTEM "{web}/p.dtd"> %p; %q;]>', "&r;"
    yield "a grammar in a file", f'<!DOCTYPE r SYSTEM "file://{secret}">', "x"
    yield "a grammar on a page", f'<!DOCTYPE r PUBLIC "-//x" "{web}/x.dtd">', "&x;"
    yield "a billion laughs", f'<!DOCTYPE r [<!ENTITY l0 "ha">{laughs}]>', "&l9;"
    yield "few long laughs", f'<!DOCTYPE r [<!ENTITY l "{"a" * 100_000}">]>', "&l;" * 5000
    yield "laughs in an attribute", f'<!DOCTYPE r [<!ENTITY l0 "ha">{laughs}]><?p?>', 'x<z a="&l9;"/>'
    yield "itself", '<!DOCTYPE r [<!ENTITY x "&y;"><!ENTITY y "&x;">]>', "&x;"
    yield "inclusion", "", f'<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="file://{secret}" parse="text"/>'
    yield "a stylesheet", f'<?xml-stylesheet type="text/xsl" href="{web}/x.xsl"?>', "x"
    schema = f'<z xmlns:s="http://www.w3.org/2001/XMLSchema-instance" s:schemaLocation="a {web}/a.xsd"/>'
    yield "a schema", f'<?xml-model href="{web}/x.rng"?>', f"x{schema}"


def package(kind: str, prologue: str, text: str, encoding: str = "utf-8") -> bytes:
    """A file of this kind whose main member is this."""
    good = members(kind, text)
    main = main_member(kind)
    return zipped(good | {main: f"{_declared(encoding)}{prologue}{good[main].decode()}".encode(encoding)})


def _declared(encoding: str) -> str:
    return f'<?xml version="1.0" encoding="{encoding}"?>'


def _files(folder: Path, secret: Path) -> int:
    count = 0
    for name, prologue, text in payloads(secret):
        for kind in GOOD:
            (folder / f"{name}.{kind}").write_bytes(package(kind, prologue, text))
            count += 1
        for ending in ("html", "xhtml"):
            page = f"{_declared('utf-8')}{prologue}<html><body><p>{text}</p></body></html>"
            (folder / f"{name}.{ending}").write_text(page)
            count += 1
    return count


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace tells what is asked of the system")
def test_nothing_is_fetched_and_nothing_grows(tmp_path):
    secret = tmp_path / "secret-file.txt"
    secret.write_text(SECRET)
    folder, log = tmp_path / "files", tmp_path / "log"
    folder.mkdir()
    count = _files(folder, secret)
    command = ["strace", "-f", "-o", str(log), "-e", "trace=%network,openat,open,execve", sys.executable, "-c", _READ]
    ran = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout)
    calls = log.read_text()
    assert len(found) == count >= 12 * (len(GOOD) + 2)
    assert "open" in calls
    assert "secret-file" not in calls.replace(str(folder), "")
    assert re.findall(r"\b(?:socket|connect|sendto|bind)\(", calls) == []
    assert [name for name, (said, _) in found.items() if SECRET in said or "haha" in said or len(said) > 200_000] == []
    assert {name: seconds for name, (_, seconds) in found.items() if seconds > 1} == {}


@pytest.mark.parametrize("kind", [kind for kind in GOOD if kind != "epub"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_entities_are_told_as_such_in_any_encoding(kind, encoding):
    with pytest.raises(XmlEntities) as raised:
        read(f"a.{kind}", package(kind, '<!DOCTYPE r [<!ENTITY x "y">]>', "&x;", encoding))
    assert raised.value.quarantine


@pytest.mark.parametrize("kind", ["docx", "pptx", "odt"])
def test_entities_in_an_encoding_that_hides_them(kind):
    """In UTF-7 no byte of the file spells the word; the parser that reads it knows."""
    good = members(kind, "&x;")
    main = main_member(kind)
    hidden = '<!DOCTYPE r [<!ENTITY x "y">]>'.encode("utf-7").replace(b"<", b"+ADw-").replace(b"!", b"+ACE-")
    data = b'<?xml version="1.0" encoding="UTF-7"?>' + hidden + good[main].replace(b"<", b"+ADw-")
    with pytest.raises(XmlEntities):
        read(f"a.{kind}", zipped(good | {main: data}))
