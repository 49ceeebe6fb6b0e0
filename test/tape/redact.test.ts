import fc from 'fast-check'
import t from 'tap'
import { FrameEncoder, lineOf } from '../../src/tape/encoder.ts'
import { MARK, type TapeFrame } from '../../src/tape/format.ts'
import type { Frame } from '../../src/tape/frame.ts'
import { compilePointers, redactPointers } from '../../src/tape/pointers.ts'
import { parseFrame } from '../../src/tape/reader.ts'
import { Redactor, type RedactorOptions } from '../../src/tape/redact.ts'
import { isSecretHeader, isSecretName, isSecretParameter } from '../../src/tape/secret-names.ts'
import { message, note, tapeTextOf } from './fixtures.ts'

function encode(frame: Frame, options: RedactorOptions = {}): TapeFrame {
  return parseFrame(Buffer.from(lineOf(1, 0, new FrameEncoder(new Redactor(options)).body(frame))))
}

/** A canary is unmistakable in a tape, in whatever spelling. */
let serial = 0
const planted: string[] = []
function canary(): string {
  const made = `CANARY${++serial}q7zX9k`
  planted.push(made)
  return made
}

t.test('no planted canary is on a tape', async t => {
  const configured = canary()
  const bearer = canary()
  const cookie = canary()
  const key = canary()
  const session = canary()
  const query = canary()
  const argv = [
    ...[
      'node',
      'server.js',
      '--api-key',
      canary(),
      `--token=${canary()}`,
      `DB_PASSWORD=${canary()}`,
      `postgres://bob:${canary()}@db/x`
    ],
    ...[
      '-H',
      `Authorization: Bearer ${canary()}`,
      '--header',
      `X-Api-Key:${canary()}`,
      '-u',
      `bob:${canary()}`,
      `{"clientSecret":"${canary()}"}`
    ]
  ]
  const headers = [
    ...[
      'Authorization',
      `Bearer ${bearer}`,
      'Cookie',
      `sid=${cookie}; theme=dark`,
      'X-Api-Key',
      key,
      'Mcp-Session-Id',
      session
    ],
    ...[
      'Proxy-Authorization',
      `Basic ${Buffer.from(`bob:${canary()}`).toString('base64')}`,
      'Catflap-Token',
      canary(),
      'X-My-Secret',
      canary()
    ],
    ...[
      'Referer',
      `https://u:${canary()}@h/?access_token=${canary()}`,
      'X-Team',
      canary(),
      'X-Goog-IAP-JWT-Assertion',
      canary()
    ]
  ]
  const replyHeaders = [
    ...[
      'Set-Cookie',
      `sid=${canary()}; HttpOnly`,
      'Location',
      `/cb?code=${canary()}&state=1`,
      'Mcp-Session-Id',
      session
    ],
    ...['WWW-Authenticate', `Bearer resource_metadata="https://h/?token=${canary()}"`]
  ]
  const oauth = {
    access_token: canary(),
    refresh_token: canary(),
    id_token: canary(),
    token_type: 'bearer',
    expires_in: 3600
  }
  const form = `grant_type=authorization_code&code=${canary()}&code_verifier=${canary()}&client_secret=${canary()}&password=${canary()}`
  const echo = [configured, bearer, cookie, key, session, query].join(' ')
  const facts = { session: 's1', stream: 'post-1' }
  const frames: Frame[] = [
    message(
      { jsonrpc: '2.0', id: 1, method: 'x' },
      { ...facts, http: { method: 'POST', path: `/mcp?token=${query}&x=1`, headers } }
    ),
    message(
      { jsonrpc: '2.0', id: 1, result: { text: echo, nested: JSON.stringify({ a: JSON.stringify(echo) }) } },
      { ...facts, dir: 'down' }
    ),
    { ...message(JSON.stringify(oauth)), kind: 'body', http: { status: 200, headers: replyHeaders } },
    { ...message(form), kind: 'body' },
    {
      ...message(`{"error":"x","client_secret": "${canary()}" , "nested":{"password":["${canary()}"]}}`),
      kind: 'body'
    },
    { ...message(`<html>token=${canary()} ${echo}</html>`), kind: 'body' },
    note('stderr', `cannot reach https://bob:${canary()}@h/p?api_key=${canary()}: ${echo}`, facts),
    note('stderr', `{"level":"debug","password":"${canary()}","authorization":"Bearer ${canary()}"}`, facts),
    note('error', `the server said: Authorization: Bearer ${canary()}; api_key = '${canary()}'`, facts),
    {
      ...note('noise', ''),
      text: undefined,
      bytes: Buffer.from(`listening, secret=${canary()} ${echo}`),
      session: 's1'
    },
    {
      ...note('noise', ''),
      text: undefined,
      bytes: Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(echo)]),
      session: 's1'
    },
    {
      ...note('child-exit', 'ended'),
      data: { line: `token=${canary()}`, sessionId: session, stderr: echo },
      session: 's1'
    },
    {
      ...message(''),
      bytes: Buffer.from(`/messages?sessionId=${canary()}`),
      kind: 'event',
      sse: { event: 'endpoint' },
      session: 's2'
    },
    { time: 1, side: 'client', dir: 'down', kind: 'end', outcome: `failed: ${echo}`, session: 's1' }
  ]
  const team = headers[headers.indexOf('X-Team') + 1]!
  const redactor = new Redactor({ secrets: [configured], redactHeaders: ['x-team'] })
  const text = await tapeTextOf(t, frames, {
    redactor,
    target: { kind: 'stdio', argv, url: `https://u:${canary()}@h/mcp?sig=${canary()}` }
  })
  const binary = Buffer.from(/"base64":"([^"]+)"/.exec(text)![1]!, 'base64').toString('latin1')
  for (const one of planted) t.notOk(text.includes(one) || binary.includes(one), one)
  t.notOk(text.includes(Buffer.from(team).toString('base64')))
  t.match(text, '"Bearer [redacted]"')
  t.match(text, '["Mcp-Session-Id","s1"]')
  t.match(text, '"x=1"'.slice(1, -1))
  t.match(text, '"redacted":["query:token","header:authorization",')
  for (const [i, line] of text.trimEnd().split('\n').entries())
    t.type(JSON.parse(line), 'object', `line ${i + 1} is JSON`)
  const messages = text.split('\n').filter(l => l.includes('"kind":"message"'))
  for (const line of messages) t.type(JSON.parse(JSON.parse(line).text), 'object', 'messages stay JSON')
  const log = redactor.scrub(
    `upstream https://x:${planted[0]}@h failed: ${echo.replace(session, '')} Bearer ${planted[3]}`
  )
  for (const one of planted) t.notOk(log.includes(one), `${one} in a log line`)
})

t.test('names that sound secret, and those that do not', async t => {
  for (const name of [
    'access_token',
    'token',
    'clientSecret',
    'X-API-KEY',
    'api_key',
    'GITHUB_PERSONAL_ACCESS_TOKEN',
    'DB_PASSWORD',
    '--auth-token',
    'sessionId',
    'sig'
  ])
    t.ok(isSecretName(name), name)
  for (const name of [
    'token_endpoint',
    'max_tokens',
    'token-file',
    'tokens',
    'keyboard',
    'path',
    'author',
    'passage',
    'key',
    'id',
    'session'
  ])
    t.notOk(isSecretName(name), name)
  for (const name of ['code', 'code_verifier', 'key', 'SAMLResponse']) t.ok(isSecretParameter(name), name)
  for (const name of ['X-Api-Key', 'ocp-apim-subscription-key', 'X-CSRF-Token', 'x-vault-token', 'x-auth', 'Cookie'])
    t.ok(isSecretHeader(name), name)
  for (const name of [
    'Idempotency-Key',
    'Sec-WebSocket-Key',
    'Content-Type',
    'Mcp-Session-Id',
    'WWW-Authenticate',
    'Mcp-Method'
  ])
    t.notOk(isSecretHeader(name), name)
})

t.test('OAuth metadata and error codes in bodies stay readable', async t => {
  const text =
    '{"token_endpoint":"https://h/token","code":"invalid_grant","error":{"code":-32600},"grant_types":["authorization_code"]}'
  t.equal(encode({ ...message(text), kind: 'body' }).text, text)
})

const blank = fc.stringMatching(/^[ \t\r\n]{0,3}$/)
const json = fc.oneof(
  fc.json({ maxDepth: 3 }),
  fc.constant('9007199254740993'),
  fc.constant('"\\u0041\\"\\\\"'),
  fc.constant('{"a":1,"a":2}')
)
const key = fc.oneof(fc.string(), fc.constantFrom('a/b', 'm~n', '', 'secret', '0'))

t.test('a pointer replaces its value and no other byte', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(key, json), { maxLength: 4 }),
      key,
      json,
      fc.array(blank, { minLength: 8, maxLength: 8 }),
      (others, name, value, w) => {
        const siblings = others.filter(([k]) => k !== name).map(([k, v]) => `${JSON.stringify(k)}${w[0]}:${w[1]}${v}`)
        const make = (v: string) =>
          `${w[2]}{${w[3]}"jsonrpc":"2.0"${w[4]},"params"${w[5]}:${w[6]}{${[...siblings, `${w[7]}${JSON.stringify(name)}:${w[0]}${v}${w[1]}`].join(',')}}}`
        const pointer = `/params/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
        const tree = compilePointers([pointer])!
        // A lone star means any member.
        if (name === '*') return true
        return redactPointers(make(value), tree, () => {}) === make(JSON.stringify(MARK))
      }
    ),
    { numRuns: 1000 }
  )
})

t.test('pointers: arrays, wildcards, batches, duplicates, escaped names, prefixes of messages', async t => {
  const run = (text: string, ...pointers: string[]) => redactPointers(text, compilePointers(pointers)!, () => {})
  const mark = '"[redacted]"'
  t.equal(run('{"a":[1,{"b":2},3]}', '/a/1/b'), `{"a":[1,{"b":${mark}},3]}`)
  t.equal(run('{"a":[{"b":1},{"b":[2]}]}', '/a/*/b'), `{"a":[{"b":${mark}},{"b":${mark}}]}`)
  t.equal(run('[{"x":1},{"x":2}]', '/x'), `[{"x":${mark}},{"x":${mark}}]`)
  t.equal(run('{"x":1,"x":2}', '/x'), `{"x":${mark},"x":${mark}}`)
  t.equal(run('{"\\u0078":1}', '/x'), `{"\\u0078":${mark}}`)
  t.equal(run('{"a":{"x":"secr', '/a/x'), `{"a":{"x":${mark}`)
  t.equal(run('{"a":1}', '/b', '/a/c'), '{"a":1}')
  t.throws(() => compilePointers(['params']), { code: 'tape_pointer' })
  t.throws(() => compilePointers(['']), { code: 'tape_pointer' })
  t.throws(() => compilePointers(['/a~2']), { code: 'tape_pointer' })
  const frame = encode(message('{"params":{"pin":1}}'), { redactJson: ['/params/pin'] })
  t.strictSame(frame.redacted, ['json:/params/pin'])
})

t.test('hostile text makes no pattern slow and no scanner stand still', async t => {
  const size = 300_000
  const redactor = new Redactor({ redactJson: ['/a/*/b'] })
  const hostile = [
    'a.'.repeat(size),
    'a="'.repeat(size),
    '://'.repeat(size),
    '[{'.repeat(size),
    '"\\'.repeat(size),
    '?a='.repeat(size),
    'Bearer '.repeat(size),
    '{"a":'.repeat(size),
    'eyJ'.repeat(size),
    `a${' '.repeat(size)}=`
  ]
  const started = performance.now()
  for (const text of hostile) {
    redactor.scrub(text)
    redactor.message(text, () => {})
    redactor.body(`{${text}`, () => {})
    redactor.body(text, () => {})
  }
  t.ok(performance.now() - started < 20_000, `${Math.round(performance.now() - started)} ms`)
})
