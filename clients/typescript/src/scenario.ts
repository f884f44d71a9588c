/**
 * Drives one prescription through its life over gRPC and prints what it saw, one line for each step.
 *
 * It is written as a client elsewhere would be: generated stubs, retries, tokens, a watch that goes on after a cut, and errors
 * decided by their reason. docs/clients.md says what each line means.
 */

import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";

import { equals } from "@bufbuild/protobuf";

import { ConsistencyMode } from "../gen/erx/eventlog/v1/consistency_pb.js";
import { SigningFactor } from "../gen/erx/prescriptions/types/v1/enums_pb.js";
import { CreatePrescriptionResponseSchema } from "../gen/erx/prescriptions/v1/lifecycle_commands_pb.js";
import { connect, PHARMACY, PRESCRIBER, type Connection } from "./connection.js";
import { content, medication, tablets } from "./content.js";
import { refusals } from "./refusals.js";
import { say } from "./saying.js";
import { watch } from "./watching.js";

const { values: options } = parseArgs({
  options: {
    command: { type: "string", default: "127.0.0.1:50051" },
    query: { type: "string", default: "127.0.0.1:50052" },
    tenant: { type: "string", default: "default" },
  },
});

const connection = connect(options.command, options.query, options.tenant);
try {
  const patient = `patient-${randomUUID()}`;
  const id = await write(connection, patient);
  await fill(connection, id);
  await watch(connection, patient, id);
  await refusals(connection, id);
  console.log("done");
} finally {
  connection.close();
}

/** Drafts, signs and releases a prescription; the draft is sent twice under one requestId. Returns its id. */
async function write(connection: Connection, patient: string): Promise<string> {
  const commands = connection.commands(PRESCRIBER);
  const create = { requestId: randomUUID(), content: content(patient) };
  const draft = await commands.createPrescription(create);
  const id = draft.prescription?.prescriptionId ?? "";
  say("created", draft.prescription, `id=${id}`);
  const again = await commands.createPrescription(create);
  say("repeated", again.prescription, `same=${equals(CreatePrescriptionResponseSchema, draft, again)}`);
  const signed = await commands.signPrescription({
    requestId: randomUUID(),
    prescriptionId: id,
    contentSha256: draft.prescription?.contentSha256,
    signature: new TextEncoder().encode("signed"),
    algorithm: "ES256",
    certificateId: "cert-1",
    factors: [SigningFactor.KNOWLEDGE, SigningFactor.HARD_TOKEN],
  });
  say("signed", signed.prescription);
  const issued = await commands.issuePrescription({ requestId: randomUUID(), prescriptionId: id });
  say("issued", issued.prescription);
  return id;
}

/** Claims and dispenses it, and reads each write at once by the token of its reply. */
async function fill(connection: Connection, id: string): Promise<void> {
  const commands = connection.commands(PHARMACY);
  const claimed = await commands.claimPrescription({
    requestId: randomUUID(),
    prescriptionId: id,
    pharmacy: { ncpdpId: "9900007", npi: "1245319599", name: "Corner Pharmacy" },
  });
  say("claimed", claimed.prescription);
  await read(connection, id, ConsistencyMode.OVERLAY, claimed.token);
  const dispensed = await commands.dispenseMedication({
    requestId: randomUUID(),
    prescriptionId: id,
    claimToken: claimed.claimToken,
    dispenseId: randomUUID(),
    product: medication(),
    quantity: tablets("30"),
    daysSupply: 15,
  });
  say("dispensed", dispensed.prescription);
  await read(connection, id, ConsistencyMode.AT_LEAST, dispensed.token);
}

async function read(connection: Connection, id: string, mode: ConsistencyMode, token: Uint8Array): Promise<void> {
  const shown = await connection.queries().fetchPrescription({ prescriptionId: id, token, consistency: mode });
  const reached = shown.asOf?.requestedTokenReached;
  say("read", shown.prescription, `mode=${ConsistencyMode[mode]}`, `reached=${reached}`);
}
