import { readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { Cut } from '../../src/tape/cut.ts'
import { TapeError } from '../../src/tape/format.ts'
import { TapeReader } from '../../src/tape/reader.ts'
import { TapeSecrets } from '../../src/tape/redact-tape.ts'
import { TapeStats } from '../../src/tape/stats.ts'
import { chunksOf, folderOf, HEADER } from './fixtures.ts'
import { call, conversation, posix, runEach, tapeIn, tapeOf } from './tool-fixtures.ts'

const hostile: Readonly<Record<string, string | Buffer>> = {
  binary: Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 255, 10, 3]),
  gzip: gzipSync(Buffer.alloc(1_000_000)),
  nothing: '',
  'a deep header': `${'['.repeat(100_000)}\n`,
  'a deep frame': `${HEADER}\n${'{"a":'.repeat(100_000)}\n`,
  'wrong types': `${HEADER}\n{"n":"\x1b[2J","t":{},"side":3}\n`,
  'a number too large': `${HEADER}\n{"n":1e999,"t":0,"side":"client","dir":"up","kind":"open"}\n`,
  'no time': `${HEADER}\n{"n":1,"t":NaN,"side":"client","dir":"up","kind":"open"}\n`,
  'no date': `${HEADER.replace('2026-11-23T00:00:00.000Z', '2026-99-99')}\n`,
  'not UTF-8': Buffer.concat([
    Buffer.from(`${HEADER}\n{"n":1,"t":0,"side":"client","dir":"up","kind":"`),
    Buffer.from([255]),
    Buffer.from('"}\n')
  ]),
  'a later version': `${HEADER.replace('"version":1', '"version":9')}\n`
}

for (const [name, content] of Object.entries(hostile)) {
  t.test(`a file that is no tape is refused by every command: ${name}`, async t => {
    const file = path.join(await folderOf(t), 'a\x1b[2J.tape.jsonl'.replace('\x1b', posix ? '\x1b' : ''))
    await writeFile(file, content)
    const out = path.join(path.dirname(file), 'out')
    const expected = [
      [['show', file, '--method', 'tools/*'], 1],
      [['stats', file], 1],
      [['diff', file, file], 2],
      [['cut', file, '-o', out], 1],
      [['redact', file, '-o', out], 1]
    ] as const
    const results = await runEach(
      t,
      expected.map(([args]) => args)
    )
    for (const [i, [args, code]] of expected.entries()) {
      const failed = results[i]!
      t.equal(failed.code, code, args[0])
      t.match(failed.err, /^catflap: [^\n]+\n$/, args[0])
      t.match(failed.err, /tape\.jsonl/, args[0])
      t.notMatch(failed.err + failed.out, '\x1b', args[0])
    }
    t.strictSame((await readdir(path.dirname(file))).length, 1)
  })
}

t.test('hostile content of valid frames is counted, cut and redacted like any other', async t => {
  const nasty = ['__proto__', 'constructor', '\x1b]0;x\x07', '\ud800', '../../etc/passwd', 'x'.repeat(5000)]
  const file = await tapeIn(t, [
    ...nasty.map((name, i) => call(i + 1, i, name, {}, { session: name })),
    { ...call(50, 50, 'deep'), text: `${'['.repeat(100_000)}` },
    { ...call(51, 51, 'deep'), text: `{"id":1,"method":"tools/call","params":${'{"a":'.repeat(100_000)}` }
  ])
  const commands = [
    ['show', file, '--method', '**'],
    ['stats', file],
    ['diff', file, file],
    ['cut', file, '-o', `${file}.c`],
    ['redact', file, '-o', `${file}.r`, '--redact-json', '/params/__proto__/a']
  ]
  const results = await runEach(t, commands)
  for (const [i, args] of commands.entries()) {
    const { out, err, code } = results[i]!
    t.equal(code, 0, `${args.join(' ')} ${err}`)
    t.notMatch(out + err, /[\x1b\x07]/, args.join(' '))
  }
})

t.test('a tape changed at random is read, or refused by a TapeError', async () => {
  const whole = Buffer.from(tapeOf(conversation))
  const change = fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255), drop: fc.nat(20) })
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async changes => {
      let bytes = whole
      for (const { at, byte, drop } of changes)
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from([byte]), bytes.subarray(at + drop)])
      try {
        const tape = await TapeReader.from(chunksOf(bytes), 'x')
        const [cut, stats] = [new Cut({ from: { n: 2 }, methods: ['tools/*'] }), new TapeStats()]
        const secrets = new TapeSecrets({ redactJson: ['/params/*'], redactHeaders: [], secrets: [] })
        secrets.redaction.header(tape.header)
        for await (const frame of tape) {
          cut.keeps(frame)
          stats.add(frame)
          secrets.learn(frame)
        }
        stats.rows()
      } catch (error) {
        if (!(error instanceof TapeError)) throw error
      }
    }),
    { numRuns: 500 }
  )
})
