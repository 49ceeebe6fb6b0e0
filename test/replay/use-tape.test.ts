/** A tape by name, as tests use it. */
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type UsedTape, type UseTapeOptions, useTape } from '../../src/index.ts'
import { tapeFileName } from '../../src/replay/tape-name.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { type ClientOptions, connectHttp } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { callTool, command } from './replay-stage.ts'

// The tests decide themselves what the environment says.
for (const name of ['CI', 'CATFLAP_RECORD']) {
  const before = process.env[name]
  t.beforeEach(() => void delete process.env[name])
  t.teardown(() => {
    if (before !== undefined) process.env[name] = before
  })
}

async function ask(tape: UsedTape, args: Record<string, unknown> = { a: 1, b: 2 }, as: ClientOptions = {}) {
  const c = await connectHttp(tape.url, as)
  try {
    return await callTool(c, 'add', args)
  } finally {
    if (c.transport.sessionId !== undefined) await c.terminate()
    await c.close()
  }
}

async function server(t: Test) {
  const started = await startHttpServer({ mode: 'dual' })
  t.teardown(() => started.close())
  return started
}

const calls = (s: Awaited<ReturnType<typeof server>>): number => s.state.tally.count('tools/call add')

t.test('records once, and needs no server ever after', async t => {
  trackLeaks(t)
  const dir = path.join(t.testdir(), 'deep', 'tapes')
  const live = await server(t)
  const options: UseTapeOptions = { dir, target: { url: live.url } }
  const first = await useTape('sum', options)
  t.equal(first.recording, true)
  t.equal(await ask(first), '3')
  t.notOk(existsSync(first.file), 'a test that is ended halfway leaves no tape')
  await first.close()
  await first.close()
  t.same(readdirSync(dir), ['sum.tape.jsonl'])
  t.equal(calls(live), 1)
  {
    await using second = await useTape('sum', options)
    t.match(second, { recording: false, misses: [], file: path.join(dir, 'sum.tape.jsonl') })
    t.equal(await ask(second), '3')
    t.equal(await ask(second, { b: 2, a: 1 }), '3', 'a session of its own')
  }
  const third = await useTape('sum', { dir })
  t.equal(await ask(third), '3', 'no target is needed')
  await third.close()
  t.equal(calls(live), 1)
})

t.test('a command is recorded too, and clients of the modern era are served', async t => {
  trackLeaks(t)
  const [program, ...args] = command('modern')
  const options: UseTapeOptions = { dir: t.testdir(), target: { command: program!, args } }
  const first = await useTape('stdio', options)
  t.equal(await ask(first, { a: 4, b: 5 }, { era: 'modern' }), '9')
  await first.close()
  const second = await useTape('stdio', options)
  t.equal(await ask(second, { a: 4, b: 5 }, { era: 'modern' }), '9')
  await second.close()
})

t.test('a miss fails the test with the difference, or is reported', async t => {
  trackLeaks(t)
  const options: UseTapeOptions = { dir: t.testdir(), target: { url: (await server(t)).url } }
  const first = await useTape('sum', options)
  await ask(first)
  await first.close()
  const second = await useTape('sum', options)
  await t.rejects(ask(second, { a: 1, b: 3 }), { message: /Not on the tape/ })
  t.match(second.misses, [{ method: 'tools/call', subject: 'add', difference: ['params.arguments.b: 2 → 3'] }])
  const missed = {
    code: 'tape_missed',
    message: /CATFLAP_RECORD=1\.\n {2}not on the tape: tools\/call add: .*b: 2 → 3/
  }
  await t.rejects(second.close(), missed)
  await t.rejects(Promise.resolve(second[Symbol.asyncDispose]()), missed, 'and says so as often as it is asked')
  const third = await useTape('sum', { ...options, onMiss: 'report' })
  await t.rejects(ask(third, { a: 1, b: 3 }))
  await third.close()
  t.equal(third.misses.length, 1)
  const fourth = await useTape('sum', { ...options, strictUnused: true })
  await t.rejects(fourth.close(), { code: 'tape_missed', message: /never asked for: initialize/ })
})

t.test('a recording that failed is no tape', async t => {
  trackLeaks(t)
  const dir = t.testdir()
  const refused = { code: 'tape_failed', message: /was not made/ }
  const down = await useTape('sum', { dir, target: { url: 'http://127.0.0.1:1/mcp' } })
  await t.rejects(ask(down))
  await t.rejects(down.close(), { ...refused, message: /initialize: .*cannot connect/ })
  const live = await server(t)
  const target = { url: live.url }
  const idle = await useTape('sum', { dir, target })
  await t.rejects(idle.close(), { ...refused, message: /nothing was asked/ })
  const early = await useTape('sum', { dir, target })
  const c = await connectHttp(early.url)
  const slow = c.client.callTool({ name: 'slow', arguments: { key: 'never' } }).catch(() => {})
  await live.state.tally.until('slow.started')
  await t.rejects(early.close(), { ...refused, message: /tools\/call slow: catflap is stopping/ })
  await slow
  await c.close()
  t.same(readdirSync(dir), [], 'nothing is left of them')
  const well = await useTape('sum', { dir, target })
  t.equal(await ask(well), '3')
  await well.close()
  t.same(readdirSync(dir), ['sum.tape.jsonl'])
  // @ts-expect-error: a mode that is none
  await t.rejects(useTape('sum', { dir, target, mode: 'nope' }), {
    name: 'TypeError',
    message: /'nope' is not allowed/
  })
})

t.test('in CI, a tape that is missing is an error that says what to do', async t => {
  trackLeaks(t)
  const live = await server(t)
  const options: UseTapeOptions = { dir: t.testdir(), target: { url: live.url } }
  process.env.CI = 'true'
  await t.rejects(useTape('new', options), { code: 'tape_missing', message: /'new'.*CATFLAP_RECORD=1.*commit/ })
  process.env.CATFLAP_RECORD = '1'
  const first = await useTape('new', options)
  await ask(first)
  await first.close()
  process.env.CATFLAP_RECORD = '0'
  const second = await useTape('new', options)
  t.equal(second.recording, false)
  await second.close()
  await t.rejects(useTape('other', { ...options, mode: 'replay' }), { code: 'tape_missing' })
  delete process.env.CI
  await t.rejects(useTape('other', { dir: options.dir! }), { code: 'tape_missing', message: /no target/ })
  await t.rejects(useTape('other', { dir: options.dir!, mode: 'record' }), { name: 'TypeError' })
  t.same(readdirSync(options.dir!), ['new.tape.jsonl'])
})

t.test('it is recorded anew on demand, and until that is done the old one stays', async t => {
  trackLeaks(t)
  const live = await server(t)
  const options: UseTapeOptions = { dir: t.testdir(), target: { url: live.url } }
  const first = await useTape('sum', options)
  await ask(first)
  await first.close()
  const again = await useTape('sum', { ...options, mode: 'record' })
  const beside = await useTape('sum', options)
  t.equal(await ask(beside), '3')
  await beside.close()
  t.equal(await ask(again, { a: 2, b: 2 }), '4')
  await again.close()
  const last = await useTape('sum', options)
  t.equal(await ask(last, { a: 2, b: 2 }), '4')
  await last.close()
  t.equal(calls(live), 2)
})

t.test('tests beside each other never share a cursor', async t => {
  trackLeaks(t)
  const options: UseTapeOptions = { dir: t.testdir(), target: { url: (await server(t)).url } }
  const count = async (tape: UsedTape, era: 'legacy' | 'modern'): Promise<string[]> => {
    const c = await connectHttp(tape.url, { era })
    const told = [await callTool(c, 'count'), await callTool(c, 'count'), await callTool(c, 'count')]
    if (era === 'legacy') await c.terminate()
    await c.close()
    return told
  }
  for (const era of ['legacy', 'modern'] as const) {
    const first = await useTape(era, options)
    const told = await count(first, era)
    await first.close()
    t.equal(new Set(told).size, 3)
    const workers = await Promise.all([1, 2, 3, 4].map(() => useTape(era, options)))
    t.same(await Promise.all(workers.map(worker => count(worker, era))), [told, told, told, told])
    await Promise.all(workers.map(worker => worker.close()))
  }
})

t.test('any name makes a file name that is safe, and differs where names do', async t => {
  t.equal(tapeFileName('search'), 'search.tape.jsonl')
  t.match(tapeFileName('search > finds two'), /^search-finds-two-[0-9a-f]{8}\.tape\.jsonl$/)
  for (const name of ['../../etc/passwd', '..', '.', 'a/b', 'a\\b', 'C:\\x', 'nul', 'con.txt', '日本', '-rf', '\0'])
    t.match(tapeFileName(name), /^[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{8}\.tape\.jsonl$/, name)
  t.throws(() => tapeFileName(''), TypeError)
  t.throws(() => tapeFileName('  '), TypeError)
  const names = fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }).filter(name => name.trim() !== '')
  fc.assert(
    fc.property(names, names, (one, other) => {
      const file = tapeFileName(one)
      return (
        /^[A-Za-z0-9_][A-Za-z0-9._-]*\.tape\.jsonl$/.test(file) &&
        file.length <= 130 &&
        (one === other) === (file === tapeFileName(other))
      )
    })
  )
})
