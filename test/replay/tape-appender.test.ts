/** Frames that are added to a tape: its numbers and its time go on, and it stays a tape. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { TapeAppender } from '../../src/replay/tape-appender.ts'
import type { Frame } from '../../src/tape/frame.ts'
import { Redactor } from '../../src/tape/redact.ts'
import { validateTape } from '../../src/tape/validate.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { HEADER } from '../tape/fixtures.ts'

const LAST = '{"n":7,"t":99.5,"side":"client","dir":"up","kind":"note","note":"notice","remark":"the last one"}'
const secret = {
  jsonrpc: '2.0',
  id: 1,
  method: 'x',
  params: { password: 'hush', text: 'my token is k3y-Fo8Zq2Lw9Xr4Tb7' }
}
const frame = (value: object): Frame => ({
  time: 0,
  side: 'client',
  dir: 'up',
  kind: 'message',
  session: 's',
  stream: 'post-1',
  bytes: Buffer.from(JSON.stringify(value))
})

async function append(t: Test, file: string, ...frames: Frame[]): Promise<string[]> {
  const redactor = new Redactor({ redactJson: ['/params/password'], secrets: ['k3y-Fo8Zq2Lw9Xr4Tb7'] })
  const onError = (reason: string): void => void t.fail(reason)
  const appender = await TapeAppender.open(file, { redactor, target: { kind: 'http', url: 'http://a/' }, onError })
  for (const one of frames) appender.append(one)
  await appender.close()
  for await (const finding of validateTape(file)) t.fail(`the tape is valid: ${JSON.stringify(finding)}`)
  return (await readFile(file, 'utf8')).trimEnd().split('\n')
}

for (const [what, text, kept] of [
  ['a whole tape', `${HEADER}\n${LAST}\n`, 2],
  ['one whose last line has no end', `${HEADER}\n${LAST}`, 2],
  ['one whose last line was cut off', `${HEADER}\n${LAST}\n{"n":8,"t":1`, 2],
  ['a header alone', `${HEADER}\n`, 1],
  ['a header without an end', HEADER, 1],
  ['a long last line', `${HEADER}\n${LAST.replace('last', 'x'.repeat(300_000))}\n`, 2]
] as const)
  t.test(`${what} goes on`, async t => {
    trackLeaks(t)
    const file = path.join(t.testdir(), 'a.tape.jsonl')
    await writeFile(file, text)
    const lines = await append(t, file, frame(secret), frame(secret))
    t.equal(lines.length, kept + 2)
    t.ok(text.startsWith(lines.slice(0, kept).join('\n')), 'what stood there stands there')
    const [first, second] = lines.slice(kept).map(line => JSON.parse(line))
    t.same([first.n, second.n], kept === 2 ? [8, 9] : [1, 2])
    t.ok(first.t >= (kept === 2 ? 99.5 : 0) && second.t >= first.t)
    t.notMatch(lines.join('\n'), /hush|k3y-Fo8Zq2Lw9Xr4Tb7/)
    t.match(first.redacted, ['json:/params/password', 'literal'])
  })

t.test('a tape that is not there is begun', async t => {
  trackLeaks(t)
  const file = path.join(t.testdir(), 'new.tape.jsonl')
  const [head, first] = await append(t, file, frame({ jsonrpc: '2.0', method: 'x' }))
  t.match(JSON.parse(head!), { catflap: 'tape', target: { kind: 'http', url: 'http://a/' } })
  t.match(JSON.parse(first!), { n: 1, text: '{"jsonrpc":"2.0","method":"x"}' })
})

t.test('several add to one tape, each in its turn', async t => {
  trackLeaks(t)
  const file = path.join(t.testdir(), 'new.tape.jsonl')
  const onError = (reason: string): void => void t.fail(reason)
  const target = { kind: 'http', url: 'http://a/' } as const
  const options = { redactor: new Redactor({}), target, onError }
  const all = await Promise.all([1, 2, 3].map(() => TapeAppender.open(file, options)))
  const names = new Set<string>()
  for (let i = 0; i < 50; i++)
    for (const one of all) {
      const stream = one.stream('post')
      names.add(stream)
      one.append({ ...frame({ jsonrpc: '2.0', method: 'x', params: { long: 'x'.repeat(20_000) } }), stream })
      if (i % 10 === 0) await setImmediate()
    }
  await Promise.all(all.map(one => one.close()))
  t.equal(names.size, 150)
  for await (const finding of validateTape(file)) t.fail(`the tape is valid: ${JSON.stringify(finding)}`)
  t.equal((await readFile(file, 'utf8')).trimEnd().split('\n').length, 151)
  t.same(await readdir(path.dirname(file)), ['new.tape.jsonl'])
})

t.test('a lock that a dead process has left holds up nobody for long', async t => {
  trackLeaks(t)
  const file = path.join(t.testdir({ 'a.tape.jsonl.lock': '' }), 'a.tape.jsonl')
  t.equal((await append(t, file, frame({ jsonrpc: '2.0', method: 'x' }))).length, 2)
  t.same(await readdir(path.dirname(file)), ['a.tape.jsonl'])
})

t.test('what is no tape is not added to', async t => {
  trackLeaks(t)
  const dir = t.testdir({ 'notes.txt': 'dear diary\n', 'broken.tape.jsonl': `${HEADER}\nnot a frame\n` })
  await mkdir(path.join(dir, 'folder'))
  for (const [name, message] of [
    ['notes.txt', /notes\.txt:1: not a catflap tape/],
    ['broken.tape.jsonl', /its last line is no frame/],
    ['folder', /it is a folder; name one tape/]
  ] as const) {
    const file = path.join(dir, name)
    await t.rejects(append(t, file), { name: 'TapeError', message }, name)
  }
  t.equal(await readFile(path.join(dir, 'notes.txt'), 'utf8'), 'dear diary\n')
})
