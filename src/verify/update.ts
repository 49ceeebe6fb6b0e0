import { Message } from '../protocol/message.ts'
import { parseJson } from '../replay/canonical.ts'
import { pairsInOrder } from '../replay/in-order-pairs.ts'
import type { DiffPath } from '../replay/json-diff.ts'
import type { RecordedRequest, Recording, Said } from '../replay/recording.ts'
import { MARK } from '../tape/format.ts'
import type { Literals } from '../tape/literals.ts'
import { belonging } from './compare.ts'
import { LISTS } from './drift.ts'
import { eachLeaf, replaceAt, valueAt } from './leaves.ts'
import type { LiveAnswer } from './live-request.ts'
import { type VerifyOptions, VerifyRefusal } from './options.ts'
import { nameOf } from './plan.ts'
import { isRedactedFrom } from './redactions.ts'
import { scrubbedMessage } from './scrub.ts'
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
  // What was sent has its time, though there may have been nothing to compare with.
  const out = report.sessions
    .flatMap(s => s.requests)
    .find(r => r.status === 'refused' || (r.status === 'skipped' && r.ms === undefined))
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
  readonly #secrets: Literals

  constructor(verified: Verified, secrets: Literals) {
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
    if (this.#isSame(request, outcome.truncated)) return
    this.#said(request, live, outcome.place.line)
    const message = this.#whole(request, now.message, this.#verified.run.further.get(request))
    this.#edit(outcome.place.file, outcome.place.line, outcome.text.get(), message)
  }

  /** What changes by itself stays as it was. What lists hold is compared as a whole, and not answer by answer. */
  #isSame(request: RecordedRequest, truncated: boolean): boolean {
    return !truncated && !LISTS.has(request.method) && this.#verified.run.requests.get(request)?.status === 'same'
  }

  /** A list that has more pages now than its client asked for: what they hold is put on the last that it did ask for. */
  #whole({ method }: RecordedRequest, message: Message, further: readonly unknown[] = []): Message {
    const items = LISTS.get(method)?.items
    if (items === undefined || further.length === 0) return message
    const json = parsed(message.bytes.toString('utf8')) as { readonly result: Record<string, unknown> } | undefined
    if (json === undefined) return message
    const pages = [json, ...further].map(page => valueAt(page, ['result', items]))
    const result = { ...json.result, [items]: pages.flatMap(page => (Array.isArray(page) ? page : [])) }
    delete result.nextCursor
    return Message.parse(Buffer.from(JSON.stringify({ ...json, result })))
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
    const clean = this.#textOf(message, before)
    if (clean.text === oneLine(before)) return
    this.changed++
    const { texts } = this.#edits(file)
    texts.set(line, [...(texts.get(line) ?? []), this.#newText(message, clean)])
  }

  /** As it is to stand on the tape, in the place of `before`. */
  #textOf(message: Message, before?: string): CleanText {
    const raw = message.bytes.toString('utf8')
    const json = parsed(raw)
    // Too deep to be walked through.
    if (json === undefined) {
      const text = this.#secrets.scrubJson(raw)
      return { text, isRedacted: text !== raw }
    }
    const marked = withMarks(before, this.#verified.run.bound.asThen(json))
    const then = JSON.stringify(marked)
    const text = JSON.stringify(scrubbedMessage(marked, this.#secrets))
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

/** What redaction took out stays out, where the rest is still what it was. */
function withMarks(before: string | undefined, json: unknown): unknown {
  if (!before?.includes(MARK)) return json
  const marks: DiffPath[] = []
  const recorded = parsed(before)
  eachLeaf(recorded, (path, leaf) => void (String(leaf).includes(MARK) && marks.push([...path])))
  for (const path of marks) {
    const was = valueAt(recorded, path)
    if (isRedactedFrom(was, valueAt(json, path))) replaceAt(json, path, was)
  }
  return json
}

/** As the new text is written, so that spelling is no difference. */
function oneLine(text: string): string {
  const json = parsed(text)
  return json === undefined ? text : JSON.stringify(json)
}

function parsed(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    return undefined
  }
}
