import pytest

from eventkernel.testing.contracts.webhook_store import WebhookStoreContract
from eventkernel_memory.webhook_store import MemoryWebhookStore


class TestMemoryWebhookStore(WebhookStoreContract):
    @pytest.fixture
    def webhooks(self) -> MemoryWebhookStore:
        return MemoryWebhookStore()
