import { PrescriptionStatus } from "../gen/erx/prescriptions/types/v1/enums_pb.js";
import type { Prescription } from "../gen/erx/prescriptions/v1/prescription_pb.js";

/** Prints one step: its name, the version and status of the prescription, and what else there is. */
export function say(step: string, shown: Prescription | undefined, ...more: string[]): void {
  if (shown === undefined) {
    throw new Error(`${step}: the reply holds no prescription`);
  }
  const status = PrescriptionStatus[shown.status];
  console.log([step, `version=${shown.version}`, `status=${status}`, ...more].join(" "));
}
