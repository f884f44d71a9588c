import pytest

from bootstrap.settings import SettingsError, load
from bootstrap.stores.stack import postgres_of_views, postgres_of_webhooks


@pytest.mark.parametrize("most", [6, 10, 24, 100])
def test_views_and_webhooks_together_take_as_many_connections_as_the_setting_says(most: int) -> None:
    settings = load(postgres_connections_max=most)
    found = [postgres_of_views(settings), postgres_of_webhooks(settings)]
    assert sum(one.writers_max + one.readers_max for one in found) == most
    assert found[0].schema != found[1].schema


def test_too_few_connections_are_refused() -> None:
    with pytest.raises(SettingsError, match="postgres_connections_max"):
        load(postgres_connections_max=5)
