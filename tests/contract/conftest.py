"""Contract suites live in the library; their asserts explain themselves all the same."""

import pytest

pytest.register_assert_rewrite("eventkernel.testing.contracts")
