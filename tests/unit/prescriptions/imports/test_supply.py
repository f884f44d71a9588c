from datetime import timedelta
from decimal import Decimal

import pytest

from prescriptions.imports.supply import days_supply_of, quantity_of
from prescriptions.imports.synthea import MedicationRow


@pytest.mark.parametrize(
    ("interval", "days"),
    [
        (timedelta(days=30), 30),
        (timedelta(hours=2), 1),
        (timedelta(days=371), 90),
        (timedelta(), 30),
        (timedelta(days=30, hours=13), 31),
    ],
)
def test_a_fill_lasts_until_the_next_within_one_and_ninety_days(interval: timedelta, days: int) -> None:
    assert days_supply_of(interval) == days


@pytest.mark.parametrize(
    ("description", "value", "unit"),
    [
        ("lisinopril 10 MG Oral Tablet", "30", "{tablet}"),
        ("Acetaminophen 325 MG / Oxycodone Hydrochloride 10 MG Oral Tablet [Percocet]", "30", "{tablet}"),
        ("ramipril 2.5 MG Oral Capsule", "30", "{capsule}"),
        ("72 HR Fentanyl 0.025 MG/HR Transdermal System", "10", "{patch}"),
        ("168 HR Ethinyl Estradiol 0.00146 MG/HR / norelgestromin 0.00625 MG/HR Transdermal System", "5", "{patch}"),
        ("Yaz 28 Day Pack", "1", "{pack}"),
        ("Mirena 52 MG Intrauterine System", "1", "{device}"),
        ("120 ACTUAT fluticasone propionate 0.044 MG/ACTUAT Metered Dose Inhaler [Flovent]", "1", "{inhaler}"),
        ("NDA020800 0.3 ML Epinephrine 1 MG/ML Auto-Injector", "2", "{auto-injector}"),
        ("1 ML heparin sodium  porcine 5000 UNT/ML Injection", "1", "{vial}"),
        ("Memantine hydrochloride 2 MG/ML Oral Solution", "300", "mL"),
        ("sodium fluoride 0.0272 MG/MG Oral Gel", "56", "g"),
        ("fosfomycin 3000 MG Powder", "1", "{sachet}"),
        ("something in a new form", "1", "{unit}"),
    ],
)
def test_the_dose_form_decides_amount_and_unit(description: str, value: str, unit: str) -> None:
    quantity = quantity_of(description, 30)
    assert (quantity.value, quantity.unit_code) == (Decimal(value), unit)


def test_every_product_of_the_set_has_a_rule_of_its_form(synthea_rows: tuple[MedicationRow, ...]) -> None:
    without = {row.description for row in synthea_rows if quantity_of(row.description, 30).unit_code == "{unit}"}
    assert without == set()
