import { Message } from '../protocol/message.ts'
import type { RecordedRequest } from '../replay/recording.ts'
import type { Bound } from './bound.ts'
import type { Consents } from './consents.ts'
import type { LiveSession } from './live-session.ts'
import { DEFAULT_TIMEOUT, type VerifyOptions } from './options.ts'
import { allPages } from './pages.ts'
import { jsonOf, type Spoken } from './plan.ts'
import { sentHeaders, supplied } from './redactions.ts'
import type { RequestReport } from './report.ts'
import { ToolGate } from './tool-gate.ts'

/** What goes to the server: the messages as they are sent, and why one is not. */
export class Outgoing {
  readonly gate = new ToolGate()
  readonly #bound: Bound
  readonly #consents: Consents
  readonly #skipped: ReadonlyMap<Spoken, string>
  readonly #options: VerifyOptions

  constructor(
    parts: { readonly bound: Bound; readonly consents: Consents; readonly skipped: ReadonlyMap<Spoken, string> },
    options: VerifyOptions
  ) {
    this.#bound = parts.bound
    this.#consents = parts.consents
    this.#skipped = parts.skipped
    this.#options = options
  }

  /** What the tools do is known before one of them is called, whenever the client asked. */
  async askTools(session: LiveSession, call: RecordedRequest): Promise<void> {
    const options = { timeout: this.#options.timeout ?? DEFAULT_TIMEOUT, headers: sentHeaders(call) }
    await this.gate.ask(session, () => allPages(session, 'tools/list', call, options))
  }

  /** Why a request is not sent. */
  whyNot(session: LiveSession, step: RecordedRequest): Pick<RequestReport, 'status' | 'reason'> | undefined {
    const reason = this.#skipped.get(step) ?? this.#bound.missing(step) ?? this.#consents.whyNot(step)
    if (reason !== undefined) return { status: 'skipped', reason }
    if (step.method !== 'tools/call' || this.#options.allowWrites) return undefined
    // Of the very message that is sent.
    const refusal = this.gate.whyNot(session, this.#messageOf(step).name)
    return refusal === undefined ? undefined : { status: 'refused', reason: refusal }
  }

  /** The message of a step that is sent now. */
  sending(step: Spoken): Message {
    this.#bound.sent(step)
    return this.#messageOf(step)
  }

  /** As recorded, with what the server made up anew, and with what redaction took out. */
  #messageOf(step: Spoken): Message {
    const text = step.text.get()
    const isRedacted = this.#options.set !== undefined && text.includes('[redacted]')
    if (!isRedacted && !this.#bound.changes(step)) return Message.parse(Buffer.from(text))
    const json = supplied(jsonOf(step), this.#options.set)
    this.#bound.apply(step, json)
    return Message.parse(Buffer.from(JSON.stringify(json)))
  }
}
