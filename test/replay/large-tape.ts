/**
 * Reads a large tape in a process of its own, and tells what it takes: `node --expose-gc large-tape.ts FOLDER EXCHANGES
 * PROGRESS`, of which the last is how often the server speaks before it answers. */
import { appendFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { ConversationIndex } from '../../src/replay/conversation-index.ts'
import { Matcher } from '../../src/replay/matching.ts'
import { type RecordedRequest, readRecording } from '../../src/replay/recording.ts'
import { DEFAULT_RULES } from '../../src/replay/rules.ts'
import { HEADER } from '../tape/fixtures.ts'

const [folder, ...numbers] = process.argv.slice(2)
const [exchanges, progress] = numbers.map(Number) as [number, number]
const perExchange = 2 + progress
const file = path.join(folder!, 'large.tape.jsonl')

function linesOf(i: number): string {
  const first = perExchange * i + 1
  const facts = { side: 'client', kind: 'message', session: 's1', stream: `post-${i}` }
  const down = { dir: 'down', ...facts }
  const head = { status: 200, headers: [['content-type', 'application/json']] }
  const frames = [
    { dir: 'up', ...facts, text: messageOf({ id: i, method: 'tools/call', params: paramsOf(i) }) },
    ...Array.from({ length: progress }, (_, j) => ({ ...down, text: messageOf(progressOf(i, j)) })),
    { ...down, ...(progress === 0 && { http: head }), text: messageOf({ id: i, result: {} }) }
  ]
  return frames.map((frame, j) => `${JSON.stringify({ n: first + j, t: (first + j) / 8, ...frame })}\n`).join('')
}

function progressOf(token: number, progress: number): object {
  return { method: 'notifications/progress', params: { progressToken: token, progress } }
}

function paramsOf(i: number): object {
  return { name: 'find', arguments: { path: `/some/where/${i}` }, _meta: { progressToken: i } }
}

function isRight({ place, said }: RecordedRequest, i: number): boolean {
  return place.line === perExchange * i + 2 && said.length === progress
}

function messageOf(facts: object): string {
  return JSON.stringify({ jsonrpc: '2.0', ...facts })
}

/** Bytes in use. */
async function inUse(): Promise<number> {
  // What was looked at in this turn is kept until it is over.
  for (let i = 0; i < 3; i++) {
    await new Promise(resolve => setImmediate(resolve))
    globalThis.gc!()
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

writeFileSync(file, `${HEADER}\n`)
for (let i = 0; i < exchanges; i += 1000)
  appendFileSync(file, Array.from({ length: Math.min(1000, exchanges - i) }, (_, j) => linesOf(i + j)).join(''))
const before = await inUse()
// Texts are kept up to a bound of their own.
const recording = await readRecording([file], { keepInMemory: 0 })
const matcher = new Matcher(recording.legacy, { mode: 'keyed', repeat: 'last', rules: DEFAULT_RULES })
const index = new ConversationIndex(recording.legacy[0]!)
const bytes = (await inUse()) - before
const cursor = matcher.cursor(recording.legacy[0])
let wrong = 0
for (let i = 0; i < exchanges; i += 97) {
  const found = cursor.match({ method: 'tools/call', params: paramsOf(i) })
  if (!('request' in found) || !isRight(found.request, i)) wrong++
}
const used = (await inUse()) - before
const { frames } = recording.counts
const asked = cursor.used().size
const last = index.begunBefore(Number.POSITIVE_INFINITY)
/** MB that the process had at most, the making of the tape and the runtime included. */
const peak = Math.round(process.resourceUsage().maxRSS / 1024)
process.stdout.write(
  JSON.stringify({ frames, asked, wrong, last, perFrame: bytes / frames, perFrameUsed: used / frames, peak })
)
recording.close()
