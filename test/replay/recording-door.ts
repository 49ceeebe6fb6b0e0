/** Tapes to read: recorded from real traffic, or written by hand. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Test } from 'tap'
import {
  type Conversation,
  type ReadRecordingOptions,
  type RecordedRequest,
  type Recording,
  readRecording,
  type Said,
  type Step,
  type TapeText
} from '../../src/replay/recording.ts'
import type { TapeFrame } from '../../src/tape/format.ts'
import { TapeReader } from '../../src/tape/reader.ts'
import { HEADER } from '../tape/fixtures.ts'

/** A frame as it stands on a tape; a message's text may be given as a value. */
export type FrameFacts = Partial<Omit<TapeFrame, 'text'>> & { readonly text?: unknown }

/** Writes a tape of these frames. */
export function tapeOf(t: Test, frames: readonly FrameFacts[], name = 'a.tape.jsonl', header = HEADER): string {
  const file = path.join(t.testdirName, name)
  if (!madeFolders.has(t.testdirName)) t.testdir({})
  madeFolders.add(t.testdirName)
  const lines = frames.map((frame, i) => {
    const text = frame.text === undefined || typeof frame.text === 'string' ? frame.text : JSON.stringify(frame.text)
    return JSON.stringify({ n: i + 1, t: i, side: 'client', dir: 'up', kind: 'message', ...frame, text })
  })
  writeFileSync(file, [header, ...lines, ''].join('\n'))
  return file
}

const madeFolders = new Set<string>()

export const up = (stream: string, text: unknown, facts: FrameFacts = {}): FrameFacts => ({
  stream,
  ...(stream.startsWith('post-') && { http: { method: 'POST', path: '/mcp', headers: [['Accept', '*/*']] } }),
  text,
  ...facts
})
export const down = (stream: string, text: unknown, facts: FrameFacts = {}): FrameFacts => ({
  stream,
  dir: 'down',
  text,
  ...facts
})
export const request = (id: unknown, method: string, params: object = {}): object => ({
  jsonrpc: '2.0',
  id,
  method,
  params
})
export const result = (id: unknown, value: object = {}): object => ({ jsonrpc: '2.0', id, result: value })
export const notice = (method: string, params: object = {}): object => ({ jsonrpc: '2.0', method, params })
export const JSON_HEAD = { status: 200, headers: [['content-type', 'application/json']] } as const
export const SSE_HEAD = { status: 200, headers: [['content-type', 'text/event-stream']] } as const
export const sseHead = (stream: string): FrameFacts => ({ stream, dir: 'down', kind: 'head', http: SSE_HEAD })
export const open = (
  stream: string,
  method: string,
  headers: readonly (readonly [string, string])[] = []
): FrameFacts => ({
  stream,
  kind: 'open',
  http: { method, path: '/mcp', headers }
})
export const note = (note: string, facts: FrameFacts = {}): FrameFacts => ({ kind: 'note', note, ...facts })
export const end = (stream: string, outcome = 'complete'): FrameFacts => ({ stream, dir: 'down', kind: 'end', outcome })

/** Reads it, and closes it with the test. */
export async function read(
  t: Test,
  files: string | readonly string[],
  options?: ReadRecordingOptions
): Promise<Recording> {
  const recording = await readRecording([files].flat(), options)
  t.teardown(() => recording.close())
  t.same(disorder(recording), [], 'the order is strict')
  return recording
}

export const requestsOf = (c: Conversation | undefined): RecordedRequest[] =>
  (c?.steps ?? []).filter(step => step.kind === 'request')

/** A conversation in a few words, one a step, with what was said in its place. */
export function story(c: Conversation | undefined): string[] {
  if (!c) return []
  return [...told('before', c.before), ...c.steps.flatMap(tell)]
}

function tell(step: Step): string[] {
  if (step.kind !== 'request') return [nameOf(step), ...told('  after', step.after)]
  const { outcome, cancelled } = step
  const how = cancelled ? ` cancelled by ${cancelled.how}` : ''
  const came =
    outcome.kind === 'response'
      ? `${outcome.own ? 'own ' : ''}${outcome.isError ? 'error' : 'result'}${outcome.status === undefined ? '' : ` ${outcome.status}`}`
      : outcome.kind === 'status'
        ? `status ${outcome.status}`
        : outcome.kind === 'cut'
          ? `cut ${outcome.how}`
          : 'open'
  return [`${nameOf(step)}${how}`, ...told('  said', step.said), `  ${came}`, ...told('  after', step.after)]
}

function nameOf(step: Step): string {
  if (step.kind === 'request')
    return `${step.method}${step.subject === undefined ? '' : ` ${step.subject}`} #${step.id}`
  if (step.kind === 'notification') return step.method
  if (step.kind === 'answer') return `answer to ${step.to?.method ?? 'nothing'}`
  return step.status === undefined ? step.kind : `${step.kind} ${step.status}`
}

function told(where: string, said: readonly Said[]): string[] {
  return said.map(
    s =>
      `${where} ${s.owned ? 'owned ' : ''}${s.own ? 'own ' : ''}${s.method}${s.id === undefined ? '' : ` #${s.id}`}${s.names && !s.owned ? ` names ${s.names.method}` : ''}`
  )
}

/** Everything that has a place in the order has one of its own, and stands where it belongs. */
export function disorder(recording: Recording): string[] {
  const faults: string[] = []
  const rising = (list: readonly { readonly order: number }[], what: string): void => {
    for (let i = 1; i < list.length; i++) if (list[i]!.order <= list[i - 1]!.order) faults.push(`${what} runs back`)
  }
  for (const c of [...recording.legacy, ...(recording.modern ? [recording.modern] : [])]) {
    rising([...c.before, ...c.steps], 'a conversation')
    for (const step of c.steps) {
      if (step.kind !== 'request') rising([step, ...step.after], step.kind)
      else
        rising(
          [step, ...step.said, ...(step.outcome.kind === 'open' ? [] : [step.outcome]), ...step.after],
          step.method
        )
    }
  }
  return faults.slice(0, 5)
}

/** Holds the recording against the frames of its tape, read the plain way: nothing is lost, and nothing stands twice. */
export async function complete(t: Test, file: string, recording: Recording): Promise<void> {
  const { found, wanted } = await contents(file, recording)
  t.same(found.said, wanted.said, 'all that the server said, in its order, once')
  t.same(found.did, wanted.did, 'all that the client said, in its order, once')
}

interface Contents {
  readonly said: readonly string[]
  readonly did: readonly string[]
}

/** What the recording holds, and what is on the tape. */
export async function contents(
  file: string,
  recording: Recording
): Promise<{ readonly found: Contents; readonly wanted: Contents }> {
  const wanted = { said: [] as string[], did: [] as string[] }
  for await (const frame of await TapeReader.open(file)) {
    if (frame.side !== 'client' || frame.kind !== 'message' || frame.text === undefined) continue
    for (const m of messagesOf(frame.text)) {
      if (frame.dir === 'up') wanted.did.push(JSON.stringify(m))
      else if (m.method !== undefined) wanted.said.push(JSON.stringify(m))
    }
  }
  const conversations = [...recording.legacy, ...(recording.modern ? [recording.modern] : [])]
  const steps = conversations.flatMap(c => c.steps)
  const textOf = ({ text }: { readonly text: TapeText }): string => JSON.stringify(JSON.parse(text.get()))
  const inOrder = (a: { readonly order: number }, b: { readonly order: number }): number => a.order - b.order
  const did = steps.filter(step => step.kind !== 'listen' && step.kind !== 'end')
  // Errors that answer nothing have no method; whether they are kept depends on what was open.
  const said = allSaid(recording).filter(one => textOf(one).includes('"method"'))
  return { found: { said: said.sort(inOrder).map(textOf), did: did.sort(inOrder).map(textOf) }, wanted }
}

export function allSaid({ legacy, modern }: Recording): Said[] {
  return [...legacy, ...(modern ? [modern] : [])].flatMap(c => [...c.before, ...c.steps.flatMap(saidAt)])
}

function saidAt(step: Step): readonly Said[] {
  return step.kind === 'request' ? [...step.said, ...step.after] : step.after
}

function messagesOf(text: string): { readonly method?: string }[] {
  try {
    const value = [JSON.parse(text)].flat() as ({ method?: unknown; result?: unknown; error?: unknown } | null)[]
    return value.filter(m => typeof m?.method === 'string' || m?.result !== undefined || m?.error !== undefined) as []
  } catch {
    return []
  }
}
