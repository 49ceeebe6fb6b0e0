import { createRequire } from 'node:module'
import t from 'tap'
import { Pool } from 'undici'
import { isLoopback } from '../../src/transport/loopback.ts'
import { poolOfUndici, proxyFor, upstreamError } from '../../src/transport/upstream/http-pool.ts'

const proxied = (url: string, env: Record<string, string>) => proxyFor(new URL(url), env)
const BOTH = { HTTP_PROXY: 'http://plain:1', HTTPS_PROXY: 'http://secure:2' }

t.test('the scheme of the server decides which variable counts; lower case wins', async t => {
  t.equal(proxied('http://a.test/', BOTH), 'http://plain:1')
  t.equal(proxied('https://a.test/', BOTH), 'http://secure:2')
  t.equal(proxied('https://a.test/', { HTTP_PROXY: 'http://plain:1' }), undefined)
  t.equal(proxied('https://a.test/', { ...BOTH, https_proxy: 'http://lower:3' }), 'http://lower:3')
  t.equal(proxied('https://a.test/', { ...BOTH, https_proxy: '' }), 'http://secure:2')
  t.equal(proxied('http://a.test/', { http_proxy: 'bare.test:3128' }), 'http://bare.test:3128')
  t.equal(proxied('http://a.test/', {}), undefined)
})

t.test('NO_PROXY: names, suffixes, ports, everything', async t => {
  const excluded = (url: string, rule: string) => proxied(url, { ...BOTH, NO_PROXY: rule }) === undefined
  t.ok(excluded('http://a.test/', 'a.test'))
  t.ok(excluded('http://A.TEST/', ' x.test , a.test'))
  t.ok(excluded('http://b.a.test/', 'a.test'))
  t.ok(excluded('http://b.a.test/', '.a.test'))
  t.ok(excluded('http://b.a.test/', '*.a.test'))
  t.notOk(excluded('http://ba.test/', 'a.test'))
  t.ok(excluded('http://a.test:8080/', 'a.test:8080'))
  t.notOk(excluded('http://a.test/', 'a.test:8080'))
  t.ok(excluded('https://a.test/', 'a.test:443'))
  t.ok(excluded('http://a.test/', '*'))
  t.ok(excluded('http://192.0.2.7/', '192.0.2.7'))
  t.notOk(excluded('http://a.test/', ''))
})

t.test('loopback is never behind a proxy', async t => {
  for (const host of ['localhost', 'x.localhost', '127.0.0.1', '127.9.9.9', '[::1]']) {
    t.equal(proxied(`http://${host}:1/`, BOTH), undefined, host)
    t.ok(isLoopback(new URL(`http://${host}/`).hostname), host)
  }
  for (const host of ['localhost.test', '128.0.0.1', '0.0.0.0', '127.0.0.1.test']) t.notOk(isLoopback(host), host)
})

t.test("the pool is the one that undici's index exports", async t => {
  t.equal(poolOfUndici(), Pool)
  t.match(Object.keys(createRequire(import.meta.url).cache).join('\n'), /undici.lib.dispatcher.pool\.js/)
})

t.test('once a request is being written, no code says that it was not sent', async t => {
  const codes = [
    'ETIMEDOUT',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'ECONNREFUSED',
    'ENOTFOUND',
    'EPROTO',
    'ECONNRESET',
    'EPIPE'
  ]
  const alerts = [
    'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
    'ERR_SSL_SSL/TLS_ALERT_BAD_RECORD_MAC',
    'CERT_HAS_EXPIRED'
  ]
  for (const code of [...codes, ...alerts, 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_SOCKET']) {
    const error = Object.assign(new Error('it broke'), { code })
    t.equal(upstreamError(error, 'x', true).code, 'upstream_reset', code)
    t.match(upstreamError(error, 'x', true).message, code)
  }
  const timedOut = Object.assign(new Error('read'), { code: 'ETIMEDOUT' })
  t.equal(upstreamError(timedOut, 'x').code, 'upstream_connect_timeout')
})
