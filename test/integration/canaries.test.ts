/** Secrets planted wherever traffic carries them: none may be found on a tape, in a log, or in an answer of catflap's own. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { runCatflap, startCatflap } from '../helpers/catflap.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize, notification, rpc } from '../helpers/rpc.ts'

let planted = 0
const canaries = new Map<string, string>()

/** A secret that looks like nothing in particular. */
function canary(where: string): string {
  const value = `cnry${(++planted).toString().padStart(3, '0')}Zq8xWv${planted * 7919}`
  canaries.set(where, value)
  return value
}

function found(text: string, only: (where: string) => boolean): string[] {
  return [...canaries].filter(([where, value]) => only(where) && text.includes(value)).map(([where]) => where)
}

t.test('no secret of an HTTP conversation reaches the tape or the log', async t => {
  trackLeaks(t)
  const session = canary('http session id of the server')
  const upstream = await startRawHttp(x => answer(x, session))
  t.teardown(() => upstream.close())
  const tape = path.join(t.testdir(), 'http.tape.jsonl')
  const url = new URL(upstream.url)
  url.username = canary('http userinfo name')
  url.password = canary('http userinfo password')
  url.searchParams.set('api_key', canary('http query'))
  const args = [
    'forward',
    '--listen',
    '0',
    '--record',
    tape,
    '--log-level',
    'debug',
    '--header',
    `X-Api-Key: ${canary('http --header')}`
  ]
  const token = canary('http --token')
  const catflap = await startCatflap(
    [...args, '--redact-header', 'X-Mine', '--redact-json', '/params/arguments/pin', url.href],
    {
      env: { CATFLAP_TOKEN: token }
    }
  )
  t.teardown(() => catflap.kill9())
  const secrets = {
    'Catflap-Token': token,
    Authorization: `Bearer ${canary('http authorization')}`,
    Cookie: `sid=${canary('http cookie')}`,
    'X-Mine': canary('http --redact-header'),
    'X-Auth-Token': canary('http token header')
  }
  const first = await rawPost(catflap.url, initialize(), secrets)
  const id = String(first.headers['mcp-session-id'])
  canaries.set('http session id of ours', id)
  t.equal(first.status, 200)
  const headers = { ...secrets, 'Mcp-Session-Id': id }
  const call = rpc(1, 'tools/call', { name: 'x', arguments: { pin: canary('http --redact-json') } })
  t.equal((await rawPost(catflap.url, call, headers)).status, 200)
  const oauth = await rawPost(catflap.url, rpc(2, 'oauth'), headers)
  t.equal(oauth.status, 401)
  t.match(oauth.text, canaries.get('http oauth access_token'), 'the client still gets what is meant for it')
  await rawPost(`${catflap.url}?access_token=${canary('http client query')}`, rpc(3, 'echo-headers'), headers)
  await rawPost(catflap.url, '{"jsonrpc":"2.0","id":', headers)
  t.equal(
    (await rawPost(catflap.url, rpc(4, 'x'), { ...headers, 'Catflap-Token': canary('http wrong token') })).status,
    401
  )
  await upstream.close()
  const refused = await rawPost(catflap.url, rpc(5, 'down'), headers)
  t.equal(refused.status, 502)
  await rawRequest(catflap.url, { method: 'DELETE', headers })
  t.same(await catflap.close(), { code: 0, signal: null })
  const written = await readFile(tape, 'utf8')
  t.match(written, 'echo-headers', 'the tape holds the conversation')
  const ours = (where: string): boolean => where.startsWith('http')
  t.same(found(written, ours), [], 'tape')
  t.same(found([...catflap.stderr.items, ...catflap.stdout.items].join('\n'), ours), [], 'log')
  t.same(
    found(refused.text, where => where.startsWith('http userinfo') || where === 'http query'),
    [],
    'error to the client'
  )
})

/** Assigns a session, answers OAuth-like things, sets cookies, and repeats what it was sent, as careless servers do. */
function answer(x: RawExchange, session: string): void {
  const request = JSON.parse(x.text || '{}') as { id?: number; method?: string }
  if (request.method === 'oauth') {
    const body = { access_token: canary('http oauth access_token'), refresh_token: canary('http oauth refresh_token') }
    const challenge = `Bearer resource_metadata="https://a.example/?client_secret=${canary('http challenge')}"`
    return x.respond(401, 'application/json', JSON.stringify(body), ['WWW-Authenticate', challenge])
  }
  const seen = x.rawHeaders.join(' ')
  const error = { code: 1, message: `not allowed with ${seen}` }
  const reply =
    request.method === 'echo-headers' ? { error } : { result: { protocolVersion: '2025-11-25', capabilities: {} } }
  const headers = ['Set-Cookie', `s=${canary('http set-cookie')}; Path=/`]
  if (request.method === 'initialize') headers.push('Mcp-Session-Id', session)
  x.json(200, { jsonrpc: '2.0', id: request.id, ...reply }, headers)
}

t.test('no secret of a command reaches the tape or the log', async t => {
  trackLeaks(t)
  const tape = path.join(t.testdir(), 'stdio.tape.jsonl')
  const inherited = canary('stdio inherited environment')
  const given = canary('stdio --env')
  const argument = canary('stdio argv')
  // Prints its environment and arguments on stderr and, as noise, on stdout; then fails with them in the error.
  const child = `
    const all = JSON.stringify({ env: process.env, argv: process.argv })
    console.error('starting with ' + all)
    console.log('noise ' + all)
    require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
      const { id } = JSON.parse(line)
      if (id !== undefined) console.log(JSON.stringify({ jsonrpc: '2.0', id, error: { code: 1, message: all } }))
    })`
  const args = ['forward', '--stdio', '--record', tape, '--log-level', 'debug', '--env', `SERVICE_KEY=${given}`, '--']
  const catflap = runCatflap(
    [...args, process.execPath, '-e', child, '--', '--password', argument, `--api-key=${argument}`],
    {
      env: { GITHUB_TOKEN: inherited }
    }
  )
  catflap.send(initialize())
  t.equal((await catflap.nextMessage()).id, 0)
  catflap.send(notification('notifications/initialized'))
  catflap.proc.stdin.end()
  t.same(await catflap.exit, { code: 0, signal: null })
  const written = await readFile(tape, 'utf8')
  t.match(written, 'starting with', 'stderr is on the tape')
  const ours = (where: string): boolean => where.startsWith('stdio')
  t.same(found(written, ours), [], 'tape')
  t.same(found(catflap.stderr.items.join('\n'), ours), [], 'log')
})
