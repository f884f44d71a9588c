package main

import (
	"google.golang.org/genproto/googleapis/type/decimal"

	types "erx.example/clients/gen/erx/prescriptions/types/v1"
	erx "erx.example/clients/gen/erx/prescriptions/v1"
)

// content is what the prescriber writes.
func content(patient string) *erx.PrescriptionContent {
	return &erx.PrescriptionContent{
		PatientId:      patient,
		Prescriber:     &types.PersonRef{Id: "dr-1", Npi: "1234567893"},
		Medication:     medication(),
		Schedule:       types.Schedule_SCHEDULE_NONE,
		Quantity:       tablets("30"),
		RefillsAllowed: 1,
		Dosage:         &types.Dosage{Text: "one tablet twice a day"},
		Substitution:   types.Substitution_SUBSTITUTION_ALLOWED,
	}
}

func medication() []*types.Coding {
	return []*types.Coding{{
		System: "http://www.nlm.nih.gov/research/umls/rxnorm", Code: "849574", Display: "Naproxen 220 mg",
	}}
}

func tablets(amount string) *types.Quantity {
	return &types.Quantity{Value: &decimal.Decimal{Value: amount}, UnitText: "tablet"}
}
