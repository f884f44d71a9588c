import httpcore
import pytest

from eventkernel.errors import InvalidCommand
from eventkernel_webhooks.addresses import CheckedBackend, checked_url, is_public
from eventkernel_webhooks.errors import AddressRefused


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "198.18.0.1", "192.0.2.1", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1",
        "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::1", "2002:a00:1::1",
    ],
)  # fmt: skip
def test_private_local_and_reserved_addresses_are_not_public_in_any_disguise(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/", "ftp://example.org/", "https://", "https:///path", "https://user@example.org/",
        "https://user:word@example.org/", "https://example.org/#part", "https://example.org:0/", "https://example.org:x/",
        "https://exa mple.org/", "https://example.org/\r\nx: y", "https://ex\u00e4mple.org/", "https://[::1/", "//example.org",
    ],
)  # fmt: skip
def test_urls_that_cannot_be_are_refused(url: str) -> None:
    with pytest.raises(InvalidCommand) as refused:
        checked_url(url, private_allowed=False)
    assert refused.value.field == "url"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.1.2.3:8443", "169.254.169.254", "[::1]", "[fe80::1%25eth0]", "[::ffff:10.0.0.1]:443"]
)
def test_a_url_with_a_private_address_is_refused_unless_these_are_allowed(host: str) -> None:
    url = f"https://{host}/hook"
    with pytest.raises(InvalidCommand, match="private address"):
        checked_url(url, private_allowed=False)
    assert checked_url(url, private_allowed=True) == url


def test_a_url_with_a_public_address_is_allowed() -> None:
    for url in ("https://1.1.1.1/", "https://[2606:4700::1111]:8443/hook"):
        assert checked_url(url, private_allowed=False) == url


def test_http_is_for_trying_out_only() -> None:
    assert checked_url("https://example.org/x?y=1", private_allowed=False) == "https://example.org/x?y=1"
    assert checked_url("http://127.0.0.1:80/", private_allowed=True) == "http://127.0.0.1:80/"


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.215.14", "10.0.0.1"]

    with pytest.raises(AddressRefused):
        await CheckedBackend(private_allowed=False, resolve=resolve).connect_tcp("example.org", 443)


async def test_a_name_without_an_address_cannot_be_connected_to() -> None:
    async def nothing(host: str, port: int) -> list[str]:
        return []

    async def unknown(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    for resolve in (nothing, unknown):
        with pytest.raises(httpcore.ConnectError):
            await CheckedBackend(private_allowed=False, resolve=resolve).connect_tcp("example.org", 443)


async def test_a_local_socket_is_never_connected_to() -> None:
    with pytest.raises(AddressRefused):
        await CheckedBackend(private_allowed=True).connect_unix_socket("/run/some.sock")
