"""What the checks of an answer came to, in one line."""

from collections.abc import Mapping
from typing import Any


def checked(verification: Mapping[str, Any]) -> str:
    """`Checked: partly; 3 supported, 1 partial, 1 left out`."""
    names = {"partial": "partly supported", "unsupported": "not supported", "uncited": "without a source"}
    names |= {"unchecked": "not checked", "dropped": "left out", "unknown_marks": "marks of no source"}
    counts = ("supported", *names, "contradicted")
    told = [f"{verification[name]} {names.get(name, name)}" for name in counts if verification[name]]
    reasons = [f"{name} as {verification[name]}" for name in ("withdrawn", "escalated") if verification[name]]
    return f"Checked: {verification['status']}" + "".join(f"; {part}" for part in (", ".join(told), *reasons) if part)
