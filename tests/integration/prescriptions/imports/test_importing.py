"""Imports against a running command service."""

import shutil
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import pytest

from prescriptions.domain.commands import CreatePrescription
from prescriptions.domain.profiles import US
from prescriptions.imports.errors import InputRefused, TargetLost
from prescriptions.imports.imports import Target, import_fhir, import_synthea
from prescriptions.imports.plan import PlannedPrescription
from prescriptions.imports.schedules import shipped_schedules
from prescriptions.imports.sender import Sender, SendLimits
from prescriptions.imports.synthea import read_synthea
from prescriptions.imports.synthea_plan import SyntheaRules, plan_synthea

if TYPE_CHECKING:
    from prescriptions.imports.report import Progress

Service: TypeAlias = Any  # its class is in conftest, which tests cannot import
Serving = Callable[[], AbstractAsyncContextManager[Service]]
IMPATIENT = SendLimits(attempts_max=3, pause_seconds=0.01, pause_seconds_max=0.02)


def planned(sample: Path) -> list[PlannedPrescription]:
    return list(plan_synthea(read_synthea(sample, shipped_schedules()), SyntheaRules(shipped_schedules(), US)))


async def send(service: Service, plans: list[PlannedPrescription]) -> Any:
    async with grpc.aio.insecure_channel(service.target.address) as channel:
        return await Sender([channel], target=service.target.address).send(plans, sources=1)


async def test_every_command_of_the_sample_takes_effect(serving: Serving, sample: Path) -> None:
    async with serving() as service:
        report = await import_synthea(sample, service.target)
        assert report.complete
        assert (report.sources, report.prescriptions, report.fills) == (87, 104, 302)
        assert report.new == report.commands == service.events == 916
        assert report.refused == ()


async def test_importing_again_changes_nothing(serving: Serving, sample: Path) -> None:
    async with serving() as service:
        await import_synthea(sample, service.target)
        again = await import_synthea(sample, service.target)
        assert again.complete
        assert (again.new, again.known_before) == (0, 916)
        assert service.events == 916


async def test_an_import_that_was_cut_off_is_finished_by_the_next(serving: Serving, sample: Path) -> None:
    async with serving() as service:
        cut = [replace(plan, steps=plan.steps[:4]) for plan in planned(sample)[:50]]
        await send(service, cut)
        report = await import_synthea(sample, service.target)
        assert report.complete
        assert report.known_before == 200
        assert service.events == 916


async def test_tenants_have_an_import_each(serving: Serving, sample: Path) -> None:
    async with serving() as service:
        await import_synthea(sample, service.target)
        other = await import_synthea(sample, Target(service.target.address, tenant="other"))
        assert other.new == 916
        assert service.events == 2 * 916


async def test_fhir_is_imported_once(serving: Serving, fhir_directory: Path) -> None:
    async with serving() as service:
        first = await import_fhir(fhir_directory, service.target)
        again = await import_fhir(fhir_directory, service.target)
        assert first.complete
        assert (first.sources, first.prescriptions, len(first.files)) == (71, 21, 71)
        assert first.new == service.events
        assert (again.new, again.known_before) == (0, first.new)


async def test_a_bad_row_sends_nothing(serving: Serving, sample: Path, tmp_path: Path) -> None:
    async with serving() as service:
        shutil.copytree(sample, tmp_path / "export")
        path = tmp_path / "export" / "medications.csv"
        path.write_text(path.read_text() + "2020-01-01T00:00:00Z,cut off\n")
        with pytest.raises(InputRefused, match=r"medications\.csv:89: PATIENT: missing"):
            await import_synthea(tmp_path / "export", service.target)
        assert service.events == 0


async def test_a_truncated_document_sends_nothing(serving: Serving, fhir_directory: Path, tmp_path: Path) -> None:
    async with serving() as service:
        shutil.copytree(fhir_directory, tmp_path / "fhir")
        path = tmp_path / "fhir" / "MedicationRequest-medrx0302.json"
        path.write_text(path.read_text()[:2_000])
        with pytest.raises(InputRefused, match=r"MedicationRequest-medrx0302\.json:\d+: not JSON.*ends too early"):
            await import_fhir(tmp_path / "fhir", service.target)
        assert service.events == 0


async def test_failures_that_pass_are_retried_with_the_same_ids(serving: Serving, sample: Path) -> None:
    async with serving() as service:
        service.store.refuse_every, service.store.lose_every = 17, 13
        report = await import_synthea(sample, service.target, limits=replace(IMPATIENT, attempts_max=12))
        assert report.complete
        assert report.retries > 0
        assert service.events == 916


async def test_a_refused_command_ends_its_prescription_and_no_other(serving: Serving, sample: Path) -> None:
    async with serving() as service:
        first, *others = planned(sample)
        create = first.steps[0].command
        assert isinstance(create, CreatePrescription)
        wrong = CreatePrescription(replace(create.content, prescriber=replace(create.content.prescriber, npi="1")))
        spoilt = replace(first, steps=(replace(first.steps[0], command=wrong), *first.steps[1:]))
        report = await send(service, [spoilt, *others])
        (refused,) = report.refused
        assert (refused.command, refused.reason, refused.not_sent) == (
            "CreatePrescription",
            "INVALID_NPI",
            len(first.steps) - 1,
        )
        assert refused.source == first.source
        assert report.refusals == {"INVALID_NPI": 1}
        assert report.accepted == report.commands - len(first.steps)
        assert not report.complete


async def test_a_row_that_was_changed_is_told_from_one_that_is_repeated(serving: Serving, sample: Path) -> None:
    async with serving() as service:
        first = planned(sample)[0]
        await send(service, [first])
        create = first.steps[0].command
        assert isinstance(create, CreatePrescription)
        changed = CreatePrescription(replace(create.content, refills_allowed=99))
        report = await send(
            service, [replace(first, steps=(replace(first.steps[0], command=changed), *first.steps[1:]))]
        )
        assert report.refusals == {"IDEMPOTENCY_MISMATCH": 1}


async def test_progress_ends_with_everything_done(serving: Serving, sample: Path) -> None:
    async with serving() as service:
        told: list[Progress] = []
        report = await import_synthea(sample, service.target, progress=told.append)
        assert len(told) == report.prescriptions
        assert [one.commands_done for one in told] == sorted(one.commands_done for one in told)
        assert (told[-1].commands_done, told[-1].commands_total, told[-1].fills_done) == (916, 916, 302)
        assert told[-1].commands_per_second > 0


async def test_a_service_that_is_gone_ends_the_import(sample: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        target = Target(f"127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(TargetLost, match="after 3 attempts") as lost:
            await import_synthea(sample, target, limits=IMPATIENT)
    assert lost.value.attempts == 3
