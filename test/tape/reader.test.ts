import { appendFile, rm, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { TapeError, type TapeFrame } from '../../src/tape/format.ts'
import { TapeReader } from '../../src/tape/reader.ts'
import { validateTape } from '../../src/tape/validate.ts'
import { chunksOf, collect, folderOf, HEADER } from './fixtures.ts'

const frame = (n: number, more: object = {}) =>
  `${JSON.stringify({ n, t: n, side: 'client', dir: 'up', kind: 'message', text: '{}', ...more })}\n`

async function read(...parts: (string | Buffer)[]): Promise<{ frames: TapeFrame[]; reader: TapeReader }> {
  const reader = await TapeReader.from(chunksOf(...parts), 'a.tape.jsonl')
  return { frames: await collect(reader), reader }
}

t.test('a torn last line is left out and told; a whole one without its end counts', async t => {
  const torn = await read(`${HEADER}\n${frame(1)}{"n":2,"t":`)
  t.strictSame([torn.frames.length, torn.reader.torn], [1, { line: 3, bytes: 11 }])
  const whole = await read(`${HEADER}\n${frame(1)}${frame(2).trimEnd()}`)
  t.strictSame([whole.frames.length, whole.reader.torn], [2, undefined])
  const header = await read(HEADER)
  t.strictSame([header.frames.length, header.reader.torn], [0, undefined])
})

t.test('what is wrong is said with file and line, after the frames before it', async t => {
  const reader = await TapeReader.from(chunksOf(`${HEADER}\n${frame(1)}garbage\n${frame(2)}`), 'a.tape.jsonl')
  const seen: number[] = []
  await t.rejects(
    async () => {
      for await (const f of reader) seen.push(f.n)
    },
    { code: 'tape_malformed', message: /^a\.tape\.jsonl:3: / }
  )
  t.strictSame(seen, [1])
})

t.test('a newer tape says what to do, another file what it is not', async t => {
  await t.rejects(read(`${HEADER.replace('"version":1', '"version":2')}\n`), {
    code: 'tape_too_new',
    message: /please update/
  })
  await t.rejects(read('{"n":1}\n'), { code: 'tape_malformed', message: /not a catflap tape/ })
  await t.rejects(read('\x7fELF\n'), { code: 'tape_malformed' })
  await t.rejects(read(''), { code: 'tape_malformed', message: /is empty/ })
  await t.rejects(TapeReader.open('/nowhere/x.tape.jsonl'), { code: 'tape_unreadable' })
})

t.test('members, kinds and notes of later versions are no errors', async t => {
  const { frames } = await read(
    `${HEADER.replace('}', ',"later":[1]}').replace(',"later":[1]}', '}')}\n${frame(1, { kind: 'later', extra: { a: [1] } })}`
  )
  t.match(frames[0], { kind: 'later', extra: { a: [1] } })
})

t.test('wrong types are errors, never crashes', async t => {
  const wrong = [
    { n: '1' },
    { n: 0 },
    { n: 1.5 },
    { t: -1 },
    { t: null },
    { side: 'x' },
    { dir: 1 },
    { kind: 3 },
    { text: 1 },
    { text: 'a', base64: 'aa==' },
    { http: [] },
    { http: { headers: [['a']] } },
    { http: { headers: [['a', 1]] } },
    { sse: { id: 1 } },
    { truncated: { length: 1, sha256: 'x' } },
    { data: { a: {} } },
    { redacted: [1] },
    { own: 1 },
    { session: {} }
  ]
  for (const facts of wrong)
    await t.rejects(read(`${HEADER}\n${frame(1, facts)}`), { code: 'tape_malformed' }, JSON.stringify(facts))
  for (const line of ['null', '[]', '1', '"x"', '', '{"__proto__":1}'])
    await t.rejects(read(`${HEADER}\n${line}\n`), { code: 'tape_malformed' }, line)
})

t.test('any bytes at all: an error or frames, nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }).map(a => Buffer.from(a)),
        fc.json().map(s => Buffer.from(s))
      ),
      async (withHeader, bytes) => {
        const all = withHeader ? Buffer.concat([Buffer.from(`${HEADER}\n`), bytes, Buffer.from('\n')]) : bytes
        await collect(validateTape('x', chunksOf(all)))
        try {
          await read(all)
        } catch (error) {
          return error instanceof TapeError
        }
        return true
      }
    ),
    { numRuns: 300 }
  )
})

t.test('a line beyond the limit ends the reading with its place, before it fills the memory', async t => {
  async function* endless(): AsyncGenerator<Buffer, void, void> {
    yield Buffer.from(`${HEADER}\n${frame(1)}`)
    for (;;) yield Buffer.alloc(1024 * 1024, 'x')
  }
  const reader = await TapeReader.from(endless(), 'a.tape.jsonl')
  await t.rejects(collect(reader), { code: 'tape_line_too_long', message: /^a\.tape\.jsonl:3: / })
  const small = await TapeReader.from(chunksOf(`${HEADER}\n${frame(1)}${frame(2, { text: 'x'.repeat(500) })}`), 'b', {
    maxLine: 400
  })
  await t.rejects(collect(small), { code: 'tape_line_too_long', message: /^b:3: / })
})

t.test('structure made to fill the memory is refused', async t => {
  const before = process.memoryUsage().rss
  for (const bomb of ['['.repeat(30_000_000), `{"n":1,"x":${'[{},'.repeat(8_000_000)}`])
    await t.rejects(read(`${HEADER}\n`, bomb, '\n'), { code: 'tape_malformed', message: /structure/ })
  t.ok(process.memoryUsage().rss - before < 400e6)
})

t.test('all of a file is read into the same memory', async t => {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const frame = { t: 0, side: 'client', dir: 'up', kind: 'message', stream: 'stdio', text: 'x'.repeat(1000) }
  await writeFile(
    file,
    `${HEADER}\n${Array.from({ length: 4000 }, (_, n) => `${JSON.stringify({ n, ...frame })}\n`).join('')}`
  )
  const tape = await TapeReader.open(file)
  const memory = new Set<ArrayBufferLike>()
  let [lines, cut] = [0, 0]
  for await (const _ of tape.parsed(line => {
    lines++
    // A line over the end of what was read has memory of its own.
    if (line.buffer.byteLength < 100_000) cut++
    else memory.add(line.buffer)
    return true
  }));
  t.equal(lines, 4000)
  t.equal(memory.size, 1)
  t.ok(cut < 40, String(cut))
})

t.test('memory is constant whatever the size', async t => {
  const block = Buffer.from(frame(1, { text: 'x'.repeat(1000) }).repeat(1000))
  async function* large(): AsyncGenerator<Buffer, void, void> {
    yield Buffer.from(`${HEADER}\n`)
    for (let i = 0; i < 300; i++) yield block
  }
  const reader = await TapeReader.from(large(), 'large')
  let count = 0
  let peak = 0
  for await (const batch of reader.batches()) {
    count += batch.length
    peak = Math.max(peak, process.memoryUsage().heapUsed)
  }
  t.equal(count, 300_000)
  t.ok(peak < 200e6, `${Math.round(peak / 1e6)} MB`)
})

t.test('follow shows frames as they come and ends with the signal', async t => {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  await writeFile(file, '')
  const stop = new AbortController()
  const opening = TapeReader.open(file, { follow: true, signal: stop.signal })
  await appendFile(file, HEADER.slice(0, 30))
  await appendFile(file, `${HEADER.slice(30)}\n`)
  const reader = await opening
  await appendFile(file, frame(1))
  const seen: number[] = []
  for await (const f of reader) {
    seen.push(f.n)
    if (f.n === 5) stop.abort()
    else await appendFile(file, frame(f.n + 1))
  }
  t.strictSame(seen, [1, 2, 3, 4, 5])
})

t.test('follow: lines in pieces, a file that goes, a file that shrinks', async t => {
  const folder = await folderOf(t)
  const file = path.join(folder, 'a.tape.jsonl')
  await writeFile(file, `${HEADER}\n${frame(1)}`)
  const seen: number[] = []
  for await (const f of await TapeReader.open(file, { follow: true })) {
    seen.push(f.n)
    if (f.n === 4) await rm(file)
    else {
      const next = frame(f.n + 1)
      await appendFile(file, next.slice(0, 10))
      setImmediate(() => appendFile(file, next.slice(10)))
    }
  }
  t.strictSame(seen, [1, 2, 3, 4], 'removal ends it')
  const other = path.join(folder, 'b.tape.jsonl')
  await writeFile(other, `${HEADER}\n${frame(1)}`)
  await t.rejects(
    async () => {
      for await (const _ of await TapeReader.open(other, { follow: true })) await truncate(other, 10)
    },
    { code: 'tape_replaced' }
  )
})

t.test('validate: everything that is not as the format says', async t => {
  const findings = async (...parts: string[]) =>
    (await collect(validateTape('x', chunksOf(...parts)))).map(f => `${f.line} ${f.severity} ${f.text.slice(0, 30)}`)
  t.strictSame(await findings(`${HEADER}\n${frame(1)}${frame(5)}`), [])
  t.strictSame(await findings(''), ['1 error empty: a tape begins with a hea'.slice(0, 38)])
  t.match(await findings(`${HEADER.replace('"version":1', '"version":9')}\n`), [/please update|newer|version 9/])
  const mixed = await findings(
    `${HEADER}\n${frame(2)}${frame(2)}not json\n${frame(3, { kind: 'later' })}${frame(4, { text: '{"a":' })}${frame(5, { text: undefined, base64: '%%' })}{"n":6,"t`
  )
  t.strictSame(
    mixed.map(f => f.split(' ').slice(0, 2).join(' ')),
    ['3 error', '4 error', '5 warning', '6 error', '7 error', '8 warning']
  )
})
