// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references of configuration files look like that
import path from 'node:path'
import t from 'tap'
import { readConfigFile } from '../../src/config/read.ts'
import { checkOptions } from '../../src/proxy/check-options.ts'
import { SETTINGS, settings } from '../../src/proxy/options.ts'
import { Redactor } from '../../src/tape/redact.ts'
import { CA, SERVER_TLS } from '../fixtures/tls/certificates.ts'
import { GOOD } from './cases.ts'
import { accepted, folderOf, read } from './fixtures.ts'

const ROUTE = 'routes:\n  a:\n    target: http://127.0.0.1:3001/mcp\n'

t.test('the smallest file', async t => {
  const { options, log, accessLog, metrics, secrets } = await accepted(ROUTE)
  t.same(options.listeners, [{ host: '127.0.0.1', port: 7890, settings: {} }])
  t.same(options.routes, { a: { targets: [{ url: 'http://127.0.0.1:3001/mcp' }], settings: {} } })
  t.same(log, { level: 'info', format: 'text' })
  t.equal(accessLog, 'off')
  t.equal(metrics, undefined)
  t.same(secrets, [])
})

t.test('JSON says the same as YAML', async t => {
  const json = '{\n\t"routes": {\n\t\t"a": { "target": "http:\\/\\/127.0.0.1:3001\\/mcp" }\n\t}\n}\n'
  t.same(await accepted(json), await accepted(ROUTE))
  t.same(await accepted(`\ufeff${ROUTE.replaceAll('\n', '\r\n')}`), await accepted(ROUTE))
})

t.test('every kind of target', async t => {
  const folder = folderOf(t, { 'ca.pem': CA })
  const { options } = await accepted(
    `routes:
  one: { target: { url: https://a/mcp, headers: { X-A: b, X-N: 5 }, ca: ca.pem, insecure: true, transport: sse, era: legacy } }
  many:
    targets: [http://a/1, { url: http://a/2, weight: 3 }]
    balance: least-in-flight
    health: { failures: 3, ejection: 2s, check: { kind: http, path: /up, interval: 5 } }
    sessionLoss: propagate
    passthrough: [/up, /docs/*]
  program:
    command: [node, server.js, --port, 8080, true]
    env: { A: b, N: 007, T: true, E: '' }
    inheritEnv: [HTTPS_PROXY]
    cwd: servers
    era: modern
    maxChildren: 4
    maxMemory: 512M
`,
    { folder }
  )
  t.same(options.routes.one!.targets, [
    {
      url: 'https://a/mcp',
      headers: ['X-A', 'b', 'X-N', '5'],
      ca: CA.trimEnd(),
      insecure: true,
      transport: 'sse',
      era: 'legacy'
    }
  ])
  t.match(options.routes.many, {
    targets: [{ url: 'http://a/1' }, { url: 'http://a/2', weight: 3 }],
    balance: 'least-in-flight',
    health: { failures: 3, ejection: 2000, check: { kind: 'http', path: '/up', interval: 5000 } },
    sessionLoss: 'propagate',
    passthrough: ['/up', '/docs/*']
  })
  t.same(options.routes.program!.targets, {
    command: 'node',
    args: ['server.js', '--port', '8080', 'true'],
    env: { A: 'b', N: '007', T: 'true', E: '' },
    inheritEnv: ['HTTPS_PROXY'],
    cwd: path.join(folder, 'servers'),
    era: 'modern',
    maxChildren: 4,
    maxMemory: 512 * 1024 * 1024
  })
})

t.test('listeners, and all that is about the whole process', async t => {
  const folder = folderOf(t, { 'ca.pem': CA, 'server.pem': SERVER_TLS.cert, 'server.key': SERVER_TLS.key })
  const { options, ...rest } = await accepted(
    `listeners:
  - address: 0.0.0.0:8443
    tls: { certificate: server.pem, key: file:server.key, clientCa: ca.pem }
    http2: false
    settings: { maxConnections: 10, keepAlive: 0 }
  - address: '[::1]:80'
  - address: 7890
${ROUTE}admin: { address: 7891, token: an-admin-token-of-some-length }
metrics: { address: 7892, maxNames: 5, tokens: [a-token-for-scrapes] }
accessLog: json
log: { level: debug, format: json }
trustedProxies: [10.0.0.0/8, '::1']
via: false
drainTimeout: 1.5m
sessions: { store: memory }
$schema: ./x.json
`,
    { folder }
  )
  t.match(options.listeners, [
    { host: '0.0.0.0', port: 8443, http2: false, settings: { maxConnections: 10, keepAlive: 0 } },
    { host: '::1', port: 80 },
    { host: '127.0.0.1', port: 7890 }
  ])
  t.same(options.listeners![0]!.tls, {
    certificate: SERVER_TLS.cert.trimEnd(),
    key: SERVER_TLS.key.trimEnd(),
    clientCa: CA.trimEnd()
  })
  t.same(options.admin, { host: '127.0.0.1', port: 7891, token: 'an-admin-token-of-some-length' })
  t.same(options.trustedProxies, ['10.0.0.0/8', '::1'])
  t.equal(options.via, false)
  t.equal(options.drainTimeout, 90_000)
  t.match(rest, {
    log: { level: 'debug', format: 'json' },
    accessLog: 'json',
    metrics: {
      host: '127.0.0.1',
      port: 7892,
      maxNames: 5,
      tokens: ['a-token-for-scrapes'],
      allowUnauthenticated: false
    }
  })
  t.same(rest.secrets, ['a-token-for-scrapes', 'an-admin-token-of-some-length'])
})

t.test('defaults hold where a route says nothing', async t => {
  const { options } = await accepted(
    `defaults:
  tokens: [common-token]
  allowHosts: [a.example]
  settings: { maxBody: 1M, requestTimeout: 10s, maxConnections: 7 }
  health: { failures: 2, ejection: 3s }
  headers: { request: { set: { X-A: a } }, response: { remove: [Server] } }
  record: ./tapes/
  maxChildren: 3
  balance: least-in-flight
routes:
  plain: { target: http://a/mcp }
  many: { targets: [http://a/mcp] }
  own:
    target: http://a/mcp
    tokens: [own-token]
    allowHosts: []
    settings: { requestTimeout: 20 }
    health: { failures: 9 }
    headers: { request: { add: { X-B: b } } }
    record: false
  command: { command: [node] }
`,
    { folder: '/etc/catflap' }
  )
  const { plain, many, own, command } = options.routes
  const tapes = `${path.resolve('/etc/catflap/tapes')}${path.sep}`
  t.same(plain, {
    targets: [{ url: 'http://a/mcp' }],
    tokens: ['common-token'],
    allowHosts: ['a.example'],
    settings: { maxBody: 1024 * 1024, requestTimeout: 10_000 },
    health: { failures: 2, ejection: 3000 },
    headers: { request: { set: { 'X-A': 'a' } }, response: { remove: ['Server'] } },
    record: { path: tapes }
  })
  t.equal(many!.balance, 'least-in-flight')
  t.same(own, {
    targets: [{ url: 'http://a/mcp' }],
    tokens: ['own-token'],
    allowHosts: [],
    settings: { maxBody: 1024 * 1024, requestTimeout: 20_000 },
    health: { failures: 9, ejection: 3000 },
    headers: { request: { add: { 'X-B': 'b' } }, response: { remove: ['Server'] } }
  })
  t.same(command!.targets, { command: 'node', args: [], maxChildren: 3 })
  t.equal(command!.health, undefined)
  t.same(options.listeners, [{ host: '127.0.0.1', port: 7890, settings: { maxConnections: 7 } }])
})

t.test('aliases stand for what they name', async t => {
  const { options } = await accepted(
    'routes:\n  a: &a { target: http://a/mcp, tokens: &t [some-token] }\n  b: *a\n  c: { target: http://c/, tokens: *t }\n'
  )
  t.same(options.routes.b, options.routes.a)
  t.same(options.routes.c!.tokens, ['some-token'])
})

t.test('variables and files', async t => {
  const folder = folderOf(t, { 'secrets/token': 's3cret-of-a-file\n', crlf: 'second-secret\r\n' })
  const env = {
    URL_HOST: 'mcp.example.com:8443',
    KEY: 'query-key-1',
    PORT: '8080',
    ON: 'true',
    DIR: 'secrets',
    WORD: 'production'
  }
  const { options, secrets } = await accepted(
    `listeners: [{ address: '127.0.0.1:\${PORT}', http2: '\${ON}' }]
routes:
  a:
    target: { url: 'https://\${URL_HOST}/mcp?key=\${KEY}', headers: { Authorization: 'Bearer \${HEADER:-header-default}' } }
    tokens: ['file:\${DIR}/token', file:crlf]
    settings: { maxSessions: '\${COUNT:-12}' }
  b:
    command: [x, '\${WORD}', '$\${NOT_ME}', '$$file:literal', '\${EMPTY:-}', '{ not: yaml }', '\${YAML}']
    env: { A: '\${KEY}-\${WORD}' }
`,
    { folder, env: { ...env, YAML: 'x: [1]\nroutes: {}' } }
  )
  t.match(options.listeners, [{ port: 8080, http2: true }])
  t.match(options.routes.a, {
    targets: [
      { url: 'https://mcp.example.com:8443/mcp?key=query-key-1', headers: ['Authorization', 'Bearer header-default'] }
    ],
    tokens: ['s3cret-of-a-file', 'second-secret'],
    settings: { maxSessions: 12 }
  })
  t.match(options.routes.b!.targets, {
    args: ['production', '${NOT_ME}', 'file:literal', '', '{ not: yaml }', 'x: [1]\nroutes: {}'],
    env: { A: 'query-key-1-production' }
  })
  for (const secret of ['s3cret-of-a-file', 'second-secret', 'query-key-1']) t.ok(secrets.includes(secret), secret)
  for (const harmless of ['production', '8080', 'mcp.example.com:8443', 'true', 'secrets'])
    t.notOk(secrets.includes(harmless), harmless)
  const redactor = new Redactor({ secrets })
  t.equal(redactor.scrub('GET /mcp of s3cret-of-a-file in production'), 'GET /mcp of [redacted] in production')
})

t.test('only one line break goes', async t => {
  const folder = folderOf(t, { two: 'a-line\n\n' })
  const { options } = await accepted('routes: { a: { command: [x, file:two] } }', { folder })
  t.match(options.routes.a!.targets, { args: ['a-line\n'] })
})

t.test('no message shows what a variable or a file holds', async t => {
  const folder = folderOf(t, {
    secret: 'hush hush',
    'big.txt': 'x'.repeat(1024 * 1024 + 1),
    'no-utf8': Buffer.from([0xff, 0xfe, 0x00])
  })
  const env = { SECRET: 'hush hush' }
  const text = `listeners: [{ address: '\${SECRET}', tls: { certificate: file:secret, key: '\${SECRET}' } }]
routes:
  a: { target: '\${SECRET}', tokens: ['\${SECRET}', file:secret, file:big.txt, file:no-utf8, hush hush], path: '\${SECRET}' }
drainTimeout: '\${SECRET}'
accessLog: file:secret
via: \${SECRET}
`
  const { problems } = await read(text, { folder, env })
  t.equal(problems.length, 13)
  t.notMatch(JSON.stringify(problems), /hush/)
  t.match(JSON.stringify(problems), /big\.txt cannot be read: it is larger than 1 MiB/)
  t.match(JSON.stringify(problems), /no-utf8 cannot be read: it is not UTF-8/)
})

t.test('what is legal, but unwise', async t => {
  const { warnings } = await read(
    `listeners: [{ address: 0.0.0.0:8080 }]
defaults: { tokens: [short] }
routes:
  a: { target: { url: https://a/mcp, insecure: true }, allowUnauthenticated: true }
  b: { target: http://b/mcp, tokens: [], allowUnauthenticated: true, allowHosts: ['*'], allowOrigins: ['*'] }
  c: { targets: [http://c/, http://c/, http://127.0.0.1:8080/c/mcp], settings: { sessionIdle: 2h, sessionMax: 1h } }
admin: { address: 0.0.0.0:8081, token: '\${T}' }
`,
    { env: { T: 'x' } }
  )
  t.match(
    warnings.map(w => `${w.line}: ${w.path}: ${w.wrong}`),
    [
      /^1: listeners\[0\]\.address: is open to other machines without TLS/,
      /^2: defaults\.tokens\[0\]: stands in the file itself, and is short/,
      /^4: routes\.a\.target\.insecure: anybody/,
      /^4: routes\.a\.allowUnauthenticated: has no effect/,
      /^5: routes\.b: serves anybody/,
      /^5: routes\.b\.allowHosts: \* without tokens/,
      /^5: routes\.b\.allowOrigins: \* lets every web page/,
      /^6: routes\.c\.targets\[1\]: is there twice/,
      /^6: routes\.c\.targets\[2\]: leads back to catflap itself/,
      /^6: routes\.c\.settings: sessionIdle is longer/,
      /^7: admin\.address: is open to other machines/
    ]
  )
  t.equal(warnings.length, 11)
  t.same((await read(ROUTE)).warnings, [])
})

t.test('what the file may say, the proxy takes', async t => {
  for (const text of GOOD) {
    const { options, secrets } = await accepted(text)
    for (const {
      targets,
      settings: chosen,
      tokens,
      allowHosts,
      allowOrigins,
      redactHeaders,
      redactJson
    } of Object.values(options.routes)) {
      for (const target of [targets].flat())
        t.doesNotThrow(() => checkOptions({ target, tokens, allowHosts, allowOrigins, settings: chosen }), text)
      t.doesNotThrow(() => settings(chosen), text)
      t.doesNotThrow(() => new Redactor({ redactHeaders, redactJson, secrets }), text)
    }
    for (const listener of options.listeners ?? []) t.doesNotThrow(() => settings(listener.settings), text)
  }
})

t.test('the bounds of every setting are those of the proxy', async t => {
  for (const [name, { unit, value, ...rest }] of Object.entries(SETTINGS)) {
    if (name === 'drainTimeout') continue
    const bare = unit === 'ms' ? value / 1000 : value
    const text = (written: number) => `defaults: { settings: { ${name}: ${written} } }\n${ROUTE}`
    const { options } = await accepted(text(bare))
    const given = { ...options.listeners![0]!.settings, ...options.routes.a!.settings }
    t.same(given, { [name]: value }, name)
    t.equal((await read(text(0))).problems.length, 'zero' in rest ? 0 : 1, name)
    t.equal((await read(text(-1))).problems.length, 1, name)
  }
})

t.test('a file by its name, with all that it depends on', async t => {
  const folder = folderOf(t, { 'catflap.yaml': `${ROUTE}    tokens: [file:token]\n`, token: 'a-token-in-a-file' })
  const file = path.join(folder, 'catflap.yaml')
  const { configuration, files } = await readConfigFile(file)
  t.same(configuration!.options.routes.a!.tokens, ['a-token-in-a-file'])
  t.same(files, [file, path.join(folder, 'token')])
})

t.test('a file that cannot be read', async t => {
  const folder = folderOf(t, { large: `# ${'x'.repeat(1024 * 1024)}`, bytes: Buffer.from([0x61, 0xff]) })
  const reason = async (name: string) => {
    const { problems, files, configuration } = await readConfigFile(path.join(folder, name))
    t.equal(configuration, undefined)
    t.same(files, [path.join(folder, name)], 'it may come into being')
    t.match(problems, [{ line: 1, column: 1, path: '' }])
    return problems[0]!.wrong
  }
  t.match(await reason('none'), /cannot be read: there is none$/)
  t.match(await reason('.'), /cannot be read: it is (?:no file|a folder)$/)
  t.match(await reason('large'), /cannot be read: it is larger than 1 MiB$/)
  t.match(await reason('bytes'), /cannot be read: it is not UTF-8$/)
})

t.test('several catflaps: what the file says of their store, and what of it is secret', async t => {
  const key = Buffer.alloc(32, 0xc3)
  const folder = folderOf(t, { key: `${key.toString('hex')}\n`, cluster: `${'a phrase of some length '.repeat(2)}\n` })
  const { options, secrets } = await accepted(
    `${ROUTE}store:
  url: redis://bob:\${PW}@10.0.0.5/1
  keys: ['file:key', '\${OLD}']
  prefix: 'x:'
  timeout: 250ms
  failure: local
  lease: 5s
cluster:
  listen: 0.0.0.0:7892
  address: \${IP}:7892
  keys: ['file:cluster']
`,
    { folder, env: { PW: 'p%40ss-w0rd', OLD: Buffer.alloc(32, 1).toString('base64'), IP: '10.0.0.1' } }
  )
  t.same(options.sharedStore, {
    url: 'redis://bob:p%40ss-w0rd@10.0.0.5/1',
    keys: [key, Buffer.alloc(32, 1)],
    prefix: 'x:',
    timeout: 250,
    onFailure: 'local',
    lease: 5_000
  })
  t.same(options.cluster, {
    listen: { host: '0.0.0.0', port: 7892 },
    address: '10.0.0.1:7892',
    keys: ['a phrase of some length '.repeat(2)]
  })
  for (const one of [
    'p%40ss-w0rd',
    'p@ss-w0rd',
    key.toString('hex'),
    key.toString('base64'),
    options.cluster!.keys[0]!
  ])
    t.ok(secrets.includes(one), one)
  for (const one of ['10.0.0.1', '10.0.0.5', 'bob']) t.notOk(secrets.includes(one), one)
})

t.test('several catflaps: what is unwise', async t => {
  const key = 'a1'.repeat(32)
  const said = async (text: string): Promise<string[]> =>
    (await read(text)).warnings.map(w => `${w.path}: ${w.wrong.split(/[:;,]/, 1)[0]}`)
  t.same(await said(`${ROUTE}store: { url: redis://a }\n`), ['store: keeps sessions in the clear'])
  t.same(await said(`${ROUTE}store: { url: 'rediss://u:p@a', insecure: true, keys: [${key}] }\n`), [
    'store.url: has its password in the file itself',
    'store.insecure: anybody between catflap and Redis can read and change every session',
    'store.keys[0]: stands in the file itself'
  ])
  const command = `routes: { a: { command: [node] } }\nstore: { url: redis://a, keys: ['\${K:-${key}}'] }\n`
  t.same(await said(command), ['routes.a.command: has sessions that only the catflap serves which began them'])
  t.same(await said(`${command}cluster: { listen: 1, keys: ['\${C:-${key}}'] }\n`), [])
})
