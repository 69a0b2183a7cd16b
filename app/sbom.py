"""`python -m app.sbom`: what is installed here, as a CycloneDX document in JSON. Read from the metadata that every installed
distribution brings, so it tells what runs and not what was asked for."""

import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions, version
from typing import Any

import orjson

_SPEC = "1.6"
_OURS = "grounded-qa"
_NEEDED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHORT = 80  # characters; a longer license is its whole text, not its name


def document(found: Iterable[Distribution]) -> dict[str, Any]:
    """The document. Without a time or a number drawn by chance, so the same installation gives the same bytes."""
    parts = {_name(one): one for one in found}
    ours = parts.pop(_OURS, None)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": _SPEC,
        "version": 1,
        "metadata": {"component": {**_component(_OURS, version(_OURS)), "type": "application"}},
        "components": [_described(name, parts[name]) for name in sorted(parts)],
        "dependencies": [_edges(name, one, parts) for name, one in sorted({**parts, **_self(ours)}.items())],
    }


def _self(ours: Distribution | None) -> dict[str, Distribution]:
    return {_OURS: ours} if ours is not None else {}


def _name(one: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower()


def _component(name: str, release: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{release.replace('+', '%2B')}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": release, "purl": purl}


def _described(name: str, one: Distribution) -> dict[str, Any]:
    told = one.metadata.json
    expression = str(told.get("license_expression", ""))
    license_ = expression or str(told.get("license", ""))
    named = [line.rpartition(" :: ")[2] for line in told.get("classifier", ()) if line.startswith("License ::")]
    text = license_ if license_ and len(license_) <= _SHORT and "\n" not in license_ else ", ".join(named)
    shown: list[dict[str, Any]] = [{"license": {"name": text}}] if text else []
    if expression and text == expression:
        shown = [{"expression": expression}]
    return {**_component(name, one.version), **({"licenses": shown} if shown else {})}


def _edges(name: str, one: Distribution, parts: dict[str, Distribution]) -> dict[str, Any]:
    """What of all that is installed it asks for, extras too."""
    asked = {
        re.sub(r"[-_.]+", "-", match.group()).lower()
        for line in one.requires or ()
        if (match := _NEEDED.match(line)) is not None
    }
    refs = [_component(other, parts[other].version)["bom-ref"] for other in sorted(asked & parts.keys())]
    return {"ref": _component(name, one.version)["bom-ref"], "dependsOn": refs}


if __name__ == "__main__":
    sys.stdout.write(orjson.dumps(document(distributions()), option=orjson.OPT_INDENT_2).decode() + "\n")
