/** From the lines of a tape to the recorded request. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { parseJson } from '../../src/replay/canonical.ts'
import { Matcher } from '../../src/replay/matching.ts'
import { readRecording } from '../../src/replay/recording.ts'
import { DEFAULT_RULES } from '../../src/replay/rules.ts'
import { folderOf } from '../config/fixtures.ts'

const HEADER = {
  catflap: 'tape',
  version: 1,
  started: '2026-11-23T02:51:51.123Z',
  target: { kind: 'stdio' },
  software: { name: 'catflap', version: '0.1.0' }
}

function tapeOf(file: string, messages: readonly { dir: string; text: string; truncated?: object }[]): void {
  const frames = messages.map((m, i) => ({
    n: i + 1,
    t: i,
    side: 'client',
    kind: 'message',
    session: 's1',
    stream: 'stdio',
    ...m
  }))
  writeFileSync(file, [HEADER, ...frames].map(line => `${JSON.stringify(line)}\n`).join(''))
}

function exchange(id: number, params: string): { dir: string; text: string }[] {
  return [
    { dir: 'up', text: `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":${params}}` },
    { dir: 'down', text: `{"jsonrpc":"2.0","id":${id},"result":{"content":[]}}` }
  ]
}

t.test('numbers, redacted and truncated requests of a tape, read from the file when they are asked for', async t => {
  const file = path.join(folderOf(t), 'a.tape.jsonl')
  const cut = exchange(4, '{"name":"big"}')[0]!
  tapeOf(file, [
    ...exchange(1, '{"name":"n","arguments":{"id":9007199254740993}}'),
    ...exchange(2, '{"name":"n","arguments":{"id":9007199254740992}}'),
    ...exchange(3, '{"arguments":{"key":"[redacted]","__proto__":{"a":1}},"name":"login"}'),
    {
      ...cut,
      text: '{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"big","argu',
      truncated: { length: 9_000_000, sha256: '0'.repeat(64) }
    }
  ])
  for (const keepInMemory of [undefined, 0]) {
    const recording = await readRecording([file], { keepInMemory })
    t.teardown(() => recording.close())
    for (const mode of ['keyed', 'strict'] as const) {
      const matcher = new Matcher(recording.legacy, { mode, repeat: 'last', rules: DEFAULT_RULES })
      const cursor = matcher.cursor(recording.legacy[0])
      const line = (params: string): number | string => {
        const match = cursor.match({ method: 'tools/call', params: parseJson(params) })
        return 'miss' in match ? match.miss.text : match.request.place.line
      }
      t.equal(line('{"name":"n","arguments":{"id":9007199254740993.0},"_meta":{"progressToken":7}}'), 2)
      t.equal(line('{"name":"n","arguments":{"id":9007199254740992}}'), 4)
      t.equal(line('{"name":"login","arguments":{"__proto__":{"a":1},"key":"hunter2"}}'), 6)
      t.match(
        line('{"name":"big","arguments":{}}'),
        /a\.tape\.jsonl:8 matches nothing, since the tape holds only its beginning/
      )
      t.same(
        matcher.unused.map(r => r.place.line),
        [8]
      )
    }
  }
})
