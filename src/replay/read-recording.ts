import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { asHeader, parseLine } from '../tape/check.ts'
import { reasonOf, TAPE_SUFFIX, TapeError, type TapeFrame, type TapeHeader } from '../tape/format.ts'
import { DEFAULT_MAX_LINE, LineSource, parseFrame } from '../tape/reader.ts'
import { joinTapes } from './join-tapes.ts'
import type { ReadRecordingOptions, RecordedTape, Recording } from './recording.ts'
import { StepTable } from './step-table.ts'
import { TapeBuilder } from './tape-builder.ts'
import { type LineOnTape, TapeSource, type TextRange } from './tape-source.ts'

const KEEP = 64 * 1024 * 1024

/** One tape, read. */
export interface TapeRead {
  readonly tape: RecordedTape
  readonly pid: number | undefined
  readonly source: TapeSource
  readonly builder: TapeBuilder
  readonly frames: number
}

/** What all tapes of a recording share while it is read. */
interface Budget {
  /** Bytes of texts that may still be kept. */
  room: number
  done: number
  total: number
  readonly table: StepTable
}

/**
 * Reads tapes, and folders of tapes, into one recording. Throws TapeError: `tape_unreadable`, `tape_malformed`, `tape_too_new`,
 * `tape_line_too_long`; or the reason of `signal`.
 */
export async function readRecording(files: readonly string[], options: ReadRecordingOptions = {}): Promise<Recording> {
  const sources: TapeSource[] = []
  try {
    const names = (await Promise.all(files.map(tapesIn))).flat()
    const budget: Budget = {
      room: options.keepInMemory ?? KEEP,
      done: 0,
      total: await sizeOf(names),
      table: new StepTable()
    }
    const tapes: TapeRead[] = []
    for (const name of names) {
      const source = await TapeSource.open(name)
      sources.push(source)
      tapes.push(await readTape(source, options, budget))
      source.finish()
    }
    return joinTapes(tapes)
  } catch (error) {
    for (const source of sources) source.close()
    throw error
  }
}

/** A folder stands for the tapes in it. */
async function tapesIn(name: string): Promise<string[]> {
  const found = await stat(name).catch(() => undefined)
  if (!found?.isDirectory()) return [name]
  const tapes = (await readdir(name)).filter(file => file.endsWith(TAPE_SUFFIX)).sort()
  if (tapes.length > 0) return tapes.map(file => path.join(name, file))
  throw new TapeError('tape_unreadable', `cannot read ${name}: the folder holds no *${TAPE_SUFFIX}`)
}

async function sizeOf(names: readonly string[]): Promise<number> {
  let total = 0
  for (const name of names) total += (await stat(name).catch(() => undefined))?.size ?? 0
  return total
}

async function readTape(source: TapeSource, options: ReadRecordingOptions, budget: Budget): Promise<TapeRead> {
  const reading = new TapeReading(source, budget)
  const lines = new LineSource(counted(source, options, budget), source.file, options.maxLine ?? DEFAULT_MAX_LINE)
  for (let some = await lines.next(); some; some = await lines.next()) for (const line of some) reading.line(line)
  return reading.end(lines.rest)
}

async function* counted(source: TapeSource, options: ReadRecordingOptions, budget: Budget): AsyncGenerator<Buffer> {
  for await (const chunk of source.chunks(options.signal)) {
    yield chunk
    budget.done += chunk.length
    options.onProgress?.(budget.done, Math.max(budget.done, budget.total))
  }
}

/** Line after line of one tape. */
class TapeReading {
  readonly #source: TapeSource
  readonly #budget: Budget
  readonly #builder: TapeBuilder
  #header: TapeHeader | undefined
  #line = 0
  #offset = 0
  #frames = 0
  #torn = false

  constructor(source: TapeSource, budget: Budget) {
    this.#source = source
    this.#budget = budget
    this.#builder = new TapeBuilder(source.file, budget.table)
  }

  line(raw: Buffer): void {
    this.#line++
    if (!this.#header) this.#header = headerOf(raw, this.#source.file)
    else this.#frame(raw, this.#parse(raw))
    this.#offset += raw.length + 1
  }

  /** `rest` stands behind the last line end. */
  end(rest: Buffer): TapeRead {
    if (!this.#header && rest.length > 0) this.line(rest)
    else if (rest.length > 0) this.#last(rest)
    if (!this.#header)
      throw new TapeError('tape_malformed', `${this.#source.file} is empty: a tape begins with a header line`)
    this.#builder.end()
    const { started, target, pid } = this.#header
    const tape = {
      file: this.#source.file,
      started,
      targetKind: target.kind,
      torn: this.#torn,
      missing: this.#builder.missing
    }
    return { tape, pid, source: this.#source, builder: this.#builder, frames: this.#frames }
  }

  /** Complete all the same, or torn. */
  #last(rest: Buffer): void {
    this.#line++
    let frame: TapeFrame
    try {
      frame = parseFrame(rest)
    } catch {
      this.#torn = true
      return
    }
    this.#frame(rest, frame)
  }

  #frame(raw: Buffer, frame: TapeFrame): void {
    this.#frames++
    let line: LineOnTape | undefined
    let keep = false
    const mark = (part?: TextRange): number => {
      if (!line) {
        line = { raw, offset: this.#offset, number: this.#line, sum: crc32(raw) }
        keep = this.#hasRoom(raw.length)
      }
      return this.#source.add(line, frame, part, keep)
    }
    this.#builder.frame({ frame, source: this.#source, mark })
  }

  #hasRoom(bytes: number): boolean {
    const { file, canReadAgain } = this.#source
    const { room } = this.#budget
    // Once it is full it stays so: what is kept are the first texts.
    this.#budget.room = room >= bytes ? room - bytes : 0
    if (room < bytes && !canReadAgain)
      throw new TapeError('tape_unreadable', `cannot read ${file}: too large to come out of a pipe; save it as a file`)
    return room >= bytes
  }

  #parse(raw: Buffer): TapeFrame {
    try {
      return parseFrame(raw)
    } catch (error) {
      throw new TapeError('tape_malformed', `${this.#source.file}:${this.#line}: ${reasonOf(error)}`, error)
    }
  }
}

function headerOf(raw: Buffer, file: string): TapeHeader {
  let value: unknown
  try {
    value = parseLine(raw.toString('utf8'))
  } catch {
    // Something else than JSON: said below, like JSON that is no header.
  }
  return asHeader(value, file)
}
