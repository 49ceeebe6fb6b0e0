/** Processes that add to a tape: beside each other, and ended at once. */
import { watch } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { validateTape } from '../../src/tape/validate.ts'
import { echoWithHandshake, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { type Catflap, startCatflap } from '../helpers/catflap.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, notification, toolCall } from '../helpers/rpc.ts'
import { byHand, httpTape } from './hand-stage.ts'

const handshake = echoWithHandshake('live')

async function session({ url }: Pick<Catflap, 'url'>): Promise<(id: number, name: string) => Promise<string>> {
  const begun = await rawPost(url, initialize(0))
  const headers = legacyHeaders(begun.headers['mcp-session-id'] as string)
  await rawPost(url, notification('notifications/initialized'), headers)
  return async (id, name) => (await rawPost(url, toolCall(id, name), headers)).text
}

t.test('two processes that add to one tape: it stays whole, and each call keeps its answer', async t => {
  trackLeaks(t)
  const server = await startRawHttp(handshake)
  t.teardown(() => server.close())
  const file = path.join(t.testdir(), 'new.tape.jsonl')
  const args = ['replay', '--listen', '0', '--no-tail', '--on-miss', `record:${server.url}`, file]
  const both = await Promise.all([startCatflap(args), startCatflap(args)])
  const calls = Array.from({ length: 30 }, (_, i) => i + 1)
  await Promise.all(
    both.map(async (one, which) => {
      const call = await session(one)
      await Promise.all(calls.map(id => call(id, `tool ${which}/${id}`)))
    })
  )
  for (const one of both) t.match(await one.close(), { code: 0 })
  for await (const finding of validateTape(file)) t.fail(`the tape is valid: ${JSON.stringify(finding)}`)
  const again = await byHand(t, 'stdio', file)
  for (const which of [0, 1])
    for (const id of calls) {
      const name = `tool ${which}/${id}`
      await again.say(toolCall(name, name))
      t.match(await again.heard.until(message => message.id === name), { result: { echo: { name } } })
    }
  await again.door.close()
  t.match(again.door.replay, { misses: 0 })
})

t.test('what was answered is on the tape soon, whatever hangs', async t => {
  trackLeaks(t)
  const server = await startRawHttp(exchange => (exchange.text.includes('"hangs"') ? undefined : handshake(exchange)))
  t.teardown(() => server.close())
  const file = httpTape(t, [])
  const run = await startCatflap(['replay', '--listen', '0', '--no-tail', '--on-miss', `record:${server.url}`, file])
  const call = await session(run)
  const hangs = call(1, 'hangs').catch(() => {})
  while (!server.exchanges.some(({ text }) => text.includes('"hangs"')))
    await server.exchange(server.exchanges.length + 1)
  for (const id of [2, 3, 4]) t.match(await call(id, `tool ${id}`), `tool ${id}`)
  for await (const _ of changesOf(file)) if ((await readFile(file, 'utf8')).includes('tool 4')) break
  await run.kill9()
  await hangs
  for await (const finding of validateTape(file)) t.fail(`the tape is valid: ${JSON.stringify(finding)}`)
  const again = await byHand(t, 'stdio', file)
  for (const id of [2, 3, 4]) {
    await again.say(toolCall(id, `tool ${id}`))
    t.match(await again.heard.until(message => message.id === id), { result: Object })
  }
  await again.door.close()
  t.match(again.door.replay, { misses: 0 })
})

/** Now, and whenever it may have changed. */
async function* changesOf(file: string): AsyncGenerator<void> {
  let changed = (): void => {}
  const watcher = watch(file, () => changed())
  try {
    for (;;) {
      const next = new Promise<void>(resolve => {
        changed = resolve
      })
      yield
      await next
    }
  } finally {
    watcher.close()
  }
}
