/**
 * Everything catflap answers in a server's place, or ends with. docs/errors.md lists the same codes; a test compares.
 *
 * JSON-RPC codes of our own stay out of -32768…-32000, which JSON-RPC and MCP reserve (spec 2026-07-28 basic/index, "Error
 * Codes"); the reserved ones appear here only as they are defined there.
 */

interface ErrorKind {
  readonly status: number
  readonly rpc: number
  /** What it means and what to do about it, for docs/errors.md. */
  readonly help: string
}

const table = {
  // Requests that are wrong
  parse_error: { status: 400, rpc: -32700, help: 'The body is not JSON. Send one JSON-RPC message as UTF-8 JSON.' },
  invalid_request: {
    status: 400,
    rpc: -32600,
    help: 'The JSON is no JSON-RPC message, or a batch where none is allowed.'
  },
  ambiguous_request: {
    status: 400,
    rpc: -32600,
    help: 'A member that decides about routing occurs twice; parsers disagree on which one counts. Send it once.'
  },
  unsupported_media_type: { status: 415, rpc: -31415, help: 'Send Content-Type: application/json.' },
  not_acceptable: {
    status: 406,
    rpc: -31406,
    help: 'POST needs Accept: application/json, text/event-stream; GET needs text/event-stream.'
  },
  method_not_allowed: {
    status: 405,
    rpc: -31405,
    help: 'The HTTP method is not allowed here; Allow names those that are.'
  },
  not_found: {
    status: 404,
    rpc: -31404,
    help: 'Nothing is served at this path. Use the URL that catflap printed at its start.'
  },
  body_too_large: { status: 413, rpc: -31413, help: 'The request body exceeds --max-body.' },
  headers_too_large: { status: 431, rpc: -31431, help: 'The request headers exceed --max-header-size.' },
  bad_http: { status: 400, rpc: -31400, help: 'The bytes are no HTTP/1.1 request.' },
  request_timeout: {
    status: 408,
    rpc: -31408,
    help: 'The client did not send its whole request within --client-timeout.'
  },
  invalid_parameter: {
    status: 400,
    rpc: -31411,
    help: 'A parameter in the URL of the admin listener is not one it takes. The error names it and what is allowed.'
  },
  // Of revision 2026-07-28, where a server on a pipe is behind
  header_mismatch: {
    status: 400,
    rpc: -32020,
    help: 'A header that mirrors the message is missing or says something else. Send what the message says.'
  },
  missing_meta: {
    status: 400,
    rpc: -32602,
    help: "The request's _meta lacks the protocol version or the client's capabilities. Every request carries both."
  },
  unsupported_modern_version: {
    status: 400,
    rpc: -32022,
    help: 'The server does not speak the revision that the request names; data.supported lists those it does.'
  },
  missing_capability: {
    status: 400,
    rpc: -32021,
    help: 'The answer asks the client for something that it has not declared it can do; data.requiredCapabilities says what.'
  },
  method_not_found: { status: 404, rpc: -32601, help: 'The server does not know the method.' },
  // Who may come in
  forbidden_host: {
    status: 403,
    rpc: -31403,
    help: 'The Host header names a host that catflap does not serve (DNS rebinding protection). Allow it with --allow-host.'
  },
  forbidden_origin: {
    status: 403,
    rpc: -31402,
    help: 'The Origin header names a site that may not use catflap. Allow it with --allow-origin.'
  },
  unauthorized: {
    status: 401,
    rpc: -31401,
    help: 'A token is required: send it as Catflap-Token or as Authorization: Bearer.'
  },
  // Sessions
  session_required: {
    status: 400,
    rpc: -31010,
    help: 'Mcp-Session-Id is missing. Send initialize first, then its session id with every request.'
  },
  session_not_found: {
    status: 404,
    rpc: -31011,
    help: 'The session is unknown, ended or expired. Send initialize again, without Mcp-Session-Id.'
  },
  unsupported_version: {
    status: 400,
    rpc: -31012,
    help: 'MCP-Protocol-Version names a revision that this session cannot use.'
  },
  initialize_in_session: {
    status: 400,
    rpc: -31013,
    help: 'initialize was sent within a session. Send it without Mcp-Session-Id.'
  },
  // Limits
  too_many_connections: { status: 503, rpc: -31020, help: 'More connections than --max-connections. Try again later.' },
  too_many_sessions: {
    status: 503,
    rpc: -31021,
    help: 'More sessions than --max-sessions. Try again later, or end sessions with DELETE.'
  },
  too_many_exchanges: {
    status: 503,
    rpc: -31022,
    help: 'More exchanges in flight than --max-exchanges. Try again later.'
  },
  too_many_streams: { status: 503, rpc: -31023, help: 'More open streams than --max-streams. Try again later.' },
  upstream_queue_full: {
    status: 503,
    rpc: -31024,
    help: 'More calls wait for a connection to the server than --max-pending, or the server does not read. Try again later.'
  },
  slow_client: {
    status: 503,
    rpc: -31025,
    help: 'The client reads its stream too slowly; more than --max-exchange-queue bytes wait for it.'
  },
  too_many_children: {
    status: 503,
    rpc: -31027,
    help: 'More processes of this command than its route allows. Try again later, or end sessions with DELETE.'
  },
  store_unavailable: {
    status: 503,
    rpc: -31015,
    help: 'The session store (--store) does not do its work at the moment, so nobody knows whose session this is. Try again soon; readiness and the log tell why.'
  },
  owner_unreachable: {
    status: 503,
    rpc: -31016,
    help: 'Another instance of catflap holds what the session needs (a command, an open stream) and cannot be reached. Give every instance --cluster-listen and --cluster-key; if it died, try again when its lease has run out.'
  },
  owner_lost: {
    status: 502,
    rpc: -31017,
    help: 'The instance of catflap that carried out the call died or was stopped before the answer was complete. Whether the call was carried out is not known.'
  },
  session_moved: {
    status: 421,
    rpc: -31421,
    help: 'Only between instances: the session is held by another instance by now, and nothing was done.'
  },
  shutting_down: { status: 503, rpc: -31026, help: 'catflap is stopping and takes no new requests.' },
  // The server
  upstream_unreachable: {
    status: 502,
    rpc: -31030,
    help: 'No connection to the server could be made. Is it running, and is the URL right?'
  },
  upstream_reset: { status: 502, rpc: -31031, help: 'The server broke the connection before its answer was complete.' },
  upstream_protocol: {
    status: 502,
    rpc: -31032,
    help: 'The server sent something that is not HTTP, or not what HTTP allows.'
  },
  upstream_timeout: {
    status: 504,
    rpc: -31033,
    help: 'The server did not answer within --request-timeout (restarted by progress, up to --max-request-time).'
  },
  upstream_connect_timeout: { status: 504, rpc: -31034, help: 'No connection to the server within --connect-timeout.' },
  upstream_redirect: { status: 502, rpc: -31035, help: 'The server redirects in a circle or too often.' },
  message_too_large: { status: 502, rpc: -31036, help: 'A message from the server exceeds --max-message.' },
  upstream_status: {
    status: 502,
    rpc: -31037,
    help: 'The server answered with an HTTP error and no JSON-RPC message.'
  },
  upstream_session_lost: { status: 502, rpc: -31038, help: 'The server no longer knows the session. Start anew.' },
  target_unavailable: {
    status: 503,
    rpc: -31039,
    help: 'The health check of the server fails, so that it is not asked for now. The error tells why, and when to try again.'
  },
  child_start_failed: {
    status: 502,
    rpc: -31040,
    help: 'The command could not be started. Is it installed, and on the PATH?'
  },
  child_exited: {
    status: 502,
    rpc: -31041,
    help: 'The command ended before it answered. The error tells its exit code and its last lines on stderr.'
  },
  child_memory: {
    status: 502,
    rpc: -31044,
    help: 'The command took more memory than its route allows, and was ended.'
  },
  command_parked: {
    status: 503,
    rpc: -31045,
    help: 'The command keeps ending before it answers anything. It is tried again after a pause; the error tells its last words.'
  },
  cancelled: {
    status: 200,
    rpc: -31042,
    help: 'The client cancelled the request and the server gave no answer to it.'
  },
  server_request_unheard: {
    status: 200,
    rpc: -31043,
    help: 'A request from the server could not reach the client: no stream is open to carry it.'
  },
  // Tapes in the place of a server
  replay_miss: {
    status: 200,
    rpc: -31060,
    help: 'The request is not on the tape. The error names the closest one that is, and the difference.'
  },
  replay_diverged: {
    status: 200,
    rpc: -31061,
    help: "The client answered a question of the server's otherwise than recorded, and --on-divergence says error."
  },
  fault_injected: {
    status: 200,
    rpc: -31062,
    help: 'An error on purpose (--fault), to see what the client makes of it.'
  },
  // catflap itself
  pairing_unsupported: {
    // As a server of the legacy era answers what it does not know: clients that speak both eras then send initialize.
    status: 400,
    rpc: -31050,
    help: 'This client and this server speak different transports or eras, which catflap does not bridge yet. Clients that know both eras go on with the earlier one.'
  },
  blocked: { status: 200, rpc: -31051, help: 'An interceptor refused the message.' },
  internal: { status: 500, rpc: -31099, help: 'A fault in catflap. Please report it with the log line that names it.' }
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof table

export const ERROR_TABLE: Readonly<Record<ErrorCode, ErrorKind>> = table

/** An error with a stable `code`. `message` is one sentence that names the thing and says what to do. */
export class CatflapError extends Error {
  readonly code: ErrorCode
  /** Only facts that may leave the process: no credentials, no paths of ours. */
  readonly data: Readonly<Record<string, unknown>> | undefined

  constructor(code: ErrorCode, message?: string, options?: { data?: Record<string, unknown>; cause?: unknown }) {
    super(message ?? table[code].help, { cause: options?.cause })
    this.name = 'CatflapError'
    this.code = code
    this.data = options?.data
  }

  get status(): number {
    return table[this.code].status
  }

  get rpcCode(): number {
    return table[this.code].rpc
  }

  /** One line of JSON-RPC. Without a known request id the member is left out (MCP has no null ids). */
  toJsonRpc(idText?: string): Buffer {
    const error = JSON.stringify({ code: this.rpcCode, message: this.message, data: { code: this.code, ...this.data } })
    const id = idText === undefined ? '' : `"id":${idText},`
    return Buffer.from(`{"jsonrpc":"2.0",${id}"error":${error}}`)
  }
}

/** Of stores of sessions, which lie above this; any store's error that says so counts. */
const STORE_UNAVAILABLE = 'session_store_unavailable'
const STORE_SEALED = 'session_store_sealed'
const SEALED_HELP =
  'The session cannot be read in the store: it was sealed by a key that this catflap does not have. Give every instance the same --store-key.'

/** What an unforeseen error says (a store's address and password, say) is for the log alone: clients learn only that it happened. */
export function asCatflapError(error: unknown): CatflapError {
  if (error instanceof CatflapError) return error
  if (error instanceof Error && (error as { code?: unknown }).code === STORE_UNAVAILABLE)
    return new CatflapError('store_unavailable', undefined, { cause: error })
  if (error instanceof Error && (error as { code?: unknown }).code === STORE_SEALED)
    return new CatflapError('store_unavailable', SEALED_HELP, { cause: error })
  return new CatflapError('internal', 'catflap failed; its log has the reason.', { cause: error })
}
