import { randomBytes } from 'node:crypto'
import { open, realpath, rename, rm } from 'node:fs/promises'
import { fileChunks } from '../tape/file-chunks.ts'
import { reasonOf, TapeError, type TapeFrame } from '../tape/format.ts'
import { LineSplitter } from '../tape/lines.ts'
import { compilePointers, redactPointers } from '../tape/pointers.ts'
import type { PutAway } from './spill.ts'

/** A message in the place of a recorded one. */
export class NewText {
  /** JSON text of its id, to find it in a batch. */
  readonly idText: string | undefined
  /** Something secret was taken out of it. */
  readonly isRedacted: boolean
  readonly #text: PutAway

  /** A tape may change in all its messages: their texts need not be in memory until they are written. */
  constructor(idText: string | undefined, text: PutAway, isRedacted: boolean) {
    this.idText = idText
    this.isRedacted = isRedacted
    this.#text = text
  }

  get text(): string {
    return this.#text().toString('utf8')
  }
}

/** What is to be changed on a tape, by line; lines count from 1. */
export interface Edits {
  readonly texts: Map<number, NewText[]>
  /** Notifications that come before what stands there, on its stream. */
  readonly added: Map<number, NewText[]>
  readonly gone: Set<number>
}

const MAX_LINE = 64 * 1024 * 1024
const WRITE = 1024 * 1024

/** Writes the changed tape beside the old one, and puts it in its place once it is whole. */
export async function rewrite(file: string, edits: Edits): Promise<void> {
  const target = await realpath(file)
  const next = `${target}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const handle = await open(next, 'wx', 0o600)
    try {
      const pieces: Buffer[] = []
      let size = 0
      for await (const line of edited(target, edits)) {
        pieces.push(line)
        size += line.length
        if (size < WRITE) continue
        await handle.writeFile(Buffer.concat(pieces.splice(0)))
        size = 0
      }
      await handle.writeFile(Buffer.concat(pieces))
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(next, target)
  } catch (error) {
    await rm(next, { force: true })
    if (error instanceof TapeError) throw error
    throw new TapeError('tape_unwritable', `the tape ${file} cannot be written: ${reasonOf(error)}`, error)
  }
}

async function* edited(file: string, edits: Edits): AsyncGenerator<Buffer> {
  const splitter = new LineSplitter(MAX_LINE)
  const editor = new Editor(file, edits)
  for await (const chunk of fileChunks(file, { reuse: true }))
    for (const line of splitter.push(chunk)) yield* editor.line(line)
  // A torn end is no frame, and is left out.
  if (splitter.rest.length > 0 && isWhole(splitter.rest)) yield* editor.line(splitter.rest)
}

function isWhole(line: Buffer): boolean {
  try {
    JSON.parse(line.toString('utf8'))
    return true
  } catch {
    return false
  }
}

class Editor {
  readonly #file: string
  readonly #edits: Edits
  #line = 0
  /** By how much what follows is later in the sequence. */
  #shift = 0

  constructor(file: string, edits: Edits) {
    this.#file = file
    this.#edits = edits
  }

  *line(line: Buffer): Generator<Buffer> {
    const at = ++this.#line
    const { texts, added, gone } = this.#edits
    if (gone.has(at)) return
    const [changed, before] = [texts.get(at), added.get(at)]
    if (!changed && !before && this.#shift === 0) return yield ended(line)
    if (at === 1) return yield ended(line)
    const frame = this.#frame(line)
    for (const text of before ?? []) yield ended(addedFrame(frame, frame.n + this.#shift++, text))
    yield ended({ ...(changed ? changedFrame(frame, changed) : frame), n: frame.n + this.#shift })
  }

  #frame(line: Buffer): TapeFrame {
    try {
      return JSON.parse(line.toString('utf8')) as TapeFrame
    } catch (error) {
      throw new TapeError('tape_malformed', `${this.#file}:${this.#line}: ${reasonOf(error)}`)
    }
  }
}

function ended(line: Buffer | object): Buffer {
  return line instanceof Buffer ? Buffer.concat([line, NEWLINE]) : Buffer.from(`${JSON.stringify(line)}\n`)
}

const NEWLINE = Buffer.from('\n')

function addedFrame({ t, side, dir, kind, session, stream }: TapeFrame, n: number, { text }: NewText): TapeFrame {
  return {
    n,
    t,
    side,
    dir,
    kind,
    ...(session !== undefined && { session }),
    ...(stream !== undefined && { stream }),
    text
  }
}

function changedFrame(frame: TapeFrame, texts: readonly NewText[]): TapeFrame {
  const { truncated, base64, http, redacted = [], ...rest } = frame
  const pointers = redacted.filter(mark => mark.startsWith('json:')).map(mark => mark.slice('json:'.length))
  const tree = compilePointers(pointers)
  const whole = isBatch(frame.text) ? batchWith(frame.text!, texts) : texts[0]!.text
  const text = tree ? redactPointers(whole, tree, () => {}) : whole
  const marks = texts.some(t => t.isRedacted) ? [...new Set([...redacted, 'literal'])] : redacted
  return {
    ...rest,
    ...(http && { http: { ...http, ...(http.headers && { headers: withLength(http.headers, text) }) } }),
    text,
    ...(marks.length > 0 && { redacted: marks })
  }
}

function isBatch(text: string | undefined): boolean {
  return text !== undefined && /^\s*\[/.test(text)
}

/** The answers of a batch that have changed, among those that have not. */
function batchWith(text: string, texts: readonly NewText[]): string {
  const messages = JSON.parse(text) as { readonly id?: unknown }[]
  const parts = messages.map(message => {
    const id = message.id === undefined ? undefined : JSON.stringify(message.id)
    return texts.find(t => t.idText !== undefined && t.idText === id)?.text ?? JSON.stringify(message)
  })
  return `[${parts.join(',')}]`
}

function withLength(headers: NonNullable<NonNullable<TapeFrame['http']>['headers']>, text: string): [string, string][] {
  const length = String(Buffer.byteLength(text))
  return headers.map(([name, value]) => [name, name.toLowerCase() === 'content-length' ? length : value])
}
