/** `catflap reverse` as a user runs it. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { runCatflap } from '../helpers/catflap.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize } from '../helpers/rpc.ts'
import { httpTape } from '../replay/hand-stage.ts'

t.test('names and URLs on the command line are served at /NAME/mcp, until a signal', async t => {
  trackLeaks(t)
  const [a, b] = [await startRawHttp(), await startRawHttp()]
  t.teardown(() => a.close())
  t.teardown(() => b.close())
  const run = runCatflap(['reverse', `a=${a.url}`, `b=${b.url}`, '--listen', '0', '--listen', '0'])
  t.teardown(() => run.kill9())
  const told = await run.events.until(event => event.event === 'listening', { timeoutMs: 15_000 })
  const listeners = told.listeners as string[]
  t.equal(listeners.length, 2)
  t.match(told.routes, [
    { name: 'a', url: `${listeners[0]}/a/mcp`, target: a.url },
    { name: 'b', url: `${listeners[0]}/b/mcp`, target: b.url }
  ])
  for (const origin of listeners)
    for (const name of ['a', 'b']) t.equal((await rawPost(`${origin}/${name}/mcp`, initialize())).status, 200)
  t.equal(a.exchanges.length, 2)
  const { code } = await run.close()
  t.equal(code, 0)
})

t.test('without JSON it prints what is served where', async t => {
  trackLeaks(t)
  const run = runCatflap(['reverse', 'a=http://127.0.0.1:1/mcp', '--listen', '0'], { json: false })
  t.teardown(() => run.kill9())
  const lines = [await run.stdout.next({ timeoutMs: 15_000 }), await run.stdout.next()]
  t.match(lines[0], /^catflap: listening on http:\/\/127\.0\.0\.1:\d+$/)
  t.match(lines[1], /^ {2}a: http:\/\/127\.0\.0\.1:\d+\/a\/mcp → http:\/\/127\.0\.0\.1:1\/mcp$/)
  t.equal((await run.close()).code, 0)
})

t.test('a route may lead to a tape', async t => {
  trackLeaks(t)
  const file = httpTape(t, [])
  const run = runCatflap(['reverse', `a=tape:${file}`, '--listen', '0'])
  t.teardown(() => run.kill9())
  const told = await run.events.until(e => e.event === 'listening')
  t.match(told.routes, [{ target: 'tape:a.tape.jsonl' }])
  const { text } = await rawPost(`${(told.listeners as string[])[0]}/a/mcp`, initialize())
  t.match(JSON.parse(text), { result: { serverInfo: { name: 'tape' } } })
  t.equal((await run.close()).code, 0)
})

const WRONG: readonly (readonly [args: string[], message: RegExp])[] = [
  [[], /no route given/],
  [['a'], /'a' is no route; write NAME=URL/],
  [['=http://x/'], /is no route; write NAME=URL/],
  [['a=nonsense'], /'a=…' leads to no http or https URL/],
  [['a=tape:'], /'a=tape:' names no file; write a=tape:FILE/],
  [['a=http://x/', 'a=http://y/'], /route 'a' is given more than once/],
  [['a=http://x/', '--listen', 'nowhere'], /--listen 'nowhere' is no address/],
  [['a=http://x/', '--listen', '0.0.0.0:0'], /--listen 0\.0\.0\.0: other machines can reach this/],
  [['a=http://x/', '--config', 'x.yaml'], /name=url and --config exclude each other/],
  [['a=http://x/', '--max-body', 'much'], /--max-body much/],
  [['a=http://x/', '--nonsense'], /--nonsense: no such option/]
]

for (const [args, message] of WRONG)
  t.test(`wrong usage: reverse ${args.join(' ')}`, async t => {
    trackLeaks(t)
    const run = runCatflap(['reverse', ...args], { json: false })
    const { code } = await run.exit
    t.equal(code, 2)
    t.match(run.stderr.items.join('\n'), message)
  })

t.test('help has an example', async t => {
  trackLeaks(t)
  const run = runCatflap(['reverse', '--help'], { json: false })
  t.equal((await run.exit).code, 0)
  t.match(run.stdout.items.join('\n'), /catflap reverse docs=http:/)
})

t.test('what is said of the log on the command line counts for more than the file, the default too', async t => {
  trackLeaks(t)
  const file = path.join(t.testdir(), 'catflap.yaml')
  const listeners = '[{ address: 127.0.0.1:0 }]'
  const log = '{ format: json, level: error }'
  writeFileSync(file, `listeners: ${listeners}\nlog: ${log}\nroutes: { a: { target: http://127.0.0.1:1/mcp } }\n`)
  const options = ['--config', file, '--log-format', 'text', '--log-level', 'info']
  const run = runCatflap(['reverse', ...options], { json: false })
  t.teardown(() => run.kill9())
  t.match(await run.stdout.next({ timeoutMs: 15_000 }), /^catflap: listening on /)
  const ended = run.close()
  await run.stderr.until(line => line.includes('draining'))
  t.equal((await ended).code, 0)
})

t.test('a file says it all, and is followed: by its changes, and by SIGHUP', async t => {
  trackLeaks(t)
  const [a, b] = [await startRawHttp(), await startRawHttp()]
  t.teardown(() => a.close())
  t.teardown(() => b.close())
  const folder = t.testdir({ token: 'secret-of-a\n' })
  const file = path.join(folder, 'catflap.yaml')
  const write = (lines: readonly string[]): void => writeFileSync(file, lines.join('\n'))
  const head = ['listeners:', '  - address: 127.0.0.1:0', 'routes:']
  write([...head, '  a:', `    target: ${a.url}`, '    tokens: [file:token]'])
  const run = runCatflap(['reverse', '--config', file])
  t.teardown(() => run.kill9())
  const told = await run.events.until(event => event.event === 'listening', { timeoutMs: 15_000 })
  const [origin] = told.listeners as string[]
  const status = async (name: string, token?: string): Promise<number> =>
    (await rawPost(`${origin}/${name}/mcp`, initialize(), token === undefined ? {} : { 'catflap-token': token })).status
  t.equal(await status('a', 'secret-of-a'), 200)
  t.equal(await status('a'), 401)

  write([...head, '  a:', `    target: ${a.url}`, '    tokens: [file:token]', '  b:', `    target: ${b.url}`])
  run.proc.kill('SIGHUP')
  t.match(await run.events.until(event => event.event === 'config-changed'), { added: ['b'] })
  t.equal(await status('b'), 200)

  write([...head, '  b:', '    targett: x'])
  const refused = await run.events.until(event => event.event === 'config-refused')
  t.match(refused.text, /catflap\.yaml:4:3: routes\.b: .*target/)
  t.equal(await status('b'), 200, 'what ran goes on')

  write([...head, '  a:', `    target: ${a.url}`, '    tokens: [file:token]'])
  await run.events.until(event => event.event === 'config-changed' && String(event.removed) === 'b')
  writeFileSync(path.join(folder, 'token'), 'another-of-a\n')
  await run.events.until(event => event.event === 'config-changed' && String(event.replaced) === 'a')
  t.equal(await status('a', 'another-of-a'), 200)
  t.equal(await status('a', 'secret-of-a'), 401)
  t.equal((await run.close()).code, 0)
  t.notMatch(run.stderr.items.join('\n'), /secret-of-a|another-of-a/)
})

t.test('a file with mistakes is not started with: all of them are told', async t => {
  trackLeaks(t)
  const file = path.join(
    t.testdir({ 'catflap.yaml': 'routes:\n  a:\n    targett: x\n  b:\n    target: ftp://x\n' }),
    'catflap.yaml'
  )
  const run = runCatflap(['reverse', '--config', file], { json: false })
  t.equal((await run.exit).code, 1)
  const said = run.stderr.items.join('\n')
  t.match(said, /catflap\.yaml:3:5: /)
  t.match(said, /catflap\.yaml:5:13: /)
})

t.test('operators have what the file or the command line gives them', async t => {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const file = path.join(t.testdir(), 'catflap.yaml')
  const write = (more: readonly string[]): void =>
    writeFileSync(
      file,
      ['listeners: [{ address: "127.0.0.1:0" }]', `routes: { a: { target: "${server.url}" } }`, ...more].join('\n')
    )
  const admin = (token: string): string => `admin: { address: "127.0.0.1:0", token: "${token}" }`
  write([admin('operator-one'), 'accessLog: json', 'metrics: { address: "127.0.0.1:0" }', 'drainTimeout: 1s'])
  const run = runCatflap(['reverse', '--config', file], { env: { CATFLAP_TOKEN: 'not-taken' } })
  t.teardown(() => run.kill9())
  const told = await run.events.until(event => event.event === 'listening', { timeoutMs: 15_000 })
  t.equal(told.adminToken, undefined, 'a token that was given is not repeated')
  t.match((await run.events.until(event => event.event === 'unused-variable')).text, /CATFLAP_TOKEN/)
  const headers = { authorization: 'Bearer operator-one' }
  const status = await rawRequest(`${told.admin}/api/status`, { method: 'GET', headers })
  t.match(status.json(), { state: 'ready', routes: [{ name: 'a' }] })
  await rawPost((told.routes as { url: string }[])[0]!.url, initialize())
  t.match(JSON.parse(await run.stdout.until(line => line.startsWith('{'))), { route: 'a', method: 'initialize' })
  t.match((await rawRequest(String(told.metrics), { method: 'GET' })).text, /^catflap_exchanges_total/m)

  write([admin('operator-two'), 'accessLog: json', 'metrics: { address: "127.0.0.1:0" }', 'drainTimeout: 1s'])
  run.proc.kill('SIGHUP')
  t.match(await run.events.until(event => event.event === 'restart-needed'), { keys: ['admin'] })
  t.equal((await run.close()).code, 0)
  t.notMatch(run.stderr.items.join('\n'), /operator-one|operator-two|not-taken/)
})

t.test('an admin token that was made up is printed, on the command line as well', async t => {
  trackLeaks(t)
  const args = ['a=http://127.0.0.1:1/mcp', '--listen', '0', '--admin', '0', '--metrics', '0', '--access-log', 'text']
  const run = runCatflap(['reverse', ...args])
  t.teardown(() => run.kill9())
  const told = await run.events.until(event => event.event === 'listening', { timeoutMs: 15_000 })
  const ask = (headers: Record<string, string>) => rawRequest(`${told.admin}/api/status`, { method: 'GET', headers })
  t.equal((await ask({ 'catflap-token': String(told.adminToken) })).status, 200)
  t.equal((await ask({ 'catflap-token': 'x' })).status, 401)
  await rawPost((told.routes as { url: string }[])[0]!.url, initialize())
  t.match(await run.stdout.next(), /route=a .*method=initialize .*status=502/)
  t.equal((await run.close()).code, 0)
})

t.test('a secret in the path of a URL is shown to nobody', async t => {
  trackLeaks(t)
  const text = `listeners: [{ address: "127.0.0.1:0" }]\nroutes: { a: { target: "$\{SECRET_URL}" } }\naccessLog: text\n`
  const file = path.join(t.testdir({ 'catflap.yaml': text }), 'catflap.yaml')
  const env = { SECRET_URL: 'http://127.0.0.1:1/s/a-path-that-is-secret-4711/mcp' }
  const run = runCatflap(['reverse', '--config', file], { env })
  t.teardown(() => run.kill9())
  const told = await run.events.until(event => event.event === 'listening', { timeoutMs: 15_000 })
  const answer = await rawPost((told.routes as { url: string }[])[0]!.url, initialize())
  t.equal(answer.status, 502)
  await run.stdout.next()
  t.equal((await run.close()).code, 0)
  for (const said of [answer.text, run.stdout.items.join(), run.stderr.items.join()]) t.notMatch(said, /4711/)
})
