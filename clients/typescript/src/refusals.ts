import { randomUUID } from "node:crypto";

import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";

import { BadRequestSchema, ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { PRESCRIBER, type Connection } from "./connection.js";
import { content } from "./content.js";

/** Asks for what cannot be, and reads why not from the details of the status (grpc-status-details-bin). */
export async function refusals(connection: Connection, prescriptionId: string): Promise<void> {
  const commands = connection.commands(PRESCRIBER);
  const refused = await refusal(commands.issuePrescription({ requestId: randomUUID(), prescriptionId }));
  const { reason, domain, metadata } = detail(refused, ErrorInfoSchema);
  console.log(
    `refused code=${name(refused)} reason=${reason} domain=${domain} state=${metadata.state} allowed=${metadata.allowed}`,
  );
  const invalid = await refusal(commands.createPrescription({ requestId: "seven", content: content("", 100) }));
  const violations = detail(invalid, BadRequestSchema).fieldViolations.map((v) => `${v.field}:${v.reason}`);
  console.log(
    `invalid code=${name(invalid)} reason=${detail(invalid, ErrorInfoSchema).reason} violations=${violations.join(",")}`,
  );
}

async function refusal(call: Promise<unknown>): Promise<ConnectError> {
  try {
    await call;
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("what cannot be was not refused");
}

function detail<Kind extends DescMessage>(error: ConnectError, kind: Kind): MessageShape<Kind> {
  const found = error.findDetails(kind)[0];
  if (found === undefined) {
    throw error;
  }
  return found;
}

/** The code as the specification of gRPC writes it: FailedPrecondition becomes FAILED_PRECONDITION. */
function name(error: ConnectError): string {
  return ConnectCode[error.code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}
