"""Contract suites live in the library; their asserts explain themselves all the same."""

import pytest

pytest.register_assert_rewrite("eventkernel.testing.contracts")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what an adapter does not declare: a true difference of stores is no test that was skipped."""
    from eventkernel.testing.contracts.features import Suite, applies

    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        suite = item.cls if isinstance(item, pytest.Function) else None
        fits = suite is None or not issubclass(suite, Suite) or applies(item.function, suite)  # type: ignore[attr-defined]
        (kept if fits else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
