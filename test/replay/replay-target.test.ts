/** A tape as a target like any other: interceptors, recording, metrics, tokens and routes in front of it. */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { readConfigFile } from '../../src/config/read.ts'
import { createForward, createReverse, type Interceptor, Message } from '../../src/index.ts'
import { validateTape } from '../../src/tape/validate.ts'
import type { TestClient } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, rpc } from '../helpers/rpc.ts'
import { asked, byHand, httpTape } from './hand-stage.ts'
import { callTool, recorded, replayClient, replayDoor } from './replay-stage.ts'

const listed = asked(1, 'tools/list', {}, { tools: [{ name: 'a', inputSchema: {} }] })

t.test('interceptors see and change what comes from a tape', async t => {
  const seen: (string | undefined)[] = []
  const mine: Interceptor = {
    name: 'mine',
    message(_place, message, dir) {
      if (dir === 'up') seen.push(message.method)
      if (!JSON.stringify(message.json).includes('inputSchema')) return message
      return Message.from({ ...(message.json as object), result: { tools: [] } })
    }
  }
  const { say } = await byHand(t, 'http', httpTape(t, listed), { door: { interceptors: [mine] } })
  t.match((await say(rpc(1, 'tools/list'))).text, '"tools":[]')
  t.ok(seen.includes('tools/list'))
})

t.test('metrics and tokens', async t => {
  trackLeaks(t)
  const door = await replayDoor(t, httpTape(t, listed), { door: { metrics: true, tokens: ['s3cret-token'] } })
  t.equal((await rawPost(door.url!, initialize())).status, 401)
  const begun = await rawPost(door.url!, initialize(), { 'Catflap-Token': 's3cret-token' })
  t.equal(begun.status, 200)
  t.match(door.exportMetrics(), /method_name="initialize"|"initialize"/)
})

t.test('what was replayed and recorded can be replayed', async t => {
  trackLeaks(t)
  const script = async (c: TestClient): Promise<unknown[]> => [
    await callTool(c, 'sample', { message: 'one' }),
    await callTool(c, 'elicit', { via: 'session' }),
    (await c.client.callTool({ name: 'progress', arguments: { n: 2 } }, { onprogress() {} })).content
  ]
  const { file, told } = await recorded(t, { client: 'http', server: 'stdio' }, script)
  const again = path.join(path.dirname(file), 'again.tape.jsonl')
  for (const [tape, record] of [
    [file, again],
    [again, undefined]
  ] as const) {
    const door = await replayDoor(t, tape, record === undefined ? {} : { door: { record: { path: record } } })
    const { c, end } = await replayClient(t, 'http', door)
    t.same(await script(c), told)
    await end()
    await door.close()
    t.match(door.replay, { misses: 0, divergences: 0, unused: 0 })
  }
  for await (const finding of validateTape(again)) t.fail(`the tape is valid: ${JSON.stringify(finding)}`)
})

t.test('a route of a reverse proxy, as the configuration file has it', async t => {
  trackLeaks(t)
  const file = httpTape(t, listed)
  const config = path.join(path.dirname(file), 'catflap.yaml')
  await writeFile(
    config,
    [
      'listeners: [{ address: 0 }]',
      'routes:',
      '  docs: { tape: ./a.tape.jsonl }',
      '  shop: { tape: { files: [a.tape.jsonl], match: strict, faults: [tools/list=error] } }',
      ''
    ].join('\n')
  )
  const { configuration, problems } = await readConfigFile(config)
  t.same(problems, [])
  const proxy = await createReverse(configuration!.options)
  t.teardown(() => proxy.close({ drainTimeout: 0 }))
  const [url] = proxy.origins
  const answers: string[] = []
  for (const name of ['docs', 'shop']) {
    const at = `${url}/${name}/mcp`
    const begun = await rawPost(at, initialize())
    const headers = legacyHeaders(begun.headers['mcp-session-id'] as string)
    answers.push((await rawPost(at, rpc(1, 'tools/list'), headers)).text)
  }
  t.match(answers, [/"name":"a"/, /-31062/])
})

t.test('options that cannot be meant are refused', async t => {
  const tape = 'a.tape.jsonl'
  for (const [target, message] of [
    [{ tape: '' }, /target\.tape/],
    [{ tape, match: 'guess' }, /target\.match: 'guess' is not allowed; give 'keyed' or 'strict' or 'method'/],
    [{ tape, speed: 0 }, /target\.speed/],
    [{ tape, onMiss: { url: 'x' } }, /target\.url/],
    [{ tape, faults: [{ kind: 'cut', share: 1 }] }, /target\.faults/],
    [{ tape, faults: [{ kind: 'drop', share: 2 }] }, /target\.faults/]
  ] as const)
    await t.rejects(createForward({ target: target as never }), { name: 'TypeError', message })
})
