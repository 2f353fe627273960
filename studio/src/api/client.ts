// The only place that calls the server: typed from its OpenAPI document, public paths only.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type TunedModel = Schemas["TunedModelOut"];
export type BaseModel = Schemas["ModelOut"];
export type Operation = Schemas["OperationOut"];
export type Snapshot = Schemas["SnapshotOut"];

export const api = createClient<paths>({ baseUrl: "", credentials: "same-origin" });

/** An error of the server: its sentence, and the code for small print. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly code: number,
    readonly status: string,
  ) {
    super(message);
  }
}

/** The data of a reply; throws ApiError with what the server says is wrong. */
export function dataOf<T>(reply: { data?: T; error?: unknown; response: Response }): T {
  if (reply.response.ok) return reply.data as T;
  throw errorFrom(reply.error, reply.response.status);
}

export function errorFrom(body: unknown, httpStatus: number): ApiError {
  const error = (body as { error?: { message?: string; status?: string; code?: number } } | undefined)?.error;
  return new ApiError(error?.message ?? `HTTP ${httpStatus}`, error?.code ?? httpStatus, error?.status ?? "");
}
