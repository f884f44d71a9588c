"""A store of version 1 bytes beside one of today's, small: all of it is ``python -m bootstrap.testing.generations_show``."""

from pathlib import Path

from bootstrap.testing.generations_show import show


async def test_todays_servers_answer_every_question_about_a_store_of_the_first_version(tmp_path: Path) -> None:
    shown = await show(tmp_path, 18, rounds=1)
    assert shown.questions > 50
    assert shown.differences == ()
    assert shown.unknown_not_told == ()
    assert shown.audit_differences == ()
