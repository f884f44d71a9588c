"""Read models in PostgreSQL. Needs the extra ``postgres`` (psycopg 3 with its pool)."""
