"""The tables of a view and the statements that read and change them, from its declaration; and those that all views share.

Every view has two tables: ``<name>_v<version>`` with its rows, led by the tenant, and ``<name>_v<version>__checkpoint`` with
one row per (tenant, stream); a generation beside the first adds ``__r<generation>`` to the name. Shared are
``view_catalogue`` (what was prepared, and counters), ``view_parked`` (lanes), ``view_generations`` and ``view_notes``.
"""

# ruff: noqa: S608 - names pass ``quoted``, values are parameters

import hashlib
from dataclasses import dataclass
from typing import Any

from eventkernel.filters import Row
from eventkernel.ids import StreamId
from eventkernel.sql import index_condition, quoted
from eventkernel.sql_dialect import Conversion, Dialect
from eventkernel.view import ColumnType, Index, Key, TableKind, View
from eventkernel.view_sums import Sums, sum_columns

CHECKPOINT_COLUMNS = (
    ("tenant", ColumnType.TEXT, False),
    ("stream", ColumnType.TEXT, False),
    ("version", ColumnType.INTEGER, False),
    ("event_id", ColumnType.BYTES, True),
    ("state", ColumnType.BYTES, True),
)
CATALOGUE_COLUMNS = (
    ("view", ColumnType.TEXT, False),
    ("shape", ColumnType.TEXT, False),
    ("streams", ColumnType.INTEGER, False),
    ("events_applied", ColumnType.INTEGER, False),
    ("updated_at", ColumnType.TIME, True),
)
PARKED_COLUMNS = (
    ("view", ColumnType.TEXT, False),
    ("tenant", ColumnType.TEXT, False),
    ("stream", ColumnType.TEXT, False),
    ("version", ColumnType.INTEGER, False),
    ("event_id", ColumnType.BYTES, False),
    ("type", ColumnType.TEXT, False),
    ("schema_version", ColumnType.INTEGER, False),
    ("data", ColumnType.BYTES, False),
    ("meta", ColumnType.BYTES, False),
    ("error", ColumnType.TEXT, False),
    ("parked_at", ColumnType.TIME, False),
)

GENERATION_COLUMNS = (("view", ColumnType.TEXT, False), ("active", ColumnType.INTEGER, False))
NOTE_COLUMNS = (
    ("view", ColumnType.TEXT, False),
    ("kind", ColumnType.TEXT, False),
    ("key", ColumnType.TEXT, False),
    ("body", ColumnType.BYTES, False),
)


def shared_tables(dialect: Dialect) -> tuple[str, ...]:
    """The DDL of the tables that all views share."""
    return (
        _table(dialect, "view_catalogue", CATALOGUE_COLUMNS, ("view",)),
        _table(dialect, "view_parked", PARKED_COLUMNS, ("view", "tenant", "stream", "version")),
    )


def catalogue_tables(dialect: Dialect) -> tuple[str, ...]:
    """The DDL of what a catalogue keeps: the active generation of each view, and notes."""
    return (
        _table(dialect, "view_generations", GENERATION_COLUMNS, ("view",)),
        _table(dialect, "view_notes", NOTE_COLUMNS, ("view", "kind", "key")),
    )


def behind_statement(dialect: Dialect, ahead: View[Any, Any], view: View[Any, Any]) -> str:
    """Streams further in one table or its lanes than in the other. Parameters: table ahead, table, count."""
    there, here, mark = quoted(f"{ahead.table}__checkpoint"), quoted(f"{view.table}__checkpoint"), dialect.placeholder
    kept = (
        f"SELECT 1 FROM view_parked p WHERE p.view = {mark} AND p.tenant = l.tenant AND p.stream = l.stream"
        " AND p.version >= l.version"
    )
    return (
        f"SELECT tenant, stream FROM (SELECT o.tenant, o.stream FROM {there} o LEFT JOIN {here} n"
        " ON n.tenant = o.tenant AND n.stream = o.stream WHERE o.version > coalesce(n.version, 0)"
        " UNION SELECT l.tenant, l.stream FROM"
        f" (SELECT tenant, stream, max(version) AS version FROM view_parked WHERE view = {mark} GROUP BY tenant, stream) l"
        f" LEFT JOIN {here} n ON n.tenant = l.tenant AND n.stream = l.stream"
        f" WHERE l.version > coalesce(n.version, 0) AND NOT EXISTS ({kept})"
        f") AS behind ORDER BY tenant, stream LIMIT {mark}"
    )


@dataclass(frozen=True, slots=True)
class RowsStatement:
    """A statement over any number of rows: ``head``, ``row`` once for each, ``tail``.

    One statement for many rows is what keeps a batch cheap: to Postgres one trip, in SQLite one call into the library,
    where each call costs a wait for the interpreter's lock when the process is busy.
    """

    head: str
    row: str
    tail: str

    def of(self, count: int) -> str:
        """The text for so many rows."""
        return self.head + ", ".join([self.row] * count) + self.tail


@dataclass(frozen=True, slots=True)
class ViewTables:
    """The statements of one view in one dialect, made once when the view is prepared.

    Parameters of a row, in order. ``upsert`` of owned rows: tenant, stream, version, columns; of summed rows: tenant,
    columns. ``delete`` and ``get``: tenant, key (a summed row is deleted only when all its sums are zero). ``checkpoint``
    statements: as ``CHECKPOINT_COLUMNS``. ``checkpoints``: tenant, list of streams. ``scan``: tenant, stream, count. Keys of
    one ``upsert`` must differ.
    """

    dialect: Dialect
    view: View[Any, Any]
    tables: tuple[str, ...]
    indexes: tuple[str, ...]
    shape: str
    upsert: RowsStatement
    delete: RowsStatement
    get: str
    put_checkpoint: RowsStatement
    insert_checkpoint: RowsStatement
    checkpoints: str
    checkpoints_locked: str
    scan: str
    encoders: tuple[tuple[str, Conversion | None], ...]
    decoders: tuple[tuple[str, Conversion | None], ...]
    key_encoders: tuple[Conversion | None, ...]

    def owned_parameters(self, stream: StreamId, version: int, row: Row) -> tuple[Any, ...]:
        """For ``upsert`` of a row that a stream owns."""
        return (stream.tenant, stream.name, version, *(_through(convert, row[name]) for name, convert in self.encoders))

    def summed_parameters(self, tenant: str, key: Key, sums: Sums) -> tuple[Any, ...]:
        """For ``upsert`` of what a batch adds to a shared row."""
        row = dict(zip(self.view.key, key, strict=True)) | dict(zip(sum_columns(self.view), sums, strict=True))
        return (tenant, *(_through(convert, row[name]) for name, convert in self.encoders))

    def key_parameters(self, tenant: str, key: Key) -> tuple[Any, ...]:
        """For ``delete`` and ``get``."""
        return (tenant, *(_through(convert, value) for convert, value in zip(self.key_encoders, key, strict=True)))

    def row(self, stored: tuple[Any, ...]) -> dict[str, Any]:
        """The row's values from a selected tuple; what follows the declared columns is left out."""
        return {name: _through(convert, value) for (name, convert), value in zip(self.decoders, stored, strict=False)}


def view_tables(dialect: Dialect, view: View[Any, Any]) -> ViewTables:
    """Everything of one view. Raises ``ValueError`` for a name that SQL cannot carry."""
    table, checkpoint = quoted(view.table), quoted(f"{view.table}__checkpoint")
    mark = dialect.placeholder
    key_names = [quoted(name) for name in ("tenant", *view.key)]
    key = " AND ".join(f"{name} = {mark}" for name in key_names)
    columns = [(column.name, column.type, column.nullable) for column in view.columns]
    owner = [("stream", ColumnType.TEXT, False), ("stream_version", ColumnType.INTEGER, False)]
    owner = owner if view.kind is TableKind.OWNED else []
    names = [name for name, _, _ in columns]
    selected = ", ".join(quoted(name) for name in [*names, *(name for name, _, _ in owner)])
    listed = ", ".join(quoted(name) for name, _, _ in CHECKPOINT_COLUMNS)
    by_stream = f'SELECT {listed} FROM {checkpoint} WHERE "tenant" = {mark} AND ' + dialect.any_of.format(
        column='"stream"', values=mark
    )
    rows = _table(dialect, view.table, [("tenant", ColumnType.TEXT, False), *owner, *columns], ("tenant", *view.key))
    return ViewTables(
        dialect=dialect,
        view=view,
        tables=(rows, _table(dialect, f"{view.table}__checkpoint", CHECKPOINT_COLUMNS, ("tenant", "stream"))),
        indexes=tuple(_index(dialect, view, index) for index in view.indexes),
        shape=hashlib.sha256(f"{view.kind.value} {rows}".encode()).hexdigest(),
        upsert=_upsert(dialect, view, [*(name for name, _, _ in owner), *names]),
        delete=RowsStatement(
            f"DELETE FROM {table} WHERE ({', '.join(key_names)}) IN ({dialect.row_list}",
            f"({_marks(dialect, len(key_names))})",
            f"){_all_zero(dialect, view)}",
        ),
        get=f"SELECT {selected} FROM {table} WHERE {key}",
        put_checkpoint=RowsStatement(
            f"INSERT INTO {checkpoint} ({listed}) VALUES ",
            f"({_marks(dialect, len(CHECKPOINT_COLUMNS))})",
            ' ON CONFLICT ("tenant", "stream") DO UPDATE SET "version" = excluded."version",'
            ' "event_id" = excluded."event_id", "state" = excluded."state"',
        ),
        insert_checkpoint=RowsStatement(
            f"INSERT INTO {checkpoint} ({listed}) VALUES ",
            f"({_marks(dialect, len(CHECKPOINT_COLUMNS))})",
            ' ON CONFLICT ("tenant", "stream") DO NOTHING',
        ),
        checkpoints=by_stream,
        checkpoints_locked=f'{by_stream} ORDER BY "stream"{dialect.lock_rows}',
        scan=f"SELECT {listed} FROM {checkpoint}"
        f' WHERE ("tenant", "stream") > ({mark}, {mark}) ORDER BY "tenant", "stream" LIMIT {mark}',
        encoders=tuple((column.name, dialect.encode.get(column.type)) for column in view.columns),
        decoders=tuple((column.name, dialect.decode.get(column.type)) for column in view.columns),
        key_encoders=tuple(dialect.encode.get(view.column(name).type) for name in view.key),
    )


def _table(dialect: Dialect, name: str, columns: Any, key: tuple[str, ...]) -> str:
    lines = [f"{quoted(c)} {dialect.types[kind]}{'' if nullable else ' NOT NULL'}" for c, kind, nullable in columns]
    lines.append(f"PRIMARY KEY ({', '.join(quoted(c) for c in key)})")
    return f"CREATE TABLE IF NOT EXISTS {quoted(name)} ({', '.join(lines)}){dialect.table_options}"


def _index(dialect: Dialect, view: View[Any, Any], index: Index) -> str:
    condition = f" WHERE {index_condition(dialect, view, index.where)}" if index.where is not None else ""
    columns = ", ".join(quoted(name) for name in ("tenant", *index.columns))
    digest = hashlib.sha256(f"{view.table} {columns}{condition}".encode()).hexdigest()[:12]
    name = quoted(f"{view.table[:46]}_ix_{digest}")
    return f"CREATE INDEX IF NOT EXISTS {name} ON {quoted(view.table)} ({columns}){condition}"


def _upsert(dialect: Dialect, view: View[Any, Any], names: list[str]) -> RowsStatement:
    table = quoted(view.table)
    key = ", ".join(quoted(name) for name in ("tenant", *view.key))
    listed = ", ".join(quoted(name) for name in ("tenant", *names))
    sets = [f"{quoted(name)} = {_new_value(dialect, view, name)}" for name in names if name not in view.key]
    return RowsStatement(
        f"INSERT INTO {table} ({listed}) VALUES ",
        f"({_marks(dialect, len(names) + 1)})",
        f" ON CONFLICT ({key}) DO UPDATE SET {', '.join(sets)}",
    )


def _new_value(dialect: Dialect, view: View[Any, Any], name: str) -> str:
    column = quoted(name)
    if view.kind is TableKind.OWNED:
        return f"excluded.{column}"
    sum_of = dialect.decimal_sum if view.column(name).type is ColumnType.DECIMAL else "{stored} + {added}"
    return sum_of.format(stored=f"{quoted(view.table)}.{column}", added=f"excluded.{column}")


def _all_zero(dialect: Dialect, view: View[Any, Any]) -> str:
    """A summed row goes only when all its sums are zero."""
    if view.kind is TableKind.OWNED:
        return ""
    zero = {name: dialect.literal(dialect.encoded(view.column(name).type, 0)) for name in sum_columns(view)}
    return "".join(f" AND {quoted(name)} = {text}" for name, text in zero.items())


def _marks(dialect: Dialect, count: int) -> str:
    return ", ".join([dialect.placeholder] * count)


def _through(convert: Conversion | None, value: Any) -> Any:
    return value if convert is None or value is None else convert(value)
