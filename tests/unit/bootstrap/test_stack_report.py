from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bootstrap.bench.stack import per_event, together
from bootstrap.bench.stack_chart import chart
from bootstrap.bench.stack_report import PARTS, finished, table, target

MACHINE = {"processors": 4, "load_before": 1.0, "python": "3.11", "servers": {"cassandra": "5.0.6"}, "clients": {}}


def row(rate: float, **more: Any) -> dict[str, Any]:
    return {"per_second": rate, "p50_ms": 5.0, "p99_ms": 400.0, "cpu_us": 500.0, "peak_mib": 80.0, **more}


@pytest.fixture
def facts() -> dict[str, Any]:
    rows = {name: row(1_000.0) for _, name, _ in PARTS}
    rows["appends cassandra-driver 1"] = row(2_000.0)
    rows["produce"] = row(30_000.0)
    rows["cursors"] = row(4_000.0)
    return finished(rows, MACHINE, 5.0)


def test_commands_are_compared_with_as_many_bare_processes(facts: dict[str, Any]) -> None:
    assert facts["rows"]["commands 1"]["ratio"] == 0.5
    assert facts["rows"]["commands 2"]["ratio"] == 1.0


def test_the_relay_is_compared_with_the_slower_of_its_two_sides(facts: dict[str, Any]) -> None:
    assert facts["rows"]["relay"]["ratio"] == 0.25


def test_every_target_says_what_was_wanted_found_and_reached(facts: dict[str, Any]) -> None:
    reached = {(t["part"], t["wanted"]): t["reached"] for t in facts["targets"]}
    assert reached == {
        ("b", "≥ 0.7"): False,
        ("b", "≥ 0.25"): True,
        ("b", "≤ 0.6"): True,
        ("c", "≥ 0.3"): False,
        ("d", "≥ 0.3"): True,
        ("e", "≤ 500"): True,
        ("f", "≤ 10"): True,
        ("f", "≤ 1"): False,
    }


def test_of_some_parts_alone_there_are_rows_ratios_and_targets_of_these() -> None:
    rows = {name: row(1_000.0) for part, name, _ in PARTS if part in "ef"}
    found = finished(rows, MACHINE, 5.0)
    assert {target["part"] for target in found["targets"]} == {"e", "f"}
    assert [name for name, facts in found["rows"].items() if "ratio" in facts] == ["load events", "load snapshot"]
    assert ET.fromstring(chart(found)) is not None
    assert table(found).row_count == len(rows)


def test_a_target_is_reached_at_its_very_limit() -> None:
    assert target("x", "", 0.3, at_least=0.3)["reached"]
    assert target("x", "", 10.0, at_most=10)["reached"]
    assert not target("x", "", 10.1, at_most=10)["reached"]


def test_the_chart_is_an_image_with_a_bar_for_every_measure(facts: dict[str, Any]) -> None:
    root = ET.fromstring(chart(facts))
    bars = [shape for shape in root if shape.tag.endswith("rect") and shape.get("x")]
    assert len(bars) == len(PARTS)
    texts = " ".join(shape.text or "" for shape in root)
    assert all(text in texts for _, _, text in PARTS)


def test_processes_add_up_and_percentiles_are_the_worst() -> None:
    one = row(100.0, operations=300, seconds=3.0, busy=0.5)
    two = row(50.0, operations=150, seconds=3.5, busy=0.2) | {"p99_ms": 900.0, "cpu_us": 800.0}
    both = together([one, two])
    assert both["per_second"] == 150.0
    assert both["p99_ms"] == 900.0
    assert both["cpu_us"] == 600.0
    assert both["peak_mib"] == 160.0


def test_a_cursor_is_told_as_the_events_it_moves_over() -> None:
    assert per_event(row(100.0))["per_second"] == 300.0
