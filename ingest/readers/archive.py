"""Zip packages of strangers, and the XML in them. What passed here may be given to a library that opens it once more.

Archives inside an archive are never opened, no member is ever written to a disk, and no XML reaches for anything else.
"""

import io
import posixpath
import re
import zipfile
import zlib

from lxml import etree  # type: ignore[import-untyped]  # its stubs are a package of their own

from ingest.errors import ArchiveBomb, Broken, Encrypted, TooLarge, XmlEntities

MOST_MEMBERS = 2000
LARGEST_UNPACKED = 200_000_000  # bytes of all members together
LARGEST_RATIO = 100  # unpacked to packed; small packages of much white space are left alone
RATIO_FROM = 20_000_000
_STEP = 1 << 16
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OUTSIDE = re.compile(r"^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)|\0")
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/")
_USUAL = rb"http://schemas.openxmlformats.org/\1/2006/"
_XML = (".xml", ".rels", ".opf", ".ncx", ".vml", ".xhtml", ".html", ".htm")
_ENTITY = "<!ENTITY"
_DECLARED = tuple(_ENTITY.encode(encoding) for encoding in ("ascii", "utf-16-le", "utf-16-be"))
_LOCAL_HEADER = 30  # bytes in front of each member, at least
_NO_MEMORY = 2  # what libxml2 calls it
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError),
    *(IndexError, OverflowError),
)


class Archive:
    """The members of a package that was unpacked once, in small steps and counted, before anyone may use it."""

    def __init__(self, name: str, data: bytes, kind: str) -> None:
        """`kind` is the format's name for people. Raises Broken, Encrypted, TooLarge, ArchiveBomb and XmlEntities."""
        if data.startswith(_OLE):
            if "EncryptedPackage".encode("utf-16-le") in data:
                raise Encrypted(f"{name} is protected with a password.")
            raise Broken(f"{name} is in an old Office format, not {kind}.", f"Save it as {kind} and run ingest again.")
        self.name, self.kind, self.data = name, kind, data
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            self.members = frozenset(self._zip.namelist())
            self._inspect()
        except _DAMAGE as error:
            raise self.broken() from error

    def broken(self) -> Broken:
        """The error for a package whose parts are not what its format asks for."""
        return Broken(f"{self.name} is not a readable {self.kind} file.")

    def read(self, member: str) -> bytes:
        """Bytes of a member. Raises Broken when there is none of that name."""
        try:
            return self._zip.read(member)
        except _DAMAGE as error:
            raise self.broken() from error

    def xml(self, member: str) -> etree._Element:
        """The root of a member. Raises Broken, XmlEntities, and MemoryError for a member that memory is too small for."""
        try:
            root = parse_xml(_in_usual_form(self.read(member)))
        except etree.XMLSyntaxError as error:
            if error.code == _NO_MEMORY:
                raise MemoryError from error
            raise self.broken() from error
        except ValueError as error:
            raise self.broken() from error
        if declares_entities(root):
            raise self._entities()
        return root

    def related(self, member: str) -> dict[str, tuple[str, str]]:
        """Kind and member of what an Office part refers to inside the package, by the id it uses for it."""
        folder, _, base = member.rpartition("/")
        listed = f"{folder}/_rels/{base}.rels".removeprefix("/")
        if listed not in self.members:
            return {}
        found: dict[str, tuple[str, str]] = {}
        for link in self.xml(listed):
            target = posixpath.normpath(posixpath.join("/", folder, link.get("Target", ""))).lstrip("/")
            if link.get("TargetMode") != "External" and target in self.members:
                found[link.get("Id", "")] = (link.get("Type", "").rpartition("/")[2], target)
        return found

    def one(self, member: str, kind: str) -> str | None:
        """The first part of one kind that a member refers to; the package itself is the member of no name."""
        return next((target for found, target in self.related(member).values() if found == kind), None)

    def usual(self) -> bytes:
        """The package for a library that knows an Office format only in its usual form: one in the strict form, which
        has other namespaces, is rewritten."""
        if not any(_STRICT.search(self.read(member)) for member in self.members & {"_rels/.rels"}):
            return self.data
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as package:
            for member in sorted(self.members):
                content = self.read(member)
                package.writestr(member, _in_usual_form(content) if member.endswith((".xml", ".rels")) else content)
        return buffer.getvalue()

    def _inspect(self) -> None:
        infos = self._zip.infolist()
        if len(infos) > MOST_MEMBERS:
            raise ArchiveBomb(f"{self.name} holds {len(infos):,} files; the limit is {MOST_MEMBERS:,}.")
        if any(info.flag_bits & 1 for info in infos):
            raise Encrypted(f"{self.name} is protected with a password.")
        if any(_OUTSIDE.search(info.orig_filename) for info in infos):
            raise self.broken()
        self._refuse_overlaps(infos)
        self._allow(sum(info.file_size for info in infos))
        unpacked = 0
        for info in infos:
            unpacked = self._unpack(info, unpacked)

    def _refuse_overlaps(self, infos: list[zipfile.ZipInfo]) -> None:
        """Members that share their bytes are how a small package holds petabytes."""
        end = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            if info.header_offset < end:
                raise ArchiveBomb(f"{self.name} is made to unpack to far more than it is: its files overlap.")
            end = info.header_offset + _LOCAL_HEADER + info.compress_size

    def _unpack(self, info: zipfile.ZipInfo, unpacked: int) -> int:
        """One member in small steps; how much has been unpacked with it."""
        scanned = info.filename.lower().endswith(_XML)
        before = b""
        with self._zip.open(info) as member:
            while step := member.read(_STEP):
                unpacked += len(step)
                self._allow(unpacked)
                if scanned and any(mark in before + step for mark in _DECLARED):
                    raise self._entities()
                before = step[-2 * len(_ENTITY) :]
        return unpacked

    def _allow(self, unpacked: int) -> None:
        if unpacked > RATIO_FROM and unpacked > LARGEST_RATIO * len(self.data):
            raise ArchiveBomb(f"{self.name} unpacks to more than {LARGEST_RATIO} times its size.")
        if unpacked > LARGEST_UNPACKED:
            raise TooLarge(f"{self.name} unpacks to more than {LARGEST_UNPACKED // 1_000_000} MB.")

    def _entities(self) -> XmlEntities:
        return XmlEntities(f"The XML in {self.name} declares entities of its own.")


def _in_usual_form(xml: bytes) -> bytes:
    """Office XML of the strict form, which has other namespaces, with the usual ones."""
    return _STRICT.sub(_USUAL, xml) if b"http://purl.oclc.org/ooxml/" in xml else xml


def local(element: etree._Element) -> str:
    """The name of an element without its namespace; empty for comments and the like."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def declares_entities(root: etree._Element) -> bool:
    """Whether the document of this root declares entities, in whatever encoding it is."""
    declared = root.getroottree().docinfo.internalDTD
    return declared is not None and next(declared.iterentities(), None) is not None


def parse_xml(data: bytes) -> etree._Element:
    """The root of XML that may be hostile: no entities, no network, no DTD, nothing huge. Raises XMLSyntaxError."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    return etree.fromstring(data, parser)
