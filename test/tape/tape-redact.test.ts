import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { TapeReader } from '../../src/tape/reader.ts'
import { validateTape } from '../../src/tape/validate.ts'
import { collect, HEADER } from './fixtures.ts'
import { call, conversation, frameOf, run, tapeIn } from './tool-fixtures.ts'

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
  t.equal((await run(t, ['redact', file, '-o', `${out}2`, '--redact-json', 'x'])).code, 2)
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
