import type { MessageInitShape } from "@bufbuild/protobuf";

import { Schedule, Substitution } from "../gen/erx/prescriptions/types/v1/enums_pb.js";
import type { CodingSchema, QuantitySchema } from "../gen/erx/prescriptions/types/v1/values_pb.js";
import type { PrescriptionContentSchema } from "../gen/erx/prescriptions/v1/prescription_pb.js";

/** What the prescriber writes. */
export function content(patientId: string, refillsAllowed = 1): MessageInitShape<typeof PrescriptionContentSchema> {
  return {
    patientId,
    prescriber: { id: "dr-1", npi: "1234567893" },
    medication: medication(),
    schedule: Schedule.NONE,
    quantity: tablets("30"),
    refillsAllowed,
    dosage: { text: "one tablet twice a day" },
    substitution: Substitution.ALLOWED,
  };
}

export function medication(): MessageInitShape<typeof CodingSchema>[] {
  return [{ system: "http://www.nlm.nih.gov/research/umls/rxnorm", code: "849574", display: "Naproxen 220 mg" }];
}

export function tablets(amount: string): MessageInitShape<typeof QuantitySchema> {
  return { value: { value: amount }, unitText: "tablet" };
}
