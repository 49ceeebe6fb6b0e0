/** Reads a large tape in a process of its own, and tells what it takes: `node --expose-gc large-tape.ts FOLDER EXCHANGES`. */
import { appendFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { ConversationIndex } from '../../src/replay/conversation-index.ts'
import { Matcher } from '../../src/replay/matching.ts'
import { readRecording } from '../../src/replay/recording.ts'
import { DEFAULT_RULES } from '../../src/replay/rules.ts'
import { HEADER } from '../tape/fixtures.ts'

const [folder, count] = process.argv.slice(2)
const exchanges = Number(count)
const file = path.join(folder!, 'large.tape.jsonl')

function linesOf(i: number): string {
  const n = 2 * i + 1
  const facts = { side: 'client', kind: 'message', session: 's1', stream: `post-${i}` }
  const [up, down] = [
    { n, t: n / 8, dir: 'up', ...facts, text: messageOf({ id: i, method: 'tools/call', params: paramsOf(i) }) },
    {
      n: n + 1,
      t: (n + 1) / 8,
      dir: 'down',
      ...facts,
      http: { status: 200, headers: [] },
      text: messageOf({ id: i, result: {} })
    }
  ]
  return `${JSON.stringify(up)}\n${JSON.stringify(down)}\n`
}

function paramsOf(i: number): object {
  return { name: 'find', arguments: { path: `/some/where/${i}` } }
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
  if (!('request' in found) || found.request.place.line !== 2 * i + 2) wrong++
}
const used = (await inUse()) - before
const { frames } = recording.counts
const last = index.begunBefore(Number.POSITIVE_INFINITY)
process.stdout.write(JSON.stringify({ frames, wrong, last, perFrame: bytes / frames, perFrameUsed: used / frames }))
recording.close()
