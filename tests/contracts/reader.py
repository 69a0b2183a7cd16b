"""What every reader must do. Inherit; say how to open one, and how its kind of file says a text."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from ingest.errors import EmptyText, FileError
from ingest.ports import Reader
from tests.ingest.reading import source


class ReaderContract:
    """Whatever the bytes: a text that is not empty with blocks that lie inside it, or a `FileError` that says what is
    wrong and what to do. One file's fate is no other's, so many may be read at once and a bad one harms none."""

    NAME = "a.txt"
    BAD = (b"\x89PNG\r\n\x1a\n" + bytes(range(256)),)

    def opened(self) -> AbstractAsyncContextManager[Reader]:
        raise NotImplementedError

    def spelled(self, text: str) -> bytes:
        return text.encode()

    def using(self, use: Callable[[Reader], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with self.opened() as reader:
                return await use(reader)

        return asyncio.run(main())

    def test_blocks_lie_inside_the_text_in_order(self) -> None:
        text = "naïve 🙂 text\n\ne\u0301 second\nline\n\n日本語"

        async def use(reader: Reader) -> None:
            parsed = await reader.read(source(self.NAME), self.spelled(text))
            assert parsed.text.split() == text.split()
            assert parsed.media_type
            end = 0
            assert parsed.blocks
            for block in parsed.blocks:
                assert end <= block.start < block.end <= len(parsed.text)
                assert not parsed.text[end : block.start].strip()
                end = block.end
            assert not parsed.text[end:].strip()

        self.using(use)

    def test_what_a_file_is_called_is_no_part_of_what_it_says(self) -> None:
        """Or a renamed file would have to be embedded again."""

        async def use(reader: Reader) -> None:
            data = self.spelled("one text\n\nof two paragraphs")
            first, second = [await reader.read(source(f"{stem}{self.NAME}"), data) for stem in ("x", "another/")]
            assert first == second
            assert isinstance(first.title, str)
            assert all(type(part) is str for pair in first.metadata.items() for part in pair)

        self.using(use)

    @pytest.mark.parametrize("text", ["", " \n\t\n"])
    def test_no_text_is_told_as_such(self, text: str) -> None:
        async def use(reader: Reader) -> None:
            with pytest.raises(EmptyText) as caught:
                await reader.read(source(self.NAME), self.spelled(text))
            assert caught.value.next_step

        self.using(use)

    def test_bad_bytes_are_a_file_error_and_the_next_file_is_read(self) -> None:
        async def use(reader: Reader) -> None:
            for data in self.BAD:
                with pytest.raises(FileError) as caught:
                    await reader.read(source(self.NAME), data)
                assert type(caught.value) is not FileError, "a leaf"
                assert caught.value.message
                assert caught.value.next_step
            assert (await reader.read(source(self.NAME), self.spelled("good"))).text == "good"

        self.using(use)

    def test_many_at_once_get_each_its_own(self) -> None:
        async def use(reader: Reader) -> None:
            texts = [f"text number {n}" for n in range(20)]
            files = [reader.read(source(self.NAME), self.spelled(text)) for text in texts]
            bad = reader.read(source(self.NAME), self.BAD[0])
            *read, failed = await asyncio.gather(*files, bad, return_exceptions=True)
            assert [getattr(parsed, "text", parsed) for parsed in read] == texts
            assert isinstance(failed, FileError)

        self.using(use)
