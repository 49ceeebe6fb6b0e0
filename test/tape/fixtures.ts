import { mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'
import type { TapeFrame } from '../../src/tape/format.ts'
import type { Frame } from '../../src/tape/frame.ts'
import { TapeRecorder, type TapeRecorderOptions } from '../../src/tape/recorder.ts'
import { Redactor } from '../../src/tape/redact.ts'

export const software = { name: 'catflap', version: '0.0.0-test' }
export const target = { kind: 'http', url: 'http://localhost:3001/mcp' }

/** A folder of its own that goes with the test. */
export async function folderOf(t: Test): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'catflap-test-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

export async function recorderAt(file: string, options: Partial<TapeRecorderOptions> = {}): Promise<TapeRecorder> {
  return TapeRecorder.open({ path: file, target, software, redactor: new Redactor(), ...options })
}

export function message(value: unknown, facts: Partial<Frame> = {}): Frame {
  const bytes = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
  return { time: performance.now(), side: 'client', dir: 'up', kind: 'message', bytes, ...facts }
}

export function note(note: NonNullable<Frame['note']>, text: string, facts: Partial<Frame> = {}): Frame {
  return { time: performance.now(), side: 'server', dir: 'down', kind: 'note', note, text, ...facts }
}

export function request(id: number, method: string, params: object = {}, facts: Partial<Frame> = {}): Frame {
  return message({ jsonrpc: '2.0', id, method, params }, facts)
}

export function answer(id: number, result: object = {}, facts: Partial<Frame> = {}): Frame {
  return message({ jsonrpc: '2.0', id, result }, { dir: 'down', ...facts })
}

export async function linesOf(file: string): Promise<TapeFrame[]> {
  const text = await readFile(file, 'utf8')
  return text
    .trimEnd()
    .split('\n')
    .slice(1)
    .map(line => JSON.parse(line) as TapeFrame)
}

export async function collect<T>(all: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const one of all) list.push(one)
  return list
}

/** Records the frames into a new tape and returns its text. */
export async function tapeTextOf(
  t: Test,
  frames: readonly Frame[],
  options: Partial<TapeRecorderOptions> = {}
): Promise<string> {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const recorder = await recorderAt(file, options)
  for (const frame of frames) recorder.frame(frame)
  await recorder.close()
  return readFile(file, 'utf8')
}

export async function* chunksOf(...parts: readonly (string | Buffer)[]): AsyncGenerator<Buffer, void, void> {
  for (const part of parts) yield Buffer.from(part)
}

export const HEADER = JSON.stringify({
  catflap: 'tape',
  version: 1,
  started: '2026-11-23T00:00:00.000Z',
  target,
  software
})
