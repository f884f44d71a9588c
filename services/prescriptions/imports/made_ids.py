"""Identifiers that the sources lack, made deterministically and with right check digits.

The digits come from the SHA-256 of a kind and a source's own id, so the same provider has the same numbers in every run and
in every place. They are shaped like the real ones and belong to nobody on purpose: whether one is registered is unknown.
"""

from functools import lru_cache
from hashlib import sha256
from uuid import UUID, uuid5

NAMESPACE = UUID("0f8c2d5b-6d0e-5f5a-9d0b-3a1c7e4b9f26")

_DEA_TYPES = "BFM"


def made_uuid(*parts: str) -> UUID:
    """The version 5 UUID of the parts, in their order."""
    return uuid5(NAMESPACE, "|".join(parts))


@lru_cache(maxsize=4096)
def made_npi(source_id: str) -> str:
    """A National Provider Identifier: 1, eight made digits, and the Luhn digit over 80840 and those nine."""
    body = "1" + _digits("npi", source_id, 8)
    return body + str(_luhn_digit("80840" + body))


@lru_cache(maxsize=4096)
def made_dea_number(source_id: str) -> str:
    """A DEA number: a practitioner's type letter, a made letter, six made digits, and (d1+d3+d5) + 2(d2+d4+d6) modulo 10."""
    body = _digits("dea", source_id, 6)
    seed = _seed("dea-letters", source_id)
    letters = _DEA_TYPES[seed % 3] + chr(ord("A") + seed // 3 % 26)
    return letters + body + str(_odd_and_twice_even(body) % 10)


@lru_cache(maxsize=4096)
def made_ncpdp_id(source_id: str) -> str:
    """An NCPDP provider id: six made digits and the same check digit as a DEA number's."""
    body = _digits("ncpdp", source_id, 6)
    return body + str(_odd_and_twice_even(body) % 10)


def _seed(kind: str, source_id: str) -> int:
    return int.from_bytes(sha256(f"{kind}|{source_id}".encode()).digest()[:8], "big")


def _digits(kind: str, source_id: str, count: int) -> str:
    return f"{_seed(kind, source_id) % 10**count:0{count}d}"


def _luhn_digit(body: str) -> int:
    total = 0
    for place, character in enumerate(reversed(body)):
        digit = int(character) * (2 if place % 2 == 0 else 1)
        total += digit - 9 if digit > 9 else digit
    return -total % 10


def _odd_and_twice_even(body: str) -> int:
    digits = [int(character) for character in body]
    return sum(digits[0::2]) + 2 * sum(digits[1::2])
