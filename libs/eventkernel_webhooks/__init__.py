"""Webhooks of contexts built on eventkernel, as Standard Webhooks (www.standardwebhooks.com) say (docs/webhooks.md)."""
