"""Contract suites: what every adapter of a port must pass, shipped beside the ports.

A suite is a class of ``async def test_…`` methods with plain asserts; it needs no test framework to be imported. A project
tests its adapter by deriving a class from the suite and giving it the fixture the suite's docstring names, under pytest
with pytest-asyncio. True differences between adapters are declared in ``features``, never found out by failing.
"""
