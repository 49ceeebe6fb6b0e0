/** The suite against the reference server, recorded; then the same suite with nothing but the tape of that. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startCatflap } from '../helpers/catflap.ts'
import { compare, type Revision, type Run } from './compare.ts'
import { EXPECTED, type GateOptions, type Row, rowOf } from './gate.ts'
import { runSuite } from './suite.ts'
import { recorded, type Target } from './targets.ts'

/** What is recorded, by the name under which a difference may be expected, and which the table shows. */
export const TAPED = { replay: recorded.http, 'replay-stdio': recorded.stdio } as const
export type Taped = keyof typeof TAPED

/** What succeeded while it was recorded, and does not from the tape, is lost. */
export async function gateTaped(revision: Revision, name: Taped, options: GateOptions = {}): Promise<Row> {
  const start = performance.now()
  const folder = mkdtempSync(join(tmpdir(), 'catflap-taped-'))
  const tape = join(folder, 'a.tape.jsonl')
  const look = (target: Target, part: string): Promise<Run> =>
    runSuite(target.url, revision, { ...options, keep: options.keep && join(options.keep, revision, name, part) })
  try {
    const before = await using(await TAPED[name](tape), target => look(target, 'recorded'))
    options.signal?.throwIfAborted()
    const suite = await using(await replayed(tape), target => look(target, 'replayed'))
    const expected = EXPECTED.filter(e => e.revision === revision && e.target === name)
    const found = compare(before, suite, expected)
    const seconds = (performance.now() - start) / 1_000
    return rowOf(revision, name, { suite, own: { scenarios: [], checks: [] }, seconds }, found)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function replayed(tape: string): Promise<Target> {
  const catflap = await startCatflap(['replay', '--listen', '127.0.0.1:0', '--no-tail', tape])
  return { url: catflap.url, close: async () => void (await catflap.close()) }
}

async function using(target: Target, use: (target: Target) => Promise<Run>): Promise<Run> {
  try {
    return await use(target)
  } finally {
    await target.close()
  }
}
