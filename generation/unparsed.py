"""A reply that is no prose: passed on as it comes, where `Marks` would look for sentences and citations."""

from generation.model import DraftSentence, DraftText


class Unparsed:
    """In the place of `generation.citations.Marks` for replies that are data."""

    unknown = 0

    def feed(self, piece: str) -> list[DraftText | DraftSentence]:
        """The piece itself."""
        return [DraftText(piece)] if piece else []

    def close(self) -> list[DraftText | DraftSentence]:
        """Nothing was held back."""
        return []
