/** What is read from tapes of the official SDK's clients and servers: everything they do, in both eras, on every transport. */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import t, { type Test } from 'tap'
import { createForward } from '../../src/index.ts'
import type { Conversation, RecordedRequest, Recording } from '../../src/replay/recording.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { connectHttp, connectSse, connectStdio, HANDLERS, type TestClient } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { callTool } from '../integration/http-door.ts'
import { catflapArgs, LogInbox } from '../integration/pipe-door.ts'
import { complete, read, requestsOf } from './recording-door.ts'

/** What all of them do; returns when the cancellation has arrived. */
async function everything(c: TestClient): Promise<void> {
  await c.client.listTools()
  await c.client.readResource({ uri: 'fixture://item/10' })
  await Promise.all([1, 2, 3].map(n => callTool(c, 'echo', { n })))
  await c.client.callTool({ name: 'fail', arguments: {} })
  await callTool(c, 'throw', { code: -31_234, message: 'no' }).catch(() => {})
  await c.client.callTool({ name: 'progress', arguments: { n: 3 } }, { onprogress() {} })
  await callTool(c, 'sample')
  await callTool(c, 'elicit')
  const gone = new AbortController()
  const slow = c.client.callTool({ name: 'slow', arguments: {} }, { signal: gone.signal })
  await callTool(c, 'until', { name: 'slow.started' })
  gone.abort('enough')
  await slow.catch(() => {})
  await callTool(c, 'until', { name: 'slow.cancelled' })
}

interface Expected {
  readonly era: 'legacy' | 'modern'
  readonly cancelledBy: 'notification' | 'disconnect'
}

async function check(t: Test, file: string, { era, cancelledBy }: Expected): Promise<Recording> {
  const recording = await read(t, file)
  await complete(t, file, recording)
  const conversation = (era === 'legacy' ? recording.legacy[0] : recording.modern)!
  t.equal(conversation.version, era === 'legacy' ? '2025-11-25' : '2026-07-28')
  const of = (name: string): RecordedRequest[] => requestsOf(conversation).filter(r => r.subject === name)
  t.same(
    of('echo').map(r => [argumentsOf(r), answerOf(r)]),
    [1, 2, 3].map(n => [{ n }, { n }]),
    'each answer stands with its request'
  )
  t.match(of('fail')[0]?.outcome, { kind: 'response', isError: false })
  t.match(of('throw')[0]?.outcome, { kind: 'response', isError: true })
  t.same(
    of('progress')[0]?.said.map(s => [s.method, s.owned, s.names?.subject]),
    Array(3).fill(['notifications/progress', true, 'progress'])
  )
  const [slow] = of('slow')
  t.equal(slow?.cancelled?.how, cancelledBy)
  t.match(slow?.outcome.kind, /open|cut/)
  if (era === 'legacy') asked(t, conversation)
  else t.equal(of('elicit').length, 2, 'input is required, and the request comes again with it')
  const others = requestsOf(conversation).filter(r => r !== slow && r.method !== 'subscriptions/listen')
  t.same(
    others.filter(r => r.outcome.kind !== 'response').map(r => [r.method, r.outcome.kind]),
    [],
    'all others were answered'
  )
  return recording
}

/** The server's questions, each with the client's answer. */
function asked(t: Test, { steps }: Conversation): void {
  const questions = steps.flatMap(step => (step.kind === 'request' ? step.said : [])).filter(s => s.id !== undefined)
  t.same(
    questions.map(s => s.method),
    ['sampling/createMessage', 'elicitation/create']
  )
  for (const question of questions) {
    t.equal(question.answer?.to, question)
    t.equal(JSON.parse(question.answer!.text.get()).id, JSON.parse(question.id!))
  }
}

async function lastTape(folder: string): Promise<string> {
  const tapes = (await readdir(folder)).sort((a, b) => a.length - b.length || a.localeCompare(b))
  return path.join(folder, tapes.at(-1)!)
}

const argumentsOf = (r: RecordedRequest): unknown => JSON.parse(r.text.get()).params.arguments
const answerOf = ({ outcome }: RecordedRequest): unknown =>
  outcome.kind === 'response' ? JSON.parse(outcome.text.get()).result.structuredContent : outcome.kind

for (const [mode, era] of [
  ['stateful', 'legacy'],
  ['stateful', 'auto'],
  ['modern', 'modern'],
  ['dual', 'auto']
] as const)
  t.test(`Streamable HTTP, a ${mode} server, a client of era ${era}`, async t => {
    trackLeaks(t)
    const file = path.join(t.testdir(), 'a.tape.jsonl')
    const server = await startHttpServer({ mode })
    t.teardown(() => server.close())
    const door = await createForward({ target: { url: server.url }, record: { path: file } })
    t.teardown(() => door.close({ drainTimeout: 0 }))
    const c = await connectHttp(door.url!, { era, handlers: HANDLERS })
    t.teardown(() => c.close())
    if (mode === 'stateful') await c.listening()
    await everything(c)
    if (mode === 'stateful') await c.terminate()
    await c.close()
    await door.close()
    const { legacy, modern } = await check(
      t,
      file,
      mode === 'stateful'
        ? { era: 'legacy', cancelledBy: 'notification' }
        : { era: 'modern', cancelledBy: 'disconnect' }
    )
    t.equal(legacy.length, mode === 'stateful' ? 1 : 0)
    if (mode !== 'stateful') return t.same(modern?.versions, ['2026-07-28'])
    t.equal(legacy[0]?.steps.at(-1)?.kind, 'end')
    if (era === 'auto') t.match(requestsOf(modern)[0], { method: 'server/discover' }, 'asked first, in vain')
    t.same(modern?.versions ?? [], [])
  })

t.test('a server that lets its client poll: the answer came on another stream', async t => {
  trackLeaks(t)
  const file = path.join(t.testdir(), 'a.tape.jsonl')
  const server = await startHttpServer({ eventStore: true, retryInterval: 20 })
  t.teardown(() => server.close())
  const door = await createForward({ target: { url: server.url }, record: { path: file } })
  t.teardown(() => door.close({ drainTimeout: 0 }))
  const c = await connectHttp(door.url!, { handlers: HANDLERS })
  t.teardown(() => c.close())
  await c.listening()
  const answer = callTool(c, 'poll')
  await c.http.until(fact => fact.method === 'GET' && fact.headers.has('last-event-id'))
  await callTool(c, 'release')
  t.equal(await answer, 'released')
  await c.close()
  await door.close()
  const recording = await read(t, file)
  await complete(t, file, recording)
  const { steps } = recording.legacy[0]!
  const poll = steps.find(step => step.kind === 'request' && step.subject === 'poll') as RecordedRequest
  t.match(poll.outcome, { kind: 'response', isError: false, status: 200 })
  t.equal(poll.cancelled, undefined)
  const again = steps.find(step => step.kind === 'listen' && step.headers?.some(h => /^last-event-id$/i.test(h)))!
  t.ok(again.order > poll.order && poll.outcome.kind === 'response' && again.order < poll.outcome.order)
})

t.test('modern: a subscription, with all that came for it, and its end', async t => {
  trackLeaks(t)
  for (const wire of ['http', 'stdio'] as const) {
    const file = path.join(t.testdir(), `${wire}.tape.jsonl`)
    const server = await startHttpServer({ mode: 'modern' })
    const door = await createForward({
      target: { url: server.url },
      ...(wire === 'http' && { record: { path: file } })
    })
    const command = fixtureArgv('stdio-server.ts', '--era', 'modern')
    const c = await (wire === 'http'
      ? connectHttp(door.url!, { era: 'modern' })
      : connectStdio({ args: catflapArgs(['--record', file], command), era: 'modern' }))
    const heard = await c.client.listen({ toolsListChanged: true })
    await callTool(c, 'change', { what: 'tools' })
    await c.until('notifications/tools/list_changed')
    await heard.close()
    await callTool(c, 'echo', {})
    await c.close()
    await door.close()
    await server.close()
    const recording = await read(t, await lastTape(path.dirname(file)))
    const listen = requestsOf(recording.modern).find(r => r.method === 'subscriptions/listen')!
    t.same(
      listen.said.filter(s => s.owned).map(s => s.method),
      ['notifications/subscriptions/acknowledged', 'notifications/tools/list_changed'],
      wire
    )
    t.equal(listen.cancelled?.how, wire === 'http' ? 'disconnect' : 'notification', wire)
  }
})

t.test('HTTP+SSE', async t => {
  trackLeaks(t)
  const file = path.join(t.testdir(), 'a.tape.jsonl')
  const [command, ...args] = fixtureArgv('stdio-server.ts', '--era', 'legacy')
  const log = new LogInbox('lines of the log')
  const door = await createForward({ target: { command, args }, record: { path: file }, log })
  t.teardown(() => door.close({ drainTimeout: 0 }))
  const c = await connectSse(new URL('/sse', door.url!), { handlers: HANDLERS })
  t.teardown(() => c.close())
  await everything(c)
  await c.close()
  await log.until(line => line.event === 'session-end')
  await door.close()
  const { legacy, modern } = await check(t, file, { era: 'legacy', cancelledBy: 'notification' })
  t.equal(modern, undefined)
  t.same([legacy.length, legacy[0]?.steps[0]?.kind], [1, 'listen'])
  t.equal(legacy[0]?.steps.at(-1)?.kind, 'end', 'the stream is the session')
})

for (const [served, era] of [
  ['legacy', 'legacy'],
  ['legacy', 'auto'],
  ['modern', 'modern'],
  ['dual', 'auto']
] as const)
  t.test(`stdio, a ${served} server, a client of era ${era}`, async t => {
    trackLeaks(t)
    const file = path.join(t.testdir(), 'a.tape.jsonl')
    const args = catflapArgs(['--record', file], fixtureArgv('stdio-server.ts', '--era', served))
    const c = await connectStdio({ args, era, handlers: HANDLERS })
    t.teardown(() => c.close())
    await everything(c)
    await c.close()
    const expected = served === 'legacy' ? 'legacy' : 'modern'
    // A client that tries both eras starts the command twice: the tape with the conversation is the last one.
    const { legacy } = await check(t, await lastTape(path.dirname(file)), {
      era: expected,
      cancelledBy: 'notification'
    })
    t.equal(legacy.length, served === 'legacy' ? 1 : 0)
  })
