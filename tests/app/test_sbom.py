"""The list of what is installed: complete, the same each time, and its edges lead somewhere."""

from importlib.metadata import distributions, version

from app.sbom import document


def test_it_names_all_that_is_installed() -> None:
    found = document(distributions())
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    parts = {part["name"]: part for part in found["components"]}
    installed = {one.metadata["Name"].lower().replace("_", "-").replace(".", "-") for one in distributions()}
    assert parts.keys() == installed - {"grounded-qa"}
    assert parts["torch"]["version"] == version("torch")
    assert parts["fastapi"]["purl"] == f"pkg:pypi/fastapi@{version('fastapi')}"
    licensed = [part for part in parts.values() if "licenses" in part]
    assert len(licensed) > len(parts) * 0.9


def test_edges_lead_to_components() -> None:
    found = document(distributions())
    refs = {part["bom-ref"] for part in found["components"]} | {found["metadata"]["component"]["bom-ref"]}
    edges = {edge["ref"]: edge["dependsOn"] for edge in found["dependencies"]}
    assert edges.keys() == refs
    assert all(set(needed) <= refs for needed in edges.values())
    ours = edges[found["metadata"]["component"]["bom-ref"]]
    assert any(ref.startswith("pkg:pypi/fastapi@") for ref in ours)


def test_it_is_the_same_each_time() -> None:
    assert document(distributions()) == document(list(distributions())[::-1])
