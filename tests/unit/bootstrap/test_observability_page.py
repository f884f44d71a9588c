from bootstrap.checkout import ROOT
from bootstrap.metrics import Metrics

PAGE = ROOT / "docs" / "operations" / "observability.md"
MADE_LATER = ("erx_aggregate_cache", "erx_row_cache", "erx_row_cache_states", "erx_overlay_events", "erx_rebuild_phase")


def test_every_metric_is_on_the_page_of_operations() -> None:
    page = PAGE.read_text(encoding="utf-8")
    names = {
        family.name + ("_total" if family.type == "counter" else "") for family in Metrics().registry.collect()
    } | set(MADE_LATER)
    assert not sorted(name for name in names if name not in page)
