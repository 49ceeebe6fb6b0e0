import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { PassthroughPaths, requestTarget } from '../../src/proxy/passthrough-paths.ts'

const paths = (patterns: string[], route = '/everything/mcp', target = 'http://up.test:3001/mcp'): PassthroughPaths =>
  new PassthroughPaths({ route, target: new URL(target), paths: patterns })

t.test('exact paths, and all below one', async t => {
  const p = paths(['/health', '/everything/pages/*'])
  for (const yes of [
    '/health',
    '/health?x=/../y',
    '/everything/pages/',
    '/everything/pages/a/b%20c;v=1',
    'http://a.test/health'
  ])
    t.ok(p.handles(yes), yes)
  for (const no of [
    '/health/',
    '/Health',
    '/healthy',
    '/he%61lth',
    '/everything/pages',
    '/everything/pagesx',
    '/',
    '',
    '*'
  ])
    t.notOk(p.handles(no), no)
  t.ok(paths(['/*']).handles('/anything/at/all'))
  t.notOk(paths([]).handles('/health'))
})

t.test('no disguise leads to MCP', async t => {
  const p = paths(['/*', '/everything/*', '/everything/mcp/'])
  const forms = (path: string): string[] => [
    path,
    path.toUpperCase(),
    path.replace('m', '%6d').replace('ss', '%73s'),
    path.replace('m', '%4D').replace('ss', '%53s'),
    path.replace('m', '%256d').replace('ss', '%25%373s'),
    `${path}/`,
    `${path};x=1`,
    `${path}/;x`,
    `${path.replace('/everything', '/everything;v=1')}`,
    `${path}%20`,
    `${path}%3Fx`,
    `${path}%23x`,
    `${path}?x=1`
  ]
  for (const path of ['/everything/mcp', '/everything/sse', '/everything/messages', '/mcp', '/everything/mCp/'])
    for (const form of forms(path)) t.notOk(p.handles(form), form)
  for (const page of ['/everything/mcp/x', '/everything/mcps', '/everything/x/mcp', '/everything/', '/x/mcp'])
    t.ok(p.handles(page), page)
  t.notOk(paths(['/r/*'], '/r/agent', 'http://up.test/v1/mcp').handles('/r/v1/mcp'), 'what is MCP for the target alone')
  t.notOk(paths(['/r/*'], '/r/mcp', 'http://up.test/').handles('/r/'))
})

t.test('a path of a million dots is looked at once', async t => {
  const p = paths(['/pages/*'])
  for (const [hides, shown] of [
    ['.', ''],
    ['/', ''],
    ['%20', ' ']
  ])
    t.ok(p.handles(`/pages/${hides!.repeat(300_000)}a`) || shown === '', 'it takes no hour')
})

t.test('no disguise leads elsewhere than the pattern says', async t => {
  const p = paths(['/*', '/pages/*'])
  const disguised = [
    '/pages/../admin',
    '/pages/./x',
    '/pages/..',
    '/pages/..;/admin',
    '/pages/.;x/admin',
    '/pages/%2e%2e/admin',
    '/pages/%2E./admin',
    '/pages/.%2e/admin',
    '/pages/%252e%252e/admin',
    '/pages/%25252e/admin',
    '/pages%2fadmin',
    '/pages/%2Fadmin',
    '/pages/%5c..%5cadmin',
    '/pages\\..\\admin',
    '/pages//admin',
    '//evil.example/pages',
    '///evil.example',
    '/pages/%00',
    '/pages/%0d%0aX: 1',
    '/pages/%c0%ae%c0%ae/admin',
    '/pages/a b',
    '/pages/a\tb',
    '/pages/%zz',
    '/pages/%',
    '/pages/\u00e9',
    '/pages#x',
    '/pages/a?x#y',
    'evil.example/pages',
    '@evil.example/pages',
    'http://evil.example',
    'http:///pages/a',
    'http://a.test//pages/a',
    'ftp://a.test/pages/a'
  ]
  for (const path of disguised) t.notOk(p.handles(path), path)
  t.ok(p.handles('/pages/a@b:80/c'), 'what means something only in front of a host')
})

t.test("paths lose the route's prefix, and metadata keeps it where it belongs", async t => {
  const p = paths(['/*'])
  const names: Record<string, string> = {
    '/everything/health': '/health',
    '/everything/': '/',
    '/everything': '/',
    '/everything/mcp': '/mcp',
    '/everything/.well-known/openid-configuration': '/.well-known/openid-configuration',
    '/health': '/health',
    '/everythingelse/x': '/everythingelse/x',
    '/.well-known/oauth-protected-resource/everything/mcp': '/.well-known/oauth-protected-resource/mcp',
    '/.well-known/oauth-authorization-server/everything': '/.well-known/oauth-authorization-server',
    '/.well-known/oauth-authorization-server/everything/tenant': '/.well-known/oauth-authorization-server/tenant',
    '/.well-known/oauth-protected-resource': '/.well-known/oauth-protected-resource',
    '/.well-known/oauth-protected-resource/other/mcp': '/.well-known/oauth-protected-resource/other/mcp'
  }
  for (const [here, there] of Object.entries(names)) t.equal(p.up(here), there, here)
  const nested = paths(['/*'], '/team/files/mcp', 'https://up.test/api/v1/mcp')
  t.equal(
    nested.up('/.well-known/oauth-protected-resource/team/files/mcp'),
    '/.well-known/oauth-protected-resource/api/v1/mcp'
  )
  t.equal(nested.up('/team/files/api/v1/docs'), '/api/v1/docs')
  const atRoot = paths(['/*'], '/mcp', 'https://up.test/')
  t.equal(atRoot.up('/.well-known/oauth-protected-resource/mcp'), '/.well-known/oauth-protected-resource')
  t.equal(atRoot.up('/health'), '/health')
})

t.test("a Location on the target's origin is named as it is here; any other stays", async t => {
  const p = paths(['/everything/*', '/health', '/.well-known/oauth-protected-resource/everything/mcp'])
  const from = (value: string, path = '/everything/a/b'): string => p.location(value, path)
  t.equal(from('/login?next=%2F#top'), '/everything/login?next=%2F#top')
  t.equal(from('http://up.test:3001/login'), '/everything/login')
  t.equal(from('HTTP://UP.TEST:3001/login'), '/everything/login')
  t.equal(from('c'), '/everything/a/c', 'relative to where the target was asked')
  t.equal(from('../c'), '/everything/c')
  t.equal(from('?page=2'), '/everything/a/b?page=2')
  t.equal(from('/mcp'), '/everything/mcp')
  t.equal(from('/health', '/health'), '/health', 'where it was asked for without the prefix')
  t.equal(from('/login', '/health'), '/everything/login', 'the first name that leads anywhere')
  t.equal(
    from('/.well-known/oauth-protected-resource/mcp', '/health'),
    '/.well-known/oauth-protected-resource/everything/mcp'
  )
  for (const other of [
    'https://up.test:3001/x',
    'http://up.test/x',
    'http://evil.example/',
    '//evil.example/x',
    'mailto:a@b',
    'http://['
  ])
    t.equal(from(other), other, 'not ours to change')
})

t.test('no Location becomes one of another host', async t => {
  const p = paths(['/*'], '/mcp', 'http://up.test/mcp')
  for (const value of ['http://up.test//evil.example/x', '/.//evil.example/x', 'http://up.test/%2e//evil.example/x']) {
    const named = p.location(value, '/a')
    t.equal(new URL(named, 'https://front.example').host, 'front.example', `${value} → ${named}`)
  }
})

t.test('cookies go where they are asked for', async t => {
  const p = paths(['/*'])
  const at = (value: string, path = '/everything/login'): string => p.cookie(value, path)
  t.equal(at('a=b; Path=/; HttpOnly'), 'a=b; Path=/everything; HttpOnly')
  t.equal(at('a=b;path=/x/y;Secure'), 'a=b; path=/everything/x/y;Secure')
  t.equal(at('a=b; Path=/mcp'), 'a=b; Path=/everything/mcp')
  t.equal(at('a=b; Path=/', '/health'), 'a=b; Path=/', 'asked for without the prefix')
  t.equal(at('__Host-a=b; Path=/; Secure'), '__Host-a=b; Path=/; Secure')
  t.equal(at('a=b; Domain=up.test; Path=relative'), 'a=b; Path=relative')
  t.equal(at('a=b; domain=.UP.test'), 'a=b')
  t.equal(at('a=b; Domain=test'), 'a=b')
  t.equal(
    at('a=b; Domain=other.example; Max-Age=3; SameSite=Lax'),
    'a=b; Domain=other.example; Max-Age=3; SameSite=Lax'
  )
  t.equal(at('a="x=y; not"; Path=/'), 'a="x=y; not"; Path=/everything')
  t.equal(at('path=/'), 'path=/', 'the name of a cookie is no attribute')
})

t.test('patterns are checked when the route is made', async t => {
  for (const bad of [
    '',
    'health',
    '/a/*/b',
    '/a*',
    '/a/../b',
    '//a',
    '/%2e',
    '/a?b',
    '/a#b',
    '/a b',
    'http://a/b',
    7 as unknown as string
  ])
    t.throws(
      () => paths([bad]),
      { name: 'TypeError', message: /^passthrough: .* is not allowed; give a path like/ },
      String(bad)
    )
  paths(['/', '/*', '/a', '/a/', '/a/*', '/.well-known/*', "/a-b_c~d!$&'()+,;=:@"])
})

const segment = fc.oneof(
  fc.constantFrom(
    '.',
    '..',
    '%2e',
    '%2F',
    '..;a',
    '',
    'everything',
    'mcp',
    '.well-known',
    'x',
    '%41',
    '\\',
    '@',
    '//evil'
  ),
  fc.stringMatching(/^[a-z0-9._~%;@:-]{1,8}$/),
  fc.string({ maxLength: 5 })
)
const anyPath = fc.array(segment, { maxLength: 6 }).map(parts => `/${parts.join('/')}`)

t.test('what is handled means the same to every server: its plain reading is the path itself', async t => {
  const p = paths(['/*'])
  let handled = 0
  fc.assert(
    fc.property(anyPath, path => {
      if (!p.handles(path)) return
      handled++
      const target = requestTarget(path)!
      for (const name of [target.path, p.up(target.path)]) {
        const url = new URL(name, 'http://front.example')
        assert.equal(url.host, 'front.example')
        assert.equal(url.pathname, name, 'there is nothing to resolve')
        assert.equal(safeDecode(name).split('/').length, name.split('/').length, 'as many segments')
        let decoded = name
        for (let i = 0; i < 3; i++) {
          decoded = safeDecode(decoded)
          assert.ok(!decoded.split(/[/\\]/).some(s => s === '..' || s === '.'), name)
        }
      }
    }),
    { numRuns: 2_000 }
  )
  t.ok(handled > 100, `${handled} of them`)
})

t.test('what a pattern does not name is never handled', async t => {
  const p = paths(['/health', '/pages/*'])
  let handled = 0
  const near = fc.tuple(fc.constantFrom('', '/pages', '/health', '/pages/..', '/pagesx', '//pages'), anyPath)
  fc.assert(
    fc.property(near, ([folder, rest]) => {
      const path = folder + rest
      if (!p.handles(path)) return
      handled++
      const { pathname } = new URL(path, 'http://front.example')
      assert.ok(pathname === '/health' || pathname.startsWith('/pages/'), path)
    }),
    { numRuns: 2_000 }
  )
  t.ok(handled > 50, `${handled} of them`)
})

t.test('a Location leads back to the path that it came from', async t => {
  const word = fc.stringMatching(/^[a-z0-9_-]{1,6}$/)
  const plain = fc.array(word, { minLength: 1, maxLength: 4 }).map(parts => `/${parts.join('/')}`)
  const route = plain.map(p => `${p}/mcp`)
  fc.assert(
    fc.property(route, plain, plain, fc.boolean(), (here, there, path, inside) => {
      const p = paths(['/*'], here, `http://up.test${there}`)
      const asked = inside ? p.prefix + path : path
      assert.equal(p.up(p.location(`http://up.test${p.up(asked)}`, asked)), p.up(asked))
    })
  )
  t.pass()
})

t.test('reading a request target never throws, and takes no time', async t => {
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), s => void paths(['/*']).handles(s)))
  const began = performance.now()
  for (const part of ['/', '/a', '%25', '%', '..;', '/.', '%2', ';', 'a?'])
    for (const end of ['', ' ', '%2e', '\\']) paths(['/*']).handles(`/${part.repeat(10_000)}${end}`)
  t.ok(performance.now() - began < 2_000)
})

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
