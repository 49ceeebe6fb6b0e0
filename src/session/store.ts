/**
 * What a session is to whoever keeps it, and what any keeper must do. The memory store answers at once (no promise, so the
 * hot path makes no microtask hop); one that talks to a server answers with promises. Callers `await` only what is a promise.
 */

export type Awaitable<T> = T | Promise<T>

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [member: string]: JsonValue }

/** The upstream side of a session at one target. */
export interface SessionLeg {
  /** The server's own session id; none at a stdio child, or at a server that assigned none. */
  readonly upstreamId?: string
  /** The client's `initialize` message as it was written, so that a lost leg can be opened again. */
  readonly initialize?: string
  /** Counts the initialisations, so that an answer to a question of an earlier one is known to be stale. */
  readonly epoch: number
  /** The process that alone holds it (a child), as `Membership` calls it; `''`: one did, and has let it go. */
  readonly owner?: string
}

/** An immutable snapshot: what happens to the session afterwards shows in later snapshots only. JSON through and through. */
export interface SessionRecord {
  /** The id the client knows; a secret. */
  readonly id: string
  /** The name for logs and tapes (`s-3f9a1c2e`); no secret, never accepted in place of the id. */
  readonly handle: string
  /** 1 at first, one more after each update. A touch leaves it alone, or busy sessions could never be updated. */
  readonly version: number
  /** Who made it; nobody else may use it. It cannot be changed. */
  readonly principal: string
  /** Epoch milliseconds by the store's clock. `lastSeenAt` may lag by as much as a store puts touches together. */
  readonly createdAt: number
  readonly lastSeenAt: number
  /** The negotiated protocol revision, once there is one. */
  readonly protocolVersion?: string
  /** By target name. */
  readonly legs: Readonly<Record<string, SessionLeg>>
  /** What else must outlive a process or move to another one: the log level, subscriptions … One member a feature. */
  readonly facts: Readonly<Record<string, JsonValue>>
}

export interface NewSession {
  readonly id: string
  readonly handle: string
  readonly principal: string
  readonly protocolVersion?: string
  readonly legs?: Readonly<Record<string, SessionLeg>>
  readonly facts?: Readonly<Record<string, JsonValue>>
  /** Of a session that the store has lost, and that others may still know: its versions go on. Default 1. */
  readonly version?: number
}

/** Members that are given replace the record's whole member; others stay. */
export interface SessionChange {
  readonly protocolVersion?: string
  readonly legs?: Readonly<Record<string, SessionLeg>>
  readonly facts?: Readonly<Record<string, JsonValue>>
}

/** `ok: false` tells what is there instead: a newer version, or nothing (ended, expired). Nothing was changed then. */
export type UpdateResult =
  | { readonly ok: true; readonly record: SessionRecord }
  | { readonly ok: false; readonly current: SessionRecord | undefined }

export interface SessionPage {
  readonly records: readonly SessionRecord[]
  /** Asks for the next page. Its absence, and nothing else, means the end. */
  readonly cursor?: string
}

/**
 * Keeps sessions. A session *expires logically* when nobody touched it for the store's idle time or when it reached its
 * absolute age: from then on it is absent for `get`, `touch`, `update`, `list` and `count`, yet its record is kept for a
 * reaper, which needs the upstream ids to end the upstream side. It is gone after `delete`.
 *
 * Every method fails with {@link SessionStoreClosedError} after `close`. A store that answers with promises rejects where
 * another throws.
 */
export interface SessionStore {
  /** Other processes use it too: sessions outlive this one, and may change or end without it. */
  readonly shared?: boolean
  /** Fails with {@link SessionExistsError} (also while a session of that id awaits its reaper), {@link SessionStoreFullError}. */
  create(session: NewSession): Awaitable<SessionRecord>
  get(id: string): Awaitable<SessionRecord | undefined>
  /** Of several that update from one version, exactly one wins. Does not count as use of the session. */
  update(id: string, expectedVersion: number, change: SessionChange): Awaitable<UpdateResult>
  /** The session was used: its idle time starts anew. False when there is no such session (any more). */
  touch(id: string): Awaitable<boolean>
  /** Removes a session, expired or not. Of several callers one gets the record, and with it the duty to end the upstream side. */
  delete(id: string): Awaitable<SessionRecord | undefined>
  /**
   * A pass over all pages gives each session that lives throughout exactly once, whatever comes and goes meanwhile, and
   * it ends. A page may hold fewer than `limit`, even none. Fails with {@link SessionCursorError}.
   */
  list(options: { readonly cursor?: string; readonly limit: number }): Awaitable<SessionPage>
  /** Sessions that are alive. */
  count(): Awaitable<number>
  /**
   * Up to `limit` sessions that have expired, claimed by the caller, who ends their upstream side and then deletes them.
   * Nobody else gets them until the claim lapses because their reaper died or failed.
   */
  expired(limit: number): Awaitable<readonly SessionRecord[]>
  /**
   * Of shared stores: `changed` is called soon after another process has changed the session or (`ended`) ended it, and where that may have
   * been missed. Returns how to stop that.
   */
  follow?(id: string, changed: (ended: boolean) => void): () => void
  /** Of shared stores: something short that is to be known of a session for some minutes. Gone with the session. */
  mark?(id: string, mark: string): Promise<void>
  marked?(id: string, mark: string): Promise<boolean>
  /** Ends timers and connections; no session is ended by it. May be called again. */
  close(): Awaitable<void>
}

export class SessionStoreError extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.name = new.target.name
    this.code = code
  }
}

export class SessionStoreFullError extends SessionStoreError {
  readonly maxSessions: number

  constructor(maxSessions: number) {
    super('session_store_full', `no room for another session: ${maxSessions} is the maximum`)
    this.maxSessions = maxSessions
  }
}

/** The message holds no id: it is a secret. */
export class SessionExistsError extends SessionStoreError {
  constructor(handle: string) {
    super('session_exists', `cannot create session ${handle}: its id is taken`)
  }
}

export class SessionCursorError extends SessionStoreError {
  constructor() {
    super('session_cursor_invalid', 'not a cursor of this store: start without one')
  }
}

export class SessionStoreClosedError extends SessionStoreError {
  constructor() {
    super('session_store_closed', 'the session store is closed')
  }
}

/** Nothing is known of what was asked: it may have been done or not. */
export class SessionStoreUnavailableError extends SessionStoreError {
  constructor(label: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    super('session_store_unavailable', `${label} does not do its work: ${reason}`)
    this.cause = cause
  }
}
