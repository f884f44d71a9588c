import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

import { Code, ConnectError } from "@connectrpc/connect";

import type { WatchPrescriptionsResponse } from "../gen/erx/prescriptions/v1/watch_service_pb.js";
import { PRESCRIBER, type Connection } from "./connection.js";
import { say } from "./saying.js";

/** Follows the patient's prescriptions, hears of one change, is cut off, and goes on where it was. */
export async function watch(connection: Connection, patientId: string, prescriptionId: string): Promise<void> {
  const commands = connection.commands(PRESCRIBER);
  let token: Uint8Array = new Uint8Array();
  for await (const { told, resumeToken } of following(connection, patientId, token)) {
    token = resumeToken;
    if (told.case === "row") {
      say("watched row", told.value);
    } else if (told.case === "rowsComplete") {
      console.log("watched rows_complete");
      const reason = { text: "laboratory values awaited" };
      const reply = await commands.suspendPrescription({ requestId: randomUUID(), prescriptionId, reason });
      say("suspended", reply.prescription);
    } else if (told.case === "changed") {
      say("watched changed", told.value.prescription, `event=${told.value.eventType}`);
      break;
    }
  }
  // Nobody watches while this happens; the token remembers where to go on.
  const reply = await commands.resumePrescription({ requestId: randomUUID(), prescriptionId });
  say("resumed", reply.prescription);
  for await (const { told } of following(connection, patientId, token)) {
    if (told.case === "changed") {
      say("watched changed", told.value.prescription, `event=${told.value.eventType}`);
      break;
    } else if (told.case !== "heartbeat") {
      throw new Error(`a resumed watch told a ${told.case} again`);
    }
  }
}

/** Yields what the watch tells, without a deadline; where the call breaks off it is made again with the last token. Leaving the loop ends it. */
async function* following(
  connection: Connection,
  patientId: string,
  token: Uint8Array,
): AsyncGenerator<WatchPrescriptionsResponse> {
  const watches = connection.watches();
  for (let wait = 50; ; wait = Math.min(2 * wait, 1000)) {
    const cut = new AbortController();
    try {
      const request = { filter: { patientId }, resumeToken: token };
      for await (const message of watches.watchPrescriptions(request, { signal: cut.signal, timeoutMs: 0 })) {
        token = message.resumeToken;
        yield message;
      }
      throw new Error("the watch came to an end");
    } catch (error) {
      const failed = ConnectError.from(error);
      if (![Code.Unavailable, Code.ResourceExhausted, Code.Canceled].includes(failed.code)) {
        throw error;
      }
      await pause(wait);
    } finally {
      cut.abort();
    }
  }
}
