import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { createForward, type Forward, type ForwardOptions } from '../proxy/forward.ts'
import type { CommandTarget, UrlTarget } from '../proxy/target.ts'
import { TapeError } from '../tape/format.ts'
import { failuresOf } from './failed-recording.ts'
import type { ReplayOptions } from './options.ts'
import { findingText, missText, type ReplayFinding } from './report.ts'
import { tapeFileName } from './tape-name.ts'

export interface UseTapeOptions {
  /** Who is recorded. Not needed where the tape exists. */
  readonly target?: UrlTarget | CommandTarget
  /** Folder of the tapes, made where it does not exist. Default `tapes`, in the current folder. */
  readonly dir?: string
  /**
   * `auto` (default): the tape is replayed where it exists, and recorded where it does not; with `CATFLAP_RECORD=1` it is
   * recorded anew, and with `CI` set one that is missing is an error. `record`, `replay`: in any case.
   */
  readonly mode?: 'auto' | 'record' | 'replay'
  /** What `close()` does where requests were not on the tape: it rejects (`fail`, the default), or leaves it to who reads `misses`. */
  readonly onMiss?: 'fail' | 'report'
  /** Recorded requests that nobody made count as misses too. Default false. */
  readonly strictUnused?: boolean
  /** How it is replayed. `onDivergence` is `error` here, unless it is given. */
  readonly replay?: Omit<ReplayOptions, 'onMiss'>
  /** What else the proxy is to do: `redactJson`, `redactHeaders`, `interceptors`, `settings` and so on. */
  readonly forward?: Partial<Omit<ForwardOptions, 'target' | 'listen' | 'record'>>
}

/** A server for one test: recorded, or out of its tape. */
export interface UsedTape extends AsyncDisposable {
  /** Where clients connect. */
  readonly url: string
  readonly file: string
  readonly recording: boolean
  /** What was asked for so far and is not on the tape; the first hundred. */
  readonly misses: readonly ReplayFinding[]
  /**
   * Ends it. Rejects with a TapeError: `tape_missed` where something was not on the tape, or answered otherwise than recorded;
   * `tape_failed` where the server did not answer while it was recorded. A new tape is in its place only afterwards, and only where
   * that went well.
   */
  close(): Promise<void>
}

const MODES: readonly string[] = ['auto', 'record', 'replay']

/** In-flight requests of a test that has ended are of no use to anybody. */
const DRAIN = 500

/**
 * A tape by name: made with the real server the first time, and in its place ever after. Each call has a server and replay sessions of
 * its own. Rejects with a TapeError (`tape_missing` where it has to exist), a TypeError, or as `createForward` does.
 */
export async function useTape(name: string, options: UseTapeOptions = {}): Promise<UsedTape> {
  const { dir = 'tapes' } = options
  const file = path.resolve(dir, tapeFileName(name))
  return isToRecord(file, name, options) ? await recordTape(file, name, options) : await replayTape(file, options)
}

function isToRecord(file: string, name: string, { mode = 'auto', target }: UseTapeOptions): boolean {
  if (!MODES.includes(mode))
    throw new TypeError(`useTape('${name}'): mode '${mode}' is not allowed; give 'auto', 'record' or 'replay'`)
  if (mode === 'record') return true
  if (mode === 'auto' && isOn(process.env.CATFLAP_RECORD)) return true
  if (existsSync(file)) return false
  const how = 'run this test with CATFLAP_RECORD=1 where the server can be reached, and commit the tape'
  if (mode === 'replay' || isOn(process.env.CI))
    throw new TapeError('tape_missing', `There is no tape '${name}' (${file}): ${how}.`)
  if (!target)
    throw new TapeError('tape_missing', `There is no tape '${name}' (${file}), and no target to record one with.`)
  return true
}

async function recordTape(file: string, name: string, options: UseTapeOptions): Promise<UsedTape> {
  const { target, forward } = options
  if (!target) throw new TypeError(`useTape('${name}'): a target is needed to record it`)
  await mkdir(path.dirname(file), { recursive: true })
  const unfinished = `${file}.${process.pid}-${++made}.part`
  await rm(unfinished, { force: true })
  const door = await createForward({ ...forward, target, record: { path: unfinished } })
  // The whole tape or none: a test that was ended halfway must not leave one that later runs believe.
  return new TapeInUse(door, file, async () => await keep(unfinished, file))
}

/** A recording that failed would be replayed for good: the failure, in the server's name. */
async function keep(unfinished: string, file: string): Promise<void> {
  const failures = await failuresOf(unfinished)
  if (failures.length === 0) return await rename(unfinished, file)
  await rm(unfinished, { force: true })
  const told = failures.map(failure => `  ${failure}`)
  throw new TapeError('tape_failed', [`The tape ${file} was not made: what was recorded failed.`, ...told].join('\n'))
}

let made = 0

async function replayTape(file: string, options: UseTapeOptions): Promise<UsedTape> {
  const { replay, forward, onMiss = 'fail', strictUnused = false } = options
  const door = await createForward({ ...forward, target: { onDivergence: 'error', ...replay, tape: file } })
  return new TapeInUse(door, file, () => {
    if (onMiss === 'fail') checkMisses(door, file, strictUnused)
  })
}

class TapeInUse implements UsedTape {
  readonly url: string
  readonly file: string
  readonly recording: boolean
  readonly #door: Forward
  readonly #conclude: () => void | Promise<void>
  #closing: Promise<void> | undefined

  constructor(door: Forward, file: string, conclude: () => void | Promise<void>) {
    this.url = door.url!
    this.file = file
    this.recording = door.tape !== undefined
    this.#door = door
    this.#conclude = conclude
  }

  get misses(): readonly ReplayFinding[] {
    return this.#door.replay?.details.misses ?? []
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    await this.#door.close({ drainTimeout: DRAIN })
    await this.#conclude()
  }
}

/** Of each kind, so many are told. */
const SHOWN = 5

function checkMisses(door: Forward, file: string, strictUnused: boolean): void {
  const { misses, divergences, unused, details } = door.replay!
  const found = [
    ...told('not on the tape', misses, details.misses, missText),
    ...told('answered otherwise than recorded', divergences, details.divergences, findingText),
    ...(strictUnused ? told('never asked for', unused, details.unused, findingText) : [])
  ]
  if (found.length === 0) return
  const how = 'If that is as it should be, record it anew: CATFLAP_RECORD=1.'
  throw new TapeError('tape_missed', [`The test differs from its tape ${file}. ${how}`, ...found].join('\n'))
}

function told(
  what: string,
  count: number,
  findings: readonly ReplayFinding[],
  toText: (finding: ReplayFinding) => string
): string[] {
  const shown = findings.slice(0, SHOWN).map(finding => `  ${what}: ${toText(finding)}`)
  return count > shown.length ? [...shown, `  … and ${count - shown.length} more ${what}`] : shown
}

function isOn(value: string | undefined): boolean {
  return value !== undefined && !['', '0', 'false', 'no'].includes(value.toLowerCase())
}
