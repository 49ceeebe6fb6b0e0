import { CatflapError } from '../errors.ts'
import { getHeader, VERSION_HEADER } from '../protocol/headers.ts'
import type { Message } from '../protocol/message.ts'
import { ASSUMED_VERSION, eraOf } from '../protocol/versions.ts'
import type { Conversation, Recording, Step } from './recording.ts'
import { hasStep, stepsInTurn } from './steps-of.ts'

/** Which revisions were recorded, and what clients of others are told. */
export class Revisions {
  /** Of the modern era; undefined: none. */
  readonly modern: readonly string[] | undefined
  /** Of the legacy era; undefined: there are no requests of it. */
  readonly legacy: readonly string[] | undefined
  readonly #hasModern: boolean

  constructor({ legacy, modern }: Recording) {
    const versions = modern?.versions ?? []
    this.modern = versions.length > 0 ? versions : undefined
    this.#hasModern = modern !== undefined
    const asked = legacy.filter(conversation => hasStep(conversation, isRequest))
    this.legacy = asked.length > 0 ? [...new Set(asked.flatMap(spokenIn))].sort() : undefined
  }

  /** A tape that is only begun has no era yet. */
  get any(): boolean {
    return this.legacy !== undefined || this.#hasModern
  }

  /** What the recorded server would have said to a client of another revision, whatever it asks for. */
  refusal(message: Message, modern: boolean): CatflapError | undefined {
    const { method, metaVersion } = message
    const supported = this.modern
    if (!supported) return undefined
    if (modern && metaVersion !== undefined && !supported.includes(metaVersion))
      return otherVersion(metaVersion, supported)
    return method === 'initialize' && !modern && !this.legacy
      ? otherVersion(message.protocolVersion ?? '', supported)
      : undefined
  }

  /**
   * The same, of a modern request that is not on the tape, where the server spoke earlier revisions alone. Not to `server/discover`:
   * clients of both eras go on with `initialize` at any error but those of the modern era (spec 2026-07-28 basic/transports/stdio,
   * "Backward Compatibility").
   */
  legacyRefusal({ method, metaVersion }: Pick<Message, 'method' | 'metaVersion'>): CatflapError | undefined {
    if (this.modern || !this.legacy) return undefined
    if (method === 'server/discover') return new CatflapError('method_not_found')
    return metaVersion === undefined ? undefined : otherVersion(metaVersion, this.legacy)
  }
}

function otherVersion(requested: string, supported: readonly string[]): CatflapError {
  const text = `The tape was recorded in revision ${supported.join(', ')}, not in '${requested.slice(0, 40)}'.`
  return new CatflapError('unsupported_modern_version', text, { data: { supported, requested } })
}

/** What was negotiated; else what the client's requests named. */
function spokenIn(conversation: Conversation): readonly string[] {
  if (conversation.versions.length > 0) return conversation.versions
  const named = getHeader(firstHeaders(conversation), VERSION_HEADER)
  return [named !== undefined && eraOf(named) === 'legacy' ? named : ASSUMED_VERSION]
}

function firstHeaders(conversation: Conversation): readonly string[] {
  for (const [, step] of stepsInTurn(conversation)) if (isRequest(step)) return step.headers ?? []
  return []
}

function isRequest({ kind }: Step): boolean {
  return kind === 'request'
}
