"""Code systems that the imports write, by their URIs."""

from typing import Final

RXNORM: Final = "http://www.nlm.nih.gov/research/umls/rxnorm"
NDC: Final = "http://hl7.org/fhir/sid/ndc"
SNOMED: Final = "http://snomed.info/sct"
UCUM: Final = "http://unitsofmeasure.org"
ORDERABLE_DRUG_FORM: Final = "http://terminology.hl7.org/CodeSystem/v3-orderableDrugForm"
COMPOUND: Final = "urn:erx:compound"  # a mixture without a code of its own: the codes of its ingredients, joined by +
