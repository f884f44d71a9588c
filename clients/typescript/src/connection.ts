import { setTimeout as pause } from "node:timers/promises";

import { Code, ConnectError, createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { PrescriptionCommandService } from "../gen/erx/prescriptions/v1/command_service_pb.js";
import { PrescriptionQueryService } from "../gen/erx/prescriptions/v1/query_service_pb.js";
import { PrescriptionWatchService } from "../gen/erx/prescriptions/v1/watch_service_pb.js";

const CALL_MS = 30_000;
const ATTEMPTS_MAX = 4;

/** Who acts: what the metadata of a call says. */
export interface Actor {
  id: string;
  role: string;
  organisation?: string;
}

export const PRESCRIBER: Actor = { id: "dr-1", role: "prescriber" };
export const PHARMACY: Actor = { id: "rph-1", role: "pharmacy", organisation: "9900007" };

/** Clients of both servers for whoever acts. */
export interface Connection {
  commands(actor: Actor): Client<typeof PrescriptionCommandService>;
  queries(): Client<typeof PrescriptionQueryService>;
  watches(): Client<typeof PrescriptionWatchService>;
  close(): void;
}

export function connect(command: string, query: string, tenant: string): Connection {
  const sessions = new Map([command, query].map((at) => [at, new Http2SessionManager(`http://${at}`)]));
  const transport = (at: string, actor?: Actor) =>
    createGrpcTransport({
      baseUrl: `http://${at}`,
      sessionManager: sessions.get(at),
      defaultTimeoutMs: CALL_MS,
      interceptors: [retries, saying(tenant, actor)],
    });
  return {
    commands: (actor) => createClient(PrescriptionCommandService, transport(command, actor)),
    queries: () => createClient(PrescriptionQueryService, transport(query)),
    watches: () => createClient(PrescriptionWatchService, transport(query)),
    close: () => sessions.forEach((session) => session.abort()),
  };
}

function saying(tenant: string, actor?: Actor): Interceptor {
  return (next) => (request) => {
    request.header.set("erx-tenant", tenant);
    if (actor !== undefined) {
      request.header.set("erx-actor-id", actor.id);
      request.header.set("erx-actor-role", actor.role);
      if (actor.organisation !== undefined) {
        request.header.set("erx-organisation-id", actor.organisation);
      }
    }
    return next(request);
  };
}

// Connect reads no service config, so its one rule is written here: only UNAVAILABLE is tried again, after as long as the
// server asks for, with the same request and so the same requestId. That is why it is safe. Streams are resumed instead.
const retries: Interceptor = (next) => async (request) => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await next(request);
    } catch (error) {
      const failed = ConnectError.from(error);
      if (request.stream || failed.code !== Code.Unavailable || attempt === ATTEMPTS_MAX) {
        throw failed;
      }
      await pause(asked(failed) ?? 50 * 2 ** attempt, undefined, { signal: request.signal });
    }
  }
};

function asked(failed: ConnectError): number | undefined {
  const delay = failed.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6;
}
