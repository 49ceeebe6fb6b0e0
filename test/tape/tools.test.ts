import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { Cut, parseMark } from '../../src/tape/cut.ts'
import { TapeError, type TapeFrame } from '../../src/tape/format.ts'
import { Histogram } from '../../src/tape/histogram.ts'
import { TapeReader } from '../../src/tape/reader.ts'
import { TapeSecrets } from '../../src/tape/redact-tape.ts'
import { TapeStats } from '../../src/tape/stats.ts'
import { validateTape } from '../../src/tape/validate.ts'
import { chunksOf, collect, folderOf, HEADER } from './fixtures.ts'

const posix = process.platform !== 'win32'
const cli = fileURLToPath(new URL('cli-fixture.ts', import.meta.url))

async function run(
  t: Test,
  args: string[],
  { env = {}, input = '' }: { env?: NodeJS.ProcessEnv; input?: string } = {}
) {
  const child = spawn(process.execPath, [cli, 'tape', ...args], { env: { ...process.env, NO_COLOR: '1', ...env } })
  t.teardown(() => child.kill('SIGKILL'))
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { out, err, code: code as number }
}

type Message = { readonly [key: string]: unknown }

function frameOf(n: number, dir: 'up' | 'down', message: Message, more: Partial<TapeFrame> = {}): TapeFrame {
  const text = JSON.stringify({ jsonrpc: '2.0', ...message })
  return {
    n,
    t: n * 1000,
    side: 'client',
    dir,
    kind: 'message',
    session: 's1',
    stream: `post-${message.id}`,
    text,
    ...more
  }
}

function call(n: number, id: number, name: string, args: Message = {}, more: Partial<TapeFrame> = {}): TapeFrame {
  const http = {
    method: 'POST',
    path: '/mcp',
    headers: [['mcp-session-id', more.session ?? 's1']] as [string, string][]
  }
  return frameOf(n, 'up', { id, method: 'tools/call', params: { name, arguments: args } }, { http, ...more })
}

function answer(n: number, id: number, result: Message, more: Partial<TapeFrame> = {}): TapeFrame {
  return frameOf(
    n,
    'down',
    { id, result },
    { http: { status: 200, headers: [['content-type', 'application/json']] }, ...more }
  )
}

function tapeOf(frames: readonly TapeFrame[]): string {
  return [HEADER, ...frames.map(frame => JSON.stringify(frame)), ''].join('\n')
}

const conversation: readonly TapeFrame[] = [
  call(1, 1, 'echo', { password: 'hunter2-hunter2' }),
  answer(2, 1, { content: [{ type: 'text', text: 'you said hunter2-hunter2' }] }),
  call(3, 2, 'fail'),
  call(4, 3, 'echo', {}, { session: 's2' }),
  answer(5, 2, { content: [], isError: true }),
  frameOf(6, 'down', { id: 3, error: { code: -5, message: 'no' } }, { session: 's2' }),
  frameOf(7, 'up', { id: 4, method: 'tools/list' }),
  answer(8, 4, { tools: [] })
]

async function tapeIn(t: Test, frames = conversation): Promise<string> {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  await writeFile(file, tapeOf(frames))
  return file
}

async function numbersOn(file: string): Promise<number[]> {
  return (await collect(await TapeReader.open(file))).map(frame => frame.n)
}

t.test('stats: counts, errors of both kinds, latencies and bytes by method and tool', async t => {
  const file = await tapeIn(t)
  const { out, err, code } = await run(t, ['stats', file, file, '--json'])
  t.strictSame([code, err], [0, ''])
  const rows = out
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  t.match(rows[0], {
    from: 'client',
    method: 'tools/call',
    subject: 'echo',
    count: 4,
    errors: 2,
    toolErrors: 0,
    answered: 4
  })
  const failing = rows.find(row => row.subject === 'fail')
  t.match(failing, { count: 2, errors: 0, toolErrors: 2 })
  t.ok(Math.abs(failing.p50 - 2000) < 25, String(failing.p50))
  t.equal(failing.up, 2 * Buffer.byteLength(conversation[2]!.text!))
  const table = await run(t, ['stats', file, '--sort', 'errors'])
  t.match(table.out.split('\n')[1], /^█+ +tools\/call (echo|fail) /)
})

t.test('stats hold a bounded number of names, and percentiles are right within 1 %', t => {
  const stats = new TapeStats()
  for (let i = 1; i <= 3000; i++) stats.add(call(i, i, `tool-${i}`))
  const rows = stats.rows()
  t.equal(rows.length, 1001)
  t.match(rows[0], { method: 'other', count: 2000 })
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0.01, max: 1e6, noNaN: true }), { minLength: 1 }), values => {
      const histogram = new Histogram()
      for (const value of values) histogram.add(value)
      const sorted = [...values].sort((a, b) => a - b)
      for (const q of [0.5, 0.95, 0.99]) {
        const exact = sorted[Math.max(1, Math.ceil(q * values.length)) - 1]!
        if (Math.abs(histogram.quantile(q)! - exact) > exact * 0.0101) return false
      }
      return true
    })
  )
  t.end()
})

t.test('diff: 0 for the same, 1 for different, 2 for trouble; equal requests in order', async t => {
  const file = await tapeIn(t)
  const other = path.join(path.dirname(file), 'b.tape.jsonl')
  t.strictSame(await run(t, ['diff', file, file]), { out: '', err: '', code: 0 })
  await writeFile(
    other,
    tapeOf([
      ...conversation.slice(0, 4),
      answer(5, 2, { content: [{ type: 'text', text: '\x1b[2J' }], isError: true }),
      conversation[5]!,
      call(7, 9, 'new\x1b[2J')
    ])
  )
  const different = await run(t, ['diff', file, other])
  t.equal(different.code, 1)
  const lines = different.out.trimEnd().split('\n')
  t.match(lines[0], /^~ tools\/call fail {2}\(.*a\.tape\.jsonl:4, .*b\.tape\.jsonl:4\)$/)
  t.match(lines[1], /^ {4}result\.content/)
  t.match(lines[2], /^- tools\/list {2}/)
  t.match(lines[3], /^\+ tools\/call new/)
  t.notMatch(different.out, '\x1b')
  const rules = path.join(path.dirname(file), 'r.yaml')
  await writeFile(rules, 'version: 1\nanswers:\n  - method: tools/call\n    ignore: [/result/content]\n')
  const ruled = await run(t, ['diff', file, other, '--rules', rules])
  t.notMatch(ruled.out, '~ ')
  t.equal((await run(t, ['diff', file, '/nowhere'])).code, 2)
  t.equal((await run(t, ['diff', file])).code, 2)
})

t.test('cut: requests stay with their answers, numbers stay, and what comes out is a tape', async t => {
  const file = await tapeIn(t)
  const cuts: [string[], number[]][] = [
    [
      ['--from', '#3', '--to', '#4'],
      [3, 4, 5, 6]
    ],
    [
      ['--from', '2s', '--to', '3500ms'],
      [3, 5]
    ],
    [
      ['--session', 's2'],
      [4, 6]
    ],
    [
      ['--method', 'tools/list'],
      [7, 8]
    ],
    [
      ['--method', 'tools/list,tools/*', '--from', '2026-11-23T00:00:04Z'],
      [4, 6, 7, 8]
    ]
  ]
  for (const [i, [options, kept]] of cuts.entries()) {
    const out = path.join(path.dirname(file), `cut-${i}.tape.jsonl`)
    const { err, code } = await run(t, ['cut', file, '-o', out, ...options])
    t.strictSame([err, code], [`${kept.length} frames\n`, 0])
    t.strictSame(await numbersOn(out), kept, options.join(' '))
    if (posix) t.equal((await stat(out)).mode & 0o777, 0o600)
  }
  for (const options of [
    ['--from', 'soon'],
    ['--to', '#x']
  ])
    t.equal((await run(t, ['cut', file, '-o', `${file}.x`, ...options])).code, 2)
  t.equal((await run(t, ['cut', file])).code, 2)
  t.strictSame(parseMark('1h', '2026-11-23T00:00:00Z'), { t: 3_600_000 })
})

t.test('cut: an answer on a pipe goes with its request, whatever came between', t => {
  const pipe = { stream: 'stdio' }
  const cut = new Cut({ to: { n: 2 } })
  const frames = [
    call(1, 1, 'a', {}, pipe),
    call(2, 2, 'b', {}, pipe),
    call(3, 3, 'c', {}, pipe),
    answer(4, 3, {}, pipe),
    answer(5, 2, {}, pipe),
    answer(6, 1, {}, pipe)
  ]
  t.strictSame(
    frames.filter(frame => cut.keeps(frame)).map(frame => frame.n),
    [1, 2, 5, 6]
  )
  t.end()
})

t.test('redact: by pointer, header and secret, everywhere it stands, and twice changes nothing more', async t => {
  const secret = 'correct-horse'
  const file = await tapeIn(t, [
    ...conversation,
    { n: 9, t: 9, side: 'server', dir: 'down', kind: 'note', note: 'stderr', text: `early hunter2-hunter2 ${secret}` },
    call(
      10,
      10,
      'x',
      {},
      { http: { method: 'POST', path: `/mcp?token=${secret}`, headers: [['x-mine', 'private-thing']] } }
    )
  ])
  const out = path.join(path.dirname(file), 'out.tape.jsonl')
  const options = [
    '--redact-json',
    '/params/arguments/password',
    '--redact-header',
    'X-Mine',
    '--secret-env',
    'MY_SECRET'
  ]
  const env = { MY_SECRET: secret }
  const done = await run(t, ['redact', file, '-o', out, ...options], { env })
  t.strictSame([done.code, done.out], [0, ''])
  t.match(done.err, /4 frames changed/)
  const written = await readFile(out, 'utf8')
  for (const gone of ['hunter2', secret, 'private-thing']) t.notMatch(written, gone)
  t.notMatch(done.err, secret)
  const frames = await collect(await TapeReader.open(out))
  t.strictSame(frames[0]!.redacted, ['json:/params/arguments/password'])
  t.strictSame(frames[1]!.redacted, ['literal'])
  t.ok(frames[9]!.redacted?.includes('header:x-mine'))
  t.strictSame(
    (await collect(validateTape(out))).filter(f => f.severity === 'error'),
    []
  )
  t.equal(frames[2]!.text, conversation[2]!.text)
  const again = await run(t, ['redact', out, '--in-place', ...options], { env })
  t.strictSame([again.code, /0 frames changed/.test(again.err)], [0, true], again.err)
  t.equal(await readFile(out, 'utf8'), written)
  t.equal((await run(t, ['redact', file, '-o', out, '--secret-env', 'NOT_SET_AT_ALL'])).code, 2)
  t.equal((await run(t, ['redact', file, '-o', out, '--in-place'])).code, 2)
  t.equal((await run(t, ['redact', file, '-o', `${out}2`, '--redact-json', 'x'])).code, 1)
})

t.test('redact: a secret is found in names and in members that nobody knows', async t => {
  const secret = 'SECRETVALUE12345'
  const frame = (n: number, more: object) => JSON.stringify({ ...frameOf(n, 'up', { id: n, method: 'ping' }), ...more })
  const deep = `${'['.repeat(20_000)}"${secret}"${']'.repeat(20_000)}`
  const file = path.join(t.testdir({}), 'a.tape.jsonl')
  const header = { ...JSON.parse(HEADER), session: secret, extra: { [secret]: [secret] } }
  header.software.name = `catflap ${secret}`
  const lines = [
    JSON.stringify(header),
    frame(1, { extra: secret, [secret]: 1, redacted: [secret] }),
    frame(2, { kind: 'note', note: secret, data: { [secret]: 1, n: null }, text: undefined }),
    frame(3, { http: { method: 'POST', path: '/m', headers: [[secret, 'v']], extra: secret }, sse: { extra: secret } }),
    frame(4, { kind: `later ${secret}`, outcome: secret }),
    frame(5, {}).replace(/}$/, `,"extra":${deep}}`),
    frame(6, { kind: 'message' })
  ]
  await writeFile(file, `${lines.join('\n')}\n`)
  const env = { MY_SECRET: secret, A_WORD: 'message' }
  const out = `${file}.out`
  const done = await run(t, ['redact', file, '-o', out, '--secret-env', 'MY_SECRET', '--secret-env', 'A_WORD'], { env })
  t.equal(done.code, 0, done.err)
  const written = (await readFile(out, 'utf8')).trimEnd().split('\n')
  for (const line of written) t.notMatch(line, secret)
  t.equal(written[6], lines[6], 'words of the format stay, whatever the secret is')
  t.strictSame(JSON.parse(written[1]!).redacted, ['[redacted]', 'literal'])
  t.strictSame(JSON.parse(written[0]!).redacted, ['literal'])
})

t.test('outputs: nothing is overwritten without --force, nothing but files ever, and no drafts stay', async t => {
  const file = await tapeIn(t)
  const folder = path.dirname(file)
  const taken = path.join(folder, 'taken')
  await writeFile(taken, 'mine')
  await mkdir(path.join(folder, 'folder'))
  const refused = await run(t, ['cut', file, '-o', taken])
  t.equal(refused.code, 1)
  t.match(refused.err, /taken exists already: name another file, or replace it with --force/)
  t.equal(await readFile(taken, 'utf8'), 'mine')
  t.equal((await run(t, ['cut', file, '-o', taken, '--force'])).code, 0)
  t.strictSame(await numbersOn(taken), [1, 2, 3, 4, 5, 6, 7, 8])
  for (const name of ['folder', 'no/such/folder/x']) {
    const failed = await run(t, ['cut', file, '-o', path.join(folder, name), '--force'])
    t.strictSame([failed.code, failed.err.split('\n').length], [1, 2], name)
  }
  if (posix) {
    await promisify(execFile)('mkfifo', [path.join(folder, 'fifo')])
    await symlink('/dev/null', path.join(folder, 'null'))
    for (const name of ['fifo', 'null'])
      t.equal((await run(t, ['cut', file, '-o', path.join(folder, name), '--force'])).code, 1, name)
    t.match((await run(t, ['redact', path.join(folder, 'fifo'), '-o', `${file}.y`])).err, /no ordinary file/)
  }
  t.strictSame(
    (await readdir(folder)).filter(name => name.endsWith('.part')),
    []
  )
})

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
    for (const [args, code] of [
      [['show', file, '--method', 'tools/*'], 1],
      [['stats', file], 1],
      [['diff', file, file], 2],
      [['cut', file, '-o', out], 1],
      [['redact', file, '-o', out], 1]
    ] as const) {
      const failed = await run(t, [...args])
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
  for (const args of [
    ['show', file, '--method', '**'],
    ['stats', file],
    ['diff', file, file],
    ['cut', file, '-o', `${file}.c`],
    ['redact', file, '-o', `${file}.r`, '--redact-json', '/params/__proto__/a']
  ]) {
    const { out, err, code } = await run(t, args)
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
