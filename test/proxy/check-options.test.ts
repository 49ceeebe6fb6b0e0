import t from 'tap'
import { createForward, type ForwardOptions, MemorySessionStore } from '../../src/index.ts'
import { trackLeaks } from '../helpers/leaks.ts'

const target = { url: 'http://127.0.0.1:1/mcp' }

t.test('options that cannot be meant are refused by name, before anything is opened', async t => {
  trackLeaks(t)
  const wrong: [unknown, RegExp][] = [
    [{}, /^target: undefined is not allowed; give \{ url/],
    [{ target: {} }, /^target: /],
    [{ target: { command: '' } }, /^target: /],
    [{ target: { command: 'a', url: 'http://a/' } }, /^target: /],
    [{ target: { command: 'a', args: 'b' } }, /^target\.args: 'b'/],
    [{ target: { command: 'a', env: { A: 1 } } }, /^target\.env\.A: 1/],
    [{ target: { url: 'nonsense' } }, /^target\.url: 'nonsense' is not allowed; give an http/],
    [{ target: { url: 'ftp://user:secret@a/' } }, /^target\.url: 'ftp:\/\/…@a\/'/],
    [{ target: { ...target, headers: ['a'] } }, /^target\.headers: /],
    [{ target: { ...target, ca: 'x' } }, /^ca: .*BEGIN CERTIFICATE/],
    [{ target, listen: { port: 70_000 } }, /^listen\.port: 70000/],
    [{ target, listen: { path: 'mcp' } }, /^listen\.path: 'mcp'/],
    [{ target, listen: { path: '/sse' } }, /^listen\.path: '\/sse' .*HTTP\+SSE/],
    [{ target: { ...target, transport: 'sse', era: 'modern' } }, /^target\.era: 'modern' .*HTTP\+SSE/],
    [{ target, listen: { host: '' } }, /^listen\.host: ''/],
    [{ target, tokens: [''] }, /^tokens: ''/],
    [{ target, settings: { maxBodyy: 1 } }, /^settings: 'maxBodyy' .*maxBody/],
    [{ target, settings: { maxBody: -1 } }, /^maxBody: -1/],
    [{ target, interceptors: [null] }, /^interceptors: null .*name/],
    [{ target, allowHosts: ['http://foo/'] }, /^allowHosts: 'http:\/\/foo\/'/],
    [{ target, allowHosts: ['foo:80'] }, /^allowHosts: /],
    [{ target, allowOrigins: ['foo'] }, /^allowOrigins: 'foo' .*https:\/\/app\.example/],
    [{ target, allowOrigins: ['https://foo/path'] }, /^allowOrigins: /]
  ]
  for (const [options, message] of wrong)
    await t.rejects(createForward(options as ForwardOptions), { name: 'TypeError', message }, JSON.stringify(options))
})

t.test('hosts and origins as people write them are taken', async t => {
  trackLeaks(t)
  const proxy = await createForward({
    target,
    allowHosts: ['*', 'example.com', 'a_b', '[::1]', '::1', '10.0.0.1'],
    allowOrigins: ['*', 'https://app.example', 'http://localhost:3000', 'https://app.example/', 'vscode-webview://abc']
  })
  await proxy.close()
})

t.test('a start that fails closes the store it was given, once', async t => {
  trackLeaks(t)
  const store = new MemorySessionStore()
  let closed = 0
  store.close = () => void closed++
  const hook = {
    name: 'x',
    get request(): never {
      throw new Error('no such hook')
    }
  }
  await t.rejects(createForward({ target, store, interceptors: [hook] }), /no such hook/)
  t.equal(closed, 1)
  const again = new MemorySessionStore()
  again.close = () => void closed++
  await t.rejects(
    createForward({ target, store: again, listen: { host: '192.0.2.1' }, allowUnauthenticated: true }),
    /EADDRNOTAVAIL/
  )
  t.equal(closed, 2)
})

t.test('an admin port that is taken fails the start, and leaves no listener', async t => {
  trackLeaks(t)
  const first = await createForward({ target, admin: {} })
  t.teardown(() => first.close())
  const port = Number(new URL(first.adminUrl!).port)
  await t.rejects(createForward({ target, admin: { port } }), /EADDRINUSE/)
})
