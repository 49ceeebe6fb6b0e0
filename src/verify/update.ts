import type { Message } from '../protocol/message.ts'
import { pairsInOrder } from '../replay/in-order-pairs.ts'
import type { RecordedRequest, Recording, Said } from '../replay/recording.ts'
import { MARK } from '../tape/format.ts'
import { belonging } from './compare.ts'
import type { LiveAnswer } from './live-request.ts'
import { type VerifyOptions, VerifyRefusal } from './options.ts'
import { nameOf } from './plan.ts'
import { secretsOf } from './secrets.ts'
import { type Edits, NewText, rewrite } from './tape-edits.ts'
import { requestText } from './text-report.ts'
import type { Verified } from './verify.ts'

export interface Updated {
  /** Answers and notifications that differ from what stood on the tape. */
  readonly changed: number
  /** What could not be written, a sentence each. */
  readonly left: readonly string[]
}

/**
 * Writes what the server said now in the place of what it said when the tape was recorded. Values that it made up anew are
 * written as they were, so that they still fit what the client said. Throws VerifyRefusal where requests were left out, since
 * the tape would then be of two times.
 */
export async function updateTapes(recording: Recording, verified: Verified, options: VerifyOptions): Promise<Updated> {
  const report = verified.report()
  const out = report.sessions.flatMap(s => s.requests).find(r => r.status === 'skipped' || r.status === 'refused')
  if (out)
    throw new VerifyRefusal([
      `${requestText(out)} was not sent: ${out.reason}. The tape stays as it is, since it would hold old and new answers`
    ])
  const questions = report.sessions
    .flatMap(s => s.differences)
    .map(d => `what the server asks, or says to a session at large, is not written: ${d.text}`)
  const updater = new Updater(verified, secretsOf(options))
  for (const [request, live] of verified.answers) updater.request(request, live)
  for (const { file } of recording.tapes) {
    const edits = updater.files.get(file)
    if (edits) await rewrite(file, edits)
  }
  return { changed: updater.changed, left: [...updater.left, ...questions] }
}

interface CleanText {
  readonly text: string
  /** Something secret was taken out of it. */
  readonly isRedacted: boolean
}

class Updater {
  readonly files = new Map<string, Edits>()
  readonly left: string[] = []
  changed = 0
  readonly #verified: Verified
  readonly #secrets: readonly string[]

  constructor(verified: Verified, secrets: readonly string[]) {
    this.#verified = verified
    this.#secrets = secrets
  }

  request(request: RecordedRequest, live: LiveAnswer): void {
    const { outcome } = request
    const now = live.outcome
    if (request.cancelled || outcome.kind === 'open') return
    if (outcome.kind !== 'response' || now?.kind !== 'response') {
      if (this.#verified.run.requests.get(request)?.status === 'different')
        this.left.push(`${nameOf(request)}: what came is no answer that a tape could hold in its place`)
      return
    }
    this.#said(request, live, outcome.place.line)
    this.#edit(outcome.place.file, outcome.place.line, outcome.text.get(), now.message)
  }

  #said(request: RecordedRequest, live: LiveAnswer, line: number): void {
    const [before, after] = belonging(request, live)
    let pending: Message[] = []
    let last: Said | undefined
    for (const [old, now] of pairsInOrder(
      before,
      after,
      s => s.method,
      s => s.message.method ?? ''
    )) {
      if (!old) pending.push(now!.message)
      else if (!now) this.#edits(old.place.file).gone.add(old.place.line)
      else {
        const { message } = now
        const same = old.id === undefined || old.id === message.idText ? message : message.withId(old.id)
        this.#edit(old.place.file, old.place.line, old.text.get(), same)
        if (pending.length > 0) this.#add(old.place.file, old.place.line, pending)
        pending = []
        last = old
      }
    }
    if (pending.length > 0) this.#add((last ?? request).place.file, line, pending)
    this.changed += before.filter(s => this.#edits(s.place.file).gone.has(s.place.line)).length
  }

  #add(file: string, line: number, messages: readonly Message[]): void {
    this.changed += messages.length
    const { added } = this.#edits(file)
    const texts = added.get(line) ?? []
    for (const message of messages) texts.push(this.#newText(message, this.#textOf(message)))
    added.set(line, texts)
  }

  #edit(file: string, line: number, before: string, message: Message): void {
    const clean = this.#textOf(message)
    if (clean.text === before) return
    this.changed++
    const { texts } = this.#edits(file)
    texts.set(line, [...(texts.get(line) ?? []), this.#newText(message, clean)])
  }

  #textOf(message: Message): CleanText {
    const then = this.#verified.run.bound.asThen(message.oneLine().toString('utf8'))
    let text = then
    for (const secret of this.#secrets) text = text.replaceAll(JSON.stringify(secret).slice(1, -1), MARK)
    return { text, isRedacted: text !== then }
  }

  #newText({ idText }: Message, { text, isRedacted }: CleanText): NewText {
    return new NewText(idText, this.#verified.answers.spill.put(Buffer.from(text)), isRedacted)
  }

  #edits(file: string): Edits {
    let edits = this.files.get(file)
    if (!edits) this.files.set(file, (edits = { texts: new Map(), added: new Map(), gone: new Set() }))
    return edits
  }
}
