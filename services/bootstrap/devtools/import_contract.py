"""A contract type for import-linter that lists what may be imported instead of what may not.

A new dependency of a pure package is refused until somebody writes it into the list, which a list of forbidden names
cannot promise.
"""

import sys
from collections.abc import Iterable
from typing import Any, TypedDict, cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class Breach(TypedDict):
    """An import that no entry of the list allows."""

    importer: str
    imported: str
    lines: tuple[int | None, ...]


class AllowedImportsContract(Contract):
    """The source modules import the standard library and the allowed modules, nothing else.

    Options, each a list of packages that stands for everything below them:
        source_modules: whom the contract binds; `excluded_modules` takes some of them out again.
        allowed_modules: what they may import besides the standard library; `refused_modules` takes some out again.
    """

    type_name = "allowed"

    source_modules = fields.ListField(subfield=fields.StringField())
    excluded_modules = fields.ListField(subfield=fields.StringField(), required=False, default=[])
    allowed_modules = fields.ListField(subfield=fields.StringField())
    refused_modules = fields.ListField(subfield=fields.StringField(), required=False, default=[])

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Compare every direct import of the source modules with the list."""
        source, excluded = names(self.source_modules), names(self.excluded_modules)
        allowed, refused = names(self.allowed_modules), names(self.refused_modules)
        if missing := [name for name in source + excluded + refused if name not in graph.modules]:
            raise ValueError(f"{self.name}: there is no module {', '.join(missing)}")
        breaches = [
            Breach(importer=importer, imported=imported, lines=lines(graph, importer, imported))
            for importer in sorted(graph.modules)
            if within(importer, source) and not within(importer, excluded)
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if imported.partition(".")[0] not in sys.stdlib_module_names
            and (within(imported, refused) or not within(imported, allowed))
        ]
        return ContractCheck(kept=not breaches, metadata={"breaches": breaches})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each breach on a line."""
        for breach in cast("list[Breach]", check.metadata["breaches"]):
            at = ", ".join(str(line) for line in breach["lines"])
            output.print_error(f"- {breach['importer']} -> {breach['imported']} (l.{at})", bold=False)
        output.new_line()


def names(field: Any) -> list[str]:
    """Return an option's value: the class attribute is its description, the instance's is a list of names."""
    return cast("list[str]", field)


def within(module: str, packages: Iterable[str]) -> bool:
    """Whether the module is one of the packages or lies below one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def lines(graph: ImportGraph, importer: str, imported: str) -> tuple[int | None, ...]:
    """Return the lines of the import."""
    return tuple(detail["line_number"] for detail in graph.get_import_details(importer=importer, imported=imported))
