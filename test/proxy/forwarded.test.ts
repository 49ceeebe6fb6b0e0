import fc from 'fast-check'
import t from 'tap'
import { Forwarding, type PeerSocket, TrustedProxies } from '../../src/proxy/forwarded.ts'

const PROXY: PeerSocket = { remoteAddress: '10.0.0.1', localPort: 7890 }
const CLIENT: PeerSocket = { remoteAddress: '::ffff:203.0.113.5', localPort: 7890 }
const trusting = (): Forwarding => new Forwarding({ trusted: new TrustedProxies(['10.0.0.0/8']), name: 'catflap' })

/** What reaches the server, by name. */
function sent(
  forwarding: Forwarding,
  socket: PeerSocket,
  headers: string[],
  { host = 'mcp.example', prefix = '' }: { host?: string; prefix?: string } = {}
): Record<string, string> & { address?: string } {
  const out = [...headers]
  const sender = forwarding.receive(headers, socket)
  sender.write(out, host, prefix)
  const all: Record<string, string> = sender.address === undefined ? {} : { address: sender.address }
  for (let i = 0; i < out.length; i += 2) {
    t.notOk(out[i]!.toLowerCase() in all, `${out[i]} stands there once`)
    all[out[i]!.toLowerCase()] = out[i + 1]!
  }
  return all
}

t.test('the server is told who asks, for what host, and how', async t => {
  t.same(sent(trusting(), CLIENT, ['Accept', '*/*'], { prefix: '/files' }), {
    address: '203.0.113.5',
    accept: '*/*',
    forwarded: 'by=_catflap;for=203.0.113.5;host=mcp.example;proto=http',
    'x-forwarded-for': '203.0.113.5',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'mcp.example',
    'x-forwarded-port': '80',
    'x-forwarded-prefix': '/files'
  })
  const tls = { remoteAddress: '2001:DB8::7', localPort: 443, encrypted: true }
  t.match(sent(trusting(), tls, [], { host: '[2001:db8::1]:8443' }), {
    forwarded: 'by=_catflap;for="[2001:db8::7]";host="[2001:db8::1]:8443";proto=https',
    'x-forwarded-for': '2001:db8::7',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': '[2001:db8::1]:8443',
    'x-forwarded-port': '8443'
  })
})

t.test('a connection is looked at once, and its headers follow the host', async t => {
  const forwarding = trusting()
  const first = forwarding.receive([], CLIENT)
  t.equal(forwarding.receive(['X-Forwarded-For', '1.2.3.4'], CLIENT), first)
  t.equal(sent(forwarding, CLIENT, [], { host: 'a' })['x-forwarded-host'], 'a')
  t.equal(sent(forwarding, CLIENT, [], { host: 'b' })['x-forwarded-host'], 'b')
  t.equal(sent(forwarding, CLIENT, [], { host: 'b', prefix: '/p' })['x-forwarded-prefix'], '/p')
})

t.test('what a client says of itself is dropped, in whatever spelling', async t => {
  const lies = [
    'forwarded',
    'for=1.2.3.4;proto=https;host=bank.example',
    'X-FORWARDED-FOR',
    '1.2.3.4',
    'x-forwarded-Proto',
    'https',
    'X-Forwarded-Host',
    'bank.example',
    'X-Forwarded-User',
    'admin',
    'X-Real-IP',
    '1.2.3.4',
    'X-Client-IP',
    '1.2.3.4',
    'True-Client-IP',
    '1.2.3.4',
    'X_Forwarded_For',
    '1.2.3.4',
    'X_FORWARDED-User',
    'admin',
    'x_real_ip',
    '1.2.3.4',
    'True_Client_IP',
    '1.2.3.4',
    'X-Request-Id',
    'kept',
    'Via',
    '1.1 other'
  ]
  const seen = sent(trusting(), CLIENT, lies)
  t.notMatch(JSON.stringify(seen), /1\.2\.3\.4|bank|admin|https/)
  t.match(seen, { address: '203.0.113.5', 'x-request-id': 'kept', via: '1.1 other', 'x-forwarded-for': '203.0.113.5' })
  const unnamed = sent(new Forwarding({ trusted: new TrustedProxies(), name: undefined }), CLIENT, lies)
  t.same(unnamed, { address: '203.0.113.5', 'x-request-id': 'kept', via: '1.1 other' }, 'also where nothing is added')
})

t.test('a trusted proxy is believed and added to', async t => {
  const seen = sent(
    trusting(),
    PROXY,
    [
      'X-Forwarded-For',
      '203.0.113.9',
      'X-Forwarded-Proto',
      'https',
      'X-Forwarded-Host',
      'public.example',
      'X-Forwarded-Prefix',
      '/mcp',
      'X-Real-IP',
      '203.0.113.9'
    ],
    { host: 'inner:7890', prefix: '/files' }
  )
  t.same(seen, {
    address: '203.0.113.9',
    'x-real-ip': '203.0.113.9',
    forwarded: 'for=203.0.113.9;host=public.example;proto=https, by=_catflap;for=10.0.0.1;host="inner:7890";proto=http',
    'x-forwarded-for': '203.0.113.9, 10.0.0.1',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'public.example',
    'x-forwarded-port': '443',
    'x-forwarded-prefix': '/mcp/files'
  })
  const standard = sent(trusting(), PROXY, ['Forwarded', 'for="[2001:db8::9]:12";proto=https;host=public.example'])
  t.match(standard, {
    address: '2001:db8::9',
    forwarded:
      'for="[2001:db8::9]:12";proto=https;host=public.example, by=_catflap;for=10.0.0.1;host=mcp.example;proto=http',
    'x-forwarded-for': '2001:db8::9, 10.0.0.1',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'public.example'
  })
  t.equal(sent(trusting(), PROXY, []).address, '10.0.0.1', 'alone, it is the client')
  const twin = sent(trusting(), PROXY, ['X-Forwarded-For', '203.0.113.9', 'X_Forwarded_For', '1.2.3.4'])
  t.match(twin, { 'x-forwarded-for': '203.0.113.9, 10.0.0.1', x_forwarded_for: undefined })
})

t.test('where nothing is added, a trusted proxy is passed on as it came', async t => {
  const silent = new Forwarding({ trusted: new TrustedProxies(['10.0.0.0/8']), name: undefined })
  t.same(sent(silent, PROXY, ['X-Forwarded-For', '203.0.113.9']), {
    address: '203.0.113.9',
    'x-forwarded-for': '203.0.113.9'
  })
})

t.test('the client is the last hop that nobody vouches for', async t => {
  const client = (...headers: string[]): string | undefined => trusting().receive(headers, PROXY).address
  t.equal(
    client('X-Forwarded-For', '1.1.1.1, 203.0.113.9, 10.0.0.7'),
    '203.0.113.9',
    'what it says of itself is a claim'
  )
  t.equal(client('X-Forwarded-For', '10.0.0.9, 10.0.0.7'), '10.0.0.9', 'ours all the way')
  t.equal(
    client('X-Forwarded-For', '1.1.1.1', 'x-forwarded-for', '203.0.113.9'),
    '203.0.113.9',
    'two lines are one list'
  )
  t.equal(client('Forwarded', 'for=1.1.1.1, for=203.0.113.9', 'Forwarded', 'for=10.0.0.7'), '203.0.113.9')
  t.equal(
    client('X-Forwarded-For', '1.1.1.1, unknown, 10.0.0.7'),
    '10.0.0.7',
    'behind who does not say, nobody is known'
  )
  t.equal(client('Forwarded', 'for=_hidden'), '10.0.0.1')
  t.equal(client('X-Forwarded-For', '::ffff:203.0.113.9'), '203.0.113.9')
})

t.test('a proxy that lets one of the two headers through from its client does not lend it its word', async t => {
  for (const lie of ['for=1.2.3.4', 'for=10.0.0.9', 'proto=https', 'for="', 'for=a b'])
    t.match(
      sent(trusting(), PROXY, ['Forwarded', lie, 'X-Forwarded-For', '203.0.113.9']),
      { address: '10.0.0.1', 'x-forwarded-for': '10.0.0.1', forwarded: /^by=_catflap;for=10\.0\.0\.1;[^,]*$/ },
      lie
    )
  const seen = sent(trusting(), PROXY, [
    'Forwarded',
    'for=203.0.113.9;proto=https;host=bank.example',
    'X-Forwarded-For',
    '203.0.113.9',
    'X-Forwarded-Proto',
    'http',
    'X-Forwarded-Host',
    'public.example'
  ])
  t.match(seen, { address: '203.0.113.9', 'x-forwarded-proto': 'http', 'x-forwarded-host': 'mcp.example' })
})

t.test(
  'where both kinds of header are there, only what both say is believed of scheme, host, port and prefix',
  async t => {
    const own = { 'x-forwarded-proto': 'http', 'x-forwarded-host': 'mcp.example', 'x-forwarded-port': '80' }
    const nothing = { ...own, 'x-forwarded-prefix': undefined }
    // The client knows its own address, and which of the two its proxy does not read.
    const forged = ['Forwarded', 'for=203.0.113.9;proto=https;host=bank.example', 'X-Forwarded-For', '203.0.113.9']
    t.match(sent(trusting(), PROXY, forged), { ...nothing, address: '203.0.113.9' })
    const older = ['X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'bank.example', 'X-Forwarded-Port', '8443']
    const prefix = ['X-Forwarded-Prefix', '/evil']
    const standard = ['Forwarded', 'for=203.0.113.9', 'X-Forwarded-For', '203.0.113.9', ...older, ...prefix]
    t.match(sent(trusting(), PROXY, standard), { ...nothing, address: '203.0.113.9' }, 'the other way round')
    for (const one of [older, prefix])
      t.match(
        sent(trusting(), PROXY, ['Forwarded', 'for=1.2.3.4;proto=https;host=bank.example', ...one]),
        { ...nothing, address: '10.0.0.1', 'x-forwarded-for': '10.0.0.1' },
        'without X-Forwarded-For nothing shows who wrote which'
      )
    t.match(
      sent(trusting(), PROXY, [
        ...['Forwarded', 'for=203.0.113.9;proto=https;host=public.example, for=10.0.0.8'],
        ...['X-Forwarded-For', '203.0.113.9, 10.0.0.7', 'X-Forwarded-Proto', 'https']
      ]),
      { ...nothing, address: '10.0.0.1' },
      'another nearest hop'
    )
    const agreeing = ['Forwarded', 'for=203.0.113.9;proto=https;host=public.example', 'X-Forwarded-For', '203.0.113.9']
    t.match(
      sent(trusting(), PROXY, [...agreeing, 'X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'public.example']),
      { address: '203.0.113.9', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'public.example' },
      'both say it'
    )
  }
)

t.test('too many hops, and what is no scheme, host, port or prefix, is not believed', async t => {
  const many = Array(100).fill('203.0.113.9').join(',')
  t.match(sent(trusting(), PROXY, ['X-Forwarded-For', many]), { address: '10.0.0.1', 'x-forwarded-for': '10.0.0.1' })
  const seen = sent(trusting(), PROXY, [
    'X-Forwarded-For',
    '203.0.113.9',
    'X-Forwarded-Proto',
    'https, http',
    'X-Forwarded-Host',
    'a.example, b.example',
    'X-Forwarded-Port',
    '99999',
    'X-Forwarded-Prefix',
    '//evil.example'
  ])
  t.match(seen, {
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'mcp.example',
    'x-forwarded-port': '80',
    'x-forwarded-prefix': undefined
  })
})

t.test('an odd host is quoted where that is possible, else left out', async t => {
  const seen = sent(trusting(), CLIENT, [], { host: 'a", for=1.2.3.4' })
  t.equal(seen.forwarded, 'by=_catflap;for=203.0.113.5;host="a\\", for=1.2.3.4";proto=http')
  t.notOk('x-forwarded-host' in seen)
  t.notMatch(sent(trusting(), CLIENT, [], { host: 'a\u00e9' }).forwarded, /host/)
  t.notMatch(sent(trusting(), CLIENT, [], { host: 'a'.repeat(300) }).forwarded, /host/)
})

t.test('a connection that is gone has no address', async t => {
  t.match(sent(trusting(), {}, []), { forwarded: /for=unknown/, 'x-forwarded-for': 'unknown' })
})

t.test('an untrusted peer is never anybody but itself, whatever it sends', async t => {
  const name = fc.constantFrom('Forwarded', 'X-Forwarded-For', 'x-forwarded-proto', 'X-Forwarded-Host', 'X-Real-Ip')
  const value = fc.oneof(
    fc.string(),
    fc.ipV4().map(a => `for=${a}`),
    fc.ipV4(),
    fc.constantFrom('https', 'evil.example')
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value)), claims => {
      const seen = sent(trusting(), { ...CLIENT }, claims.flat())
      t.same(seen, sent(trusting(), { ...CLIENT }, []))
    })
  )
})

t.test('of a trusted proxy, the last hop decides, whatever stands before it', async t => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[\x21-\x2b\x2d-\x7e]{1,30}$/), { maxLength: 20 }), before => {
      const sender = trusting().receive(['X-Forwarded-For', [...before, '203.0.113.9'].join(', ')], PROXY)
      t.equal(sender.address, '203.0.113.9')
    })
  )
})

t.test('what is no address is refused at start', async t => {
  t.throws(() => new TrustedProxies(['nginx']), {
    name: 'TypeError',
    message: /^trustedProxies: "nginx" is no address/
  })
})
