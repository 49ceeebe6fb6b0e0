import { createHash } from 'node:crypto'
import type { Log, LogFacts } from '../log.ts'
import type { MemberHealth } from '../proxy/core.ts'
import type { DrainProgress } from '../proxy/drain.ts'
import type { Exchange } from '../proxy/exchange.ts'
import type { Interceptor, Outcome } from '../proxy/interceptor.ts'
import type { Session, SessionEnd } from '../session/session.ts'

/** Every audit event, with the facts it has in JSON logs; docs/operations.md lists them (a test compares). */
export const AUDIT_EVENTS = {
  'session-made': ['session', 'route', 'principal'],
  'session-refused': ['route', 'principal', 'client', 'code', 'more'],
  'session-ended': ['session', 'route', 'principal', 'why', 'seconds'],
  'config-changed': ['added', 'removed', 'replaced', 'listeners'],
  'config-refused': ['problems'],
  'target-ejected': ['route', 'target', 'state', 'reason', 'until'],
  'target-back': ['route', 'target'],
  'drain-began': ['calls', 'streams', 'deadline'],
  'drain-ended': ['cut', 'seconds'],
  'admin-action': ['action', 'principal', 'session', 'timeout', 'grace'],
  'admin-refused': ['client', 'more']
} as const satisfies Record<string, readonly string[]>

export type AuditEvent = keyof typeof AUDIT_EVENTS

/** What a new configuration changed, by the names of routes; and where it listens now, if that or how has changed. */
export interface ConfigChange {
  readonly added: readonly string[]
  readonly removed: readonly string[]
  readonly replaced: readonly string[]
  readonly listeners: readonly string[]
}

/** What somebody may have to answer for later: each a line in the log, with facts that say who and what. */
export class Audit {
  readonly #log: Log
  readonly #refusals: Limiter
  readonly #strangers: Limiter

  constructor(log: Log, now: () => number = () => performance.now()) {
    this.#log = log
    this.#refusals = new Limiter(now)
    this.#strangers = new Limiter(now)
  }

  sessionMade(session: Session, route: string): void {
    const who = principalHash(session.record.principal)
    this.#tell('session-made', `session ${session.handle} of ${route} was made by ${who}`, {
      session: session.handle,
      route,
      principal: who
    })
  }

  sessionEnded(session: Session, route: string, why: SessionEnd): void {
    const who = principalHash(session.record.principal)
    const seconds = Math.max(0, Math.round((Date.now() - session.record.createdAt) / 1000))
    const text = `session ${session.handle} of ${route} ended after ${seconds} s: ${ENDS[why]}`
    this.#tell('session-ended', text, { session: session.handle, route, principal: who, why, seconds })
  }

  /** An `initialize` that was refused, or somebody who was not let in. Whoever tries in a loop does not fill the disk. */
  sessionRefused(x: Asking, route: string, code: string): void {
    const more = this.#refusals.admit()
    if (more === undefined) return
    const who = principalHash(x.principal)
    const client = x.client?.remoteAddress
    this.#tell('session-refused', `${client ?? 'a client'} was refused at ${route}: ${code}${others(more)}`, {
      route,
      principal: who,
      ...(client !== undefined && { client }),
      code,
      ...(more > 0 && { more })
    })
  }

  configChanged(change: ConfigChange): void {
    const parts = Object.entries(change).filter(([, names]) => names.length > 0)
    const what = parts.map(([how, names]) => `${how} ${names.join(', ')}`).join('; ')
    this.#tell('config-changed', `the configuration changed: ${what || 'no route did'}`, { ...change })
  }

  /** The old one goes on. `problems` as `config check` tells them, without values. */
  configRefused(problems: readonly string[]): void {
    const text = `the new configuration was refused, and the old one goes on: ${problems[0] ?? 'no reason given'}`
    const rest = problems.length > 1 ? ` (and ${problems.length - 1} more)` : ''
    this.#log.error('config-refused', `${text}${rest}`, { problems: problems.slice(0, 20) })
  }

  /** What became of one of a route's targets. */
  targetChanged(route: string, { label, state, reason, until }: MemberHealth): void {
    if (state === 'up') return this.#tell('target-back', `${label} of ${route} is back`, { route, target: label })
    const why = reason === undefined ? '' : `: ${reason}`
    this.#log.warn('target-ejected', `${label} of ${route} is ${state}${why}`, {
      route,
      target: label,
      state,
      ...(reason !== undefined && { reason }),
      ...(until !== undefined && { until: new Date(until).toISOString() })
    })
  }

  drainBegan({ calls, streams, deadline }: DrainProgress): void {
    const seconds = Math.round((deadline - Date.now()) / 1000)
    const text = `draining: ${calls} calls and ${streams} streams are open, for ${seconds} s at most`
    this.#tell('drain-began', text, { calls, streams, deadline: new Date(deadline).toISOString() })
  }

  drainEnded({ cut, startedAt }: DrainProgress): void {
    const seconds = Math.round((Date.now() - startedAt) / 100) / 10
    const how = cut === 0 ? 'nothing was cut' : `${cut} calls were cut`
    this.#tell('drain-ended', `drained in ${seconds} s: ${how}`, { cut, seconds })
  }

  /** `who` as `tokenJudge` tells it. */
  adminAction(action: 'drain' | 'end-session', who: string | undefined, facts: LogFacts): void {
    const principal = principalHash(who ?? 'nobody')
    this.#tell('admin-action', `${principal} asked to ${action} on the admin listener`, { action, principal, ...facts })
  }

  /** Somebody asked on the admin listener without the token, or with another. */
  adminRefused(client: string | undefined): void {
    const more = this.#strangers.admit()
    if (more === undefined) return
    this.#log.warn('admin-refused', `${client ?? 'somebody'} had no token for the admin listener${others(more)}`, {
      ...(client !== undefined && { client }),
      ...(more > 0 && { more })
    })
  }

  #tell(event: AuditEvent, text: string, facts: LogFacts): void {
    this.#log.info(event, text, facts)
  }
}

/** Who was refused. */
interface Asking {
  readonly principal: string
  readonly client?: { readonly remoteAddress?: string | undefined } | undefined
}

const ENDS: Readonly<Record<SessionEnd, string>> = {
  client: 'its client ended it',
  expired: 'its time was over',
  lost: 'its server lost it',
  shutdown: 'catflap stopped',
  failed: 'it never came to be',
  admin: 'an operator ended it',
  revoked: 'its token is no longer accepted'
}

function others(more: number): string {
  return more > 0 ? `, and ${more} more since the last such line` : ''
}

/** Tells one principal from another, and is good for nothing else. */
export function principalHash(principal: string): string {
  if (principal === 'anonymous' || principal === 'nobody') return principal
  return `p-${createHash('sha256').update(principal).digest('hex').slice(0, 12)}`
}

/** Those who were turned away at the door. */
export const AT_THE_DOOR: ReadonlySet<string> = new Set(['unauthorized', 'forbidden_host', 'forbidden_origin'])

/** Has refusals told; what else is about sessions, their manager tells. */
export function auditRefusals(audit: Audit, route: string): Interceptor {
  return {
    name: 'audit',
    end(x: Exchange, { result, code }: Outcome): void {
      if (result !== 'refused' || code === undefined) return
      if (x.message?.method === 'initialize' || AT_THE_DOOR.has(code)) audit.sessionRefused(x, route, code)
    }
  }
}

const WINDOW = 1_000
const PER_WINDOW = 10

/** Lets ten a second pass; says with each how many did not since the last that did. */
class Limiter {
  readonly #now: () => number
  #windowStart = Number.NEGATIVE_INFINITY
  #passed = 0
  #held = 0

  constructor(now: () => number) {
    this.#now = now
  }

  /** How many were held back before this one; undefined: this one is, too. */
  admit(): number | undefined {
    const now = this.#now()
    if (now - this.#windowStart >= WINDOW) {
      this.#windowStart = now
      this.#passed = 0
    }
    if (this.#passed >= PER_WINDOW) {
      this.#held++
      return undefined
    }
    this.#passed++
    const held = this.#held
    this.#held = 0
    return held
  }
}
