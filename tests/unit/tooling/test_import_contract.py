"""The contract that lists what may be imported."""

import grimp
import pytest

from bootstrap.devtools.import_contract import AllowedImportsContract


def broken(imports: list[tuple[str, str]], **options: list[str]) -> list[tuple[str, str]]:
    graph = grimp.ImportGraph()
    for name in ("core", "core.pure", "core.ports", "domain", "domain.states"):
        graph.add_module(name)
    for importer, imported in imports:
        for name in (importer, imported):
            graph.add_module(name)
        graph.add_import(importer=importer, imported=imported, line_number=3, line_contents="import it")
    settings = {"source_modules": ["domain"], "allowed_modules": ["domain", "core"], **options}
    result = AllowedImportsContract("a contract", {}, settings).check(graph, verbose=False)
    found = [(breach["importer"], breach["imported"]) for breach in result.metadata["breaches"]]
    assert result.kept is not bool(found)
    return found


@pytest.mark.parametrize("imported", ["json", "asyncio", "core", "core.pure", "domain.states"])
def test_the_standard_library_and_what_is_listed_may_be_imported(imported: str) -> None:
    assert broken([("domain.decide", imported)]) == []


@pytest.mark.parametrize("imported", ["requests", "google", "corelike", "domains"])
def test_what_is_not_listed_may_not(imported: str) -> None:
    assert broken([("domain.decide", imported)]) == [("domain.decide", imported)]


def test_part_of_an_allowed_package_can_be_refused() -> None:
    imports = [("domain.decide", "core.ports"), ("domain.decide", "core.pure")]
    assert broken(imports, refused_modules=["core.ports"]) == [("domain.decide", "core.ports")]


def test_part_of_the_source_can_be_excluded() -> None:
    imports = [("core.ports", "grpc"), ("core.pure", "grpc")]
    options = {"source_modules": ["core"], "excluded_modules": ["core.ports"]}
    assert broken(imports, **options) == [("core.pure", "grpc")]


def test_other_modules_are_not_bound() -> None:
    assert broken([("core.pure", "grpc")]) == []


def test_a_misspelled_module_is_an_error_and_no_silence() -> None:
    with pytest.raises(ValueError, match="no module domian"):
        broken([], source_modules=["domian"])
