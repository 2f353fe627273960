// Calls to the server, with types from its OpenAPI document, and the names of its resources.

import createClient from "openapi-fetch";
import { useEffect, useState } from "react";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type TunedModel = Schemas["TunedModelOut"];
export type BaseModel = Schemas["ModelOut"];
export type Operation = Schemas["OperationOut"];
export type Snapshot = Schemas["SnapshotOut"];

export const api = createClient<paths>({ baseUrl: "", credentials: "same-origin" });

const GATEWAY = [502, 503, 504];
const SIGN_IN_REASONS = ["ACCESS_TOKEN_SCOPE_INSUFFICIENT", "CREDENTIALS_MISSING"];

/** What is wrong with one field; in examples, the field is "row 3, column output". */
type Violation = { field?: string; description?: string };

/** An error of the server: message, HTTP code, google.rpc status, reason and wrong fields. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly code: number,
    readonly status: string,
    readonly reason = "",
    readonly violations: Violation[] = [],
  ) {
    super(message);
  }
}

/** The data of a reply; throws ApiError if the server refused the request. */
export function dataOf<T>(reply: { data?: T; error?: unknown; response: Response }): T {
  if (reply.response.ok) return reply.data as T;
  throw errorFrom(reply.error, reply.response.status);
}

export function errorFrom(body: unknown, httpStatus: number): ApiError {
  const { error, detail } = (body ?? {}) as { error?: ErrorBody; detail?: { msg: string }[] };
  if (detail) return new ApiError(detail.map(({ msg }) => msg).join(" "), httpStatus, "INVALID_ARGUMENT");
  const reason = error?.details?.find((detail) => detail.reason)?.reason;
  const violations = error?.details?.flatMap(({ fieldViolations }) => fieldViolations ?? []);
  const { message = `HTTP ${httpStatus}`, code = httpStatus, status = "" } = error ?? {};
  return new ApiError(message, code, status, reason, violations);
}

type ErrorBody = { message?: string; status?: string; code?: number; details?: Detail[] };
type Detail = { reason?: string; fieldViolations?: Violation[] };

/** Whether no reply came back, or only one from a gateway. */
export function isLost(error: unknown): boolean {
  return error instanceof ApiError ? GATEWAY.includes(error.code) && !error.status : error != null;
}

/** Whether signing in would help. */
export function needsSignIn(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  return error.code === 401 || SIGN_IN_REASONS.includes(error.reason);
}

/** Whether the server no longer knows who is calling. */
export function isSignedOut(error: unknown): boolean {
  return error instanceof ApiError && (error.code === 401 || error.reason === "CREDENTIALS_MISSING");
}

/** Send and receive JSON, for calls whose reply type depends on the query. */
export async function send<T>(method: string, path: string, body?: unknown): Promise<T> {
  const reply = await fetch(path, {
    method,
    credentials: "same-origin",
    headers: { "Content-Type": "application/json" },
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const content: unknown = await reply.json().catch(() => undefined);
  if (!reply.ok) throw errorFrom(content, reply.status);
  return content as T;
}

/** The value after it has not changed for `pauseMs`. */
export function useDebounced<T>(value: T, pauseMs: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), pauseMs);
    return () => clearTimeout(timer);
  }, [value, pauseMs]);
  return settled;
}

/** Whether a name stands for other weights, like the names of Google's models in old code. */
export const isAlias = ({ name, baseWeights }: BaseModel) => name !== `models/${baseWeights}`;

/** Whether the caller may change a tuned model. */
export const canEdit = ({ role }: TunedModel) => role === "OWNER" || role === "WRITER";

/** Whether the user may see the rows that a model was tuned on; readers may if the owner shares them. */
export const maySeeExamples = (model: TunedModel) => canEdit(model) || model.examplesShared === true;

const EPOCH = "@epoch-"; // between the name of a tuned model and an epoch

/** The last part of a name, without its epoch. */
export const idOf = (name: string) => splitEpoch(name)[0].slice(name.lastIndexOf("/") + 1);

/** A name without its epoch, and the epoch ("" for none). */
export function splitEpoch(name: string): [string, string] {
  const [plain = "", epoch = ""] = name.split(EPOCH);
  return [plain, epoch];
}

export const atEpoch = (name: string, epoch: string) => (epoch ? name + EPOCH + epoch : name);
