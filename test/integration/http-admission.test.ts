/** Who may come in: Host, Origin, tokens, principals, binds. */
import t from 'tap'
import { createForward } from '../../src/index.ts'
import { rawPost, rawRequest, talk } from '../helpers/raw-client.ts'
import { legacyHeaders, POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { rawDoor, rawSession, sdkDoor } from './http-door.ts'

const PING = JSON.stringify(rpc(1, 'ping'))
const errorOf = (answer: { json(): unknown }) =>
  (answer.json() as { error: { message: string; data: { code: string } } }).error

t.test('a foreign Host is 403 on every route, naming the value and the option', async t => {
  const { server, url } = await rawDoor(t)
  for (const path of ['/mcp', '/', '/.well-known/oauth-protected-resource', '/nowhere']) {
    for (const method of ['POST', 'GET', 'DELETE', 'OPTIONS']) {
      const headers = { ...POST_HEADERS, host: 'evil.example:80' }
      const answer = await rawRequest(new URL(path, url), {
        method,
        headers,
        body: method === 'POST' ? PING : undefined
      })
      t.equal(answer.status, 403, `${method} ${path}`)
      t.match(errorOf(answer), {
        data: { code: 'forbidden_host' },
        message: /'evil\.example:80'.*--allow-host evil\.example/
      })
    }
  }
  for (const host of ['localhost.evil.example', '127.0.0.1.evil.example', '127.1', '10.0.0.1'])
    t.equal((await rawPost(url, PING, { host })).status, 403, host)
  t.equal(server.exchanges.length, 0)
  t.match(await talk(url, 'GET /mcp HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 403 /, 'none at all')
  for (const host of ['localhost', 'LOCALHOST:1', '127.0.0.1', '[::1]', '[::1]:80'])
    t.equal((await rawPost(url, PING, { host })).status, 200, host)
})

t.test('a foreign Origin is 403 on every route, naming the value and the option', async t => {
  const { server, url } = await rawDoor(t)
  for (const path of ['/mcp', '/nowhere']) {
    for (const method of ['POST', 'GET']) {
      const headers = { ...POST_HEADERS, origin: 'https://evil.example' }
      const answer = await rawRequest(new URL(path, url), {
        method,
        headers,
        body: method === 'POST' ? PING : undefined
      })
      t.equal(answer.status, 403, `${method} ${path}`)
      t.match(errorOf(answer), {
        data: { code: 'forbidden_origin' },
        message: /'https:\/\/evil\.example'.*--allow-origin https:\/\/evil\.example/
      })
    }
  }
  for (const origin of [
    'null',
    '',
    'http://localhost.evil.example',
    'file://',
    'moz-extension://x',
    'http://127.0.0.1@evil.example'
  ])
    t.equal((await rawPost(url, PING, { origin })).status, 403, origin)
  t.equal(server.exchanges.length, 0)
})

t.test('a page that makes a browser ask without an Origin is 403 on every route', async t => {
  const { server, door, url } = await rawDoor(t)
  for (const path of ['/mcp', '/sse', '/messages?sessionId=x', '/nowhere'])
    for (const site of ['cross-site', 'same-site', 'Cross-Site ']) {
      const headers = { accept: '*/*', 'sec-fetch-site': site, 'sec-fetch-dest': 'image' }
      const answer = await rawRequest(new URL(path, url), { method: 'GET', headers })
      t.equal(answer.status, 403, `${path} ${site}`)
      t.match(errorOf(answer), {
        data: { code: 'forbidden_origin' },
        message: /Sec-Fetch-Site: (cross|same)-site.*--allow-origin/
      })
    }
  t.equal((await rawPost(url, PING, { 'sec-fetch-site': 'cross-site' })).status, 403)
  t.equal(server.exchanges.length, 0)
  t.equal(door.stats.sessions, 0)
  for (const headers of [
    { 'sec-fetch-site': 'none' },
    { 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'cross-site', origin: 'http://localhost:3000' }
  ])
    t.equal((await rawPost(url, PING, headers)).status, 200, JSON.stringify(headers))
  const open = await rawDoor(t, undefined, { allowOrigins: ['*'] })
  t.equal((await rawPost(open.url, PING, { 'sec-fetch-site': 'cross-site' })).status, 200, 'any page may')
})

t.test('an Origin that may is not forwarded, and neither is Host', async t => {
  const { server, url } = await rawDoor(t, undefined, {
    allowOrigins: ['https://app.example'],
    allowHosts: ['door.example']
  })
  for (const origin of ['http://localhost:6274', 'https://127.0.0.1', 'https://app.example', 'https://APP.example']) {
    t.equal((await rawPost(url, PING, { origin, host: 'door.example:7890' })).status, 200, origin)
    const seen = server.exchanges.at(-1)!
    t.same([seen.headers.origin, seen.headers.host], [undefined, new URL(server.url).host])
  }
})

t.test('a token that is missing or wrong is 401 with WWW-Authenticate', async t => {
  const { server, url } = await rawDoor(t, undefined, { tokens: ['right', 'other'] })
  const wrong = [
    {},
    { 'catflap-token': 'wrong' },
    { authorization: 'Bearer wrong' },
    { authorization: 'Basic right' },
    { authorization: 'right' },
    { 'catflap-token': 'wrong', authorization: 'Bearer right' }
  ]
  for (const headers of wrong) {
    const answer = await rawPost(url, PING, headers)
    t.match(answer, { status: 401, headers: { 'www-authenticate': /^Bearer realm=/ } }, JSON.stringify(headers))
    t.equal(errorOf(answer).data.code, 'unauthorized')
  }
  t.equal((await rawRequest(new URL('/nowhere', url), { method: 'GET' })).status, 401, 'on every route')
  t.equal(server.exchanges.length, 0)
})

t.test('a token that was used is spent; a foreign Authorization passes beside Catflap-Token', async t => {
  const { server, url } = await rawDoor(t, undefined, { tokens: ['s3cret'] })
  const see = async (headers: Record<string, string> | string[]) => {
    const list = Array.isArray(headers) ? ['Content-Type', 'application/json', ...headers] : headers
    t.equal((await rawPost(url, PING, list)).status, 200)
    return server.exchanges.at(-1)!
  }
  const byHeader = await see({ 'Catflap-Token': 's3cret' })
  const byBearer = await see({ Authorization: 'bearer   s3cret' })
  const byBoth = await see({ 'Catflap-Token': 's3cret', Authorization: 'Bearer s3cret' })
  const twice = await see(['Catflap-Token', 's3cret', 'Authorization', 'Basic Zm9v', 'Authorization', 'Bearer s3cret'])
  for (const seen of [byHeader, byBearer, byBoth, twice])
    t.notOk(
      seen.rawHeaders.some(value => value.includes('s3cret')),
      seen.rawHeaders.join(' ')
    )
  const foreign = await see({ 'Catflap-Token': 's3cret', Authorization: 'Bearer for-the-server' })
  t.equal(foreign.headers.authorization, 'Bearer for-the-server')
  t.equal(foreign.headers['catflap-token'], undefined)
})

t.test('a session belongs to the token that made it: for others it does not exist', async t => {
  const { server, url } = await sdkDoor(t, {}, { tokens: ['a', 'b'] })
  const [mine, theirs] = [{ 'catflap-token': 'a' }, { 'catflap-token': 'b' }]
  const id = await rawSession(url, undefined, mine)
  const before = server.requests.length
  for (const method of ['POST', 'GET', 'DELETE']) {
    const headers = { ...legacyHeaders(id), ...theirs }
    const answer = await rawRequest(url, { method, headers, body: method === 'POST' ? PING : undefined })
    t.equal(answer.status, 404, method)
    t.equal(errorOf(answer).data.code, 'session_not_found')
  }
  t.equal(server.requests.length, before)
  t.equal((await rawPost(url, PING, { ...legacyHeaders(id), ...mine })).status, 200)
})

t.test('a bind that other machines can reach needs a token', async t => {
  const target = { url: 'http://127.0.0.1:9/mcp' }
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'some.host'])
    await t.rejects(
      createForward({ target, listen: { host } }),
      { name: 'TypeError', message: new RegExp(`'${host}'.*--token.*--allow-unauthenticated`) },
      host
    )
})

t.test('a bind beyond loopback: names must be allowed, addresses are', async t => {
  const { server, url } = await rawDoor(t, undefined, { listen: { host: '0.0.0.0' }, tokens: ['x'] })
  const token = { 'catflap-token': 'x' }
  t.equal((await rawPost(url, PING, { ...token, host: '10.1.2.3:80' })).status, 200, 'an address cannot be rebound')
  t.equal((await rawPost(url, PING, { ...token, host: 'rebound.example' })).status, 403)
  t.equal(
    (await rawPost(url, PING, { ...token, origin: 'http://localhost' })).status,
    403,
    'no origin goes without saying'
  )
  t.equal(server.exchanges.length, 1)
})
