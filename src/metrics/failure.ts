import { ERROR_TABLE, type ErrorCode } from '../errors.ts'
import { STATUS_CODES } from '../transport/node-http.ts'
import type { CancelReason } from '../transport/upstream.ts'
import type { Attributes } from './cells.ts'

/** What went wrong, as labels say it: few values, whatever the other side says. */
export interface Failure {
  readonly type: string
  readonly attributes: Attributes
}

const table = new Map<string, Failure>()

function failure(type: string, rpcCode?: number): Failure {
  const attributes = {
    'error.type': type,
    ...(rpcCode !== undefined && { 'rpc.response.status_code': String(rpcCode) })
  }
  const made = { type, attributes }
  table.set(type, made)
  return made
}

for (const [code, { rpc }] of Object.entries(ERROR_TABLE)) failure(code, rpc)

/** The client left, or closed its connection, before the answer was complete. */
export const CLIENT_GONE = failure('client_gone')
/** The result of a tool says `isError` (the name is that of the conventions). */
export const TOOL_ERROR = failure('tool_error')
/** As the conventions call what has no value of its own. */
export const OTHER_ERROR = failure('_OTHER')

/** Codes that JSON-RPC 2.0, MCP or its SDKs define. */
const RPC_CODES = [
  ...[-32700, -32600, -32601, -32602, -32603, -32000, -32001, -32002, -32003, -32004],
  ...[-32020, -32021, -32022, -32042]
]
for (const code of RPC_CODES) failure(String(code), code)
for (const status of Object.keys(STATUS_CODES)) if (status >= '300') failure(status)

/** One of catflap's own errors. */
export function failureOf(code: string): Failure {
  return table.get(code) ?? OTHER_ERROR
}

/** A JSON-RPC error, by its code. */
export function rpcFailure(code: unknown): Failure {
  return typeof code === 'number' && code < 0 ? failureOf(String(code)) : OTHER_ERROR
}

/** An answer over HTTP that is an error; undefined where it is none. */
export function statusFailure(status: number | undefined): Failure | undefined {
  return status === undefined || status < 400 ? undefined : failureOf(String(status))
}

const CANCELLED: Readonly<Record<CancelReason, ErrorCode | 'client_gone'>> = {
  'client-gone': 'client_gone',
  'client-cancelled': 'cancelled',
  timeout: 'upstream_timeout',
  shutdown: 'shutting_down'
}

/** A call that was given up. */
export function cancelFailure(reason: CancelReason): Failure {
  return failureOf(CANCELLED[reason])
}
