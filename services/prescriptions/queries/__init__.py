"""The query side's use cases, one module each: from a request to a reply, over ports alone (docs/queries.md)."""
