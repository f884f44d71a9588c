"""The shipped profiles hold what the law and the tables say."""

from datetime import timedelta

import pytest

from prescriptions.domain.profiles import ACUTE, PATIENT_WITHDRAWAL, PROFILES, REPEAT, US, Profile
from prescriptions.domain.values import Schedule


def test_profiles_are_found_by_name() -> None:
    assert list(PROFILES) == ["us", "acute", "repeat", "patient_withdrawal"]
    assert all(profile.name == name for name, profile in PROFILES.items())


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_every_profile_has_a_rule_for_every_schedule(profile: Profile) -> None:
    assert set(profile.schedules) == set(Schedule)


@pytest.mark.parametrize(
    ("schedule", "refills_max"),
    [(Schedule.II, 0), (Schedule.III, 5), (Schedule.IV, 5), (Schedule.V, 99), (Schedule.NONE, 99)],
)
def test_refills_are_capped_by_schedule(schedule: Schedule, refills_max: int) -> None:
    assert {profile.schedules[schedule].refills_max for profile in PROFILES.values()} == {refills_max}


def test_controlled_substances_take_two_factors_everywhere() -> None:
    for profile in PROFILES.values():
        assert {s for s, rule in profile.schedules.items() if rule.signing_factors_min == 2} == set(Schedule) - {
            Schedule.NONE
        }


def test_dea_numbers_are_asked_for_in_the_us_alone() -> None:
    assert {s for s, rule in US.schedules.items() if rule.dea_required} == set(Schedule) - {Schedule.NONE}
    assert not any(rule.dea_required for p in (ACUTE, REPEAT) for rule in p.schedules.values())


def test_patients_withdraw_in_one_profile_alone() -> None:
    assert {p.name for p in PROFILES.values() if p.cancellers} == {"patient_withdrawal"}
    assert PATIENT_WITHDRAWAL.cancellers == {"patient", "representative"}


def test_the_defaults_of_the_us_profile() -> None:
    assert US.nomination_binds
    assert not US.npi_first_digit
    assert US.refill_share is None
    assert US.reversal_window == timedelta(days=14)
