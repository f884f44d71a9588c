"""Any filter, order and page means in Postgres what it means in Python."""

from random import Random

import psycopg
from hypothesis import given, settings
from hypothesis import strategies as st

from eventkernel.filters import is_after, matches, sort_rows
from eventkernel.ids import StreamId
from eventkernel.sql import count_statement, select_statement
from eventkernel.sql_dialect import POSTGRES
from eventkernel.testing.view_samples import every_type_view, random_query, random_row
from eventkernel_postgres.batches import view_batches
from localstack import PostgresServer

EXAMPLES = 60
QUERIES = 10


@settings(max_examples=EXAMPLES)
@given(random=st.randoms(use_true_random=False), count=st.integers(0, 30))
def test_postgres_selects_orders_and_counts_what_python_does(
    postgres_server: PostgresServer, random: Random, count: int
) -> None:
    view = every_type_view("every")
    batches = view_batches(view)
    stored = [random_row(random, view, f"{number:02}") for number in range(count)]
    rows = [batches.tables.owned_parameters(StreamId("default", f"thing-{row['id']}"), 1, row) for row in stored]
    with psycopg.connect(postgres_server.dsn(), options="-c timezone=UTC -c search_path=pg_temp") as connection:
        for text in (*batches.tables.tables, *batches.tables.indexes):
            connection.execute(text.encode())
        for statement in batches.upsert.of(rows):
            connection.execute(statement.text.encode(), statement.parameters)
        for _ in range(QUERIES):
            query = random_query(random, view, "default", stored)
            expected = [row for row in stored if matches(query.where, row)]
            counted = count_statement(POSTGRES, view, query)
            assert connection.execute(counted.text.encode(), counted.parameters).fetchone() == (len(expected),)
            page = [row for row in expected if query.after is None or is_after(query.order, row, query.after)]
            selected = select_statement(POSTGRES, view, query)
            cursor = connection.execute(selected.text.encode(), selected.parameters, binary=True)
            found = [batches.tables.row(row) for row in cursor.fetchall()]
            assert found == sort_rows(query.order, page)[: query.limit]
        connection.rollback()
