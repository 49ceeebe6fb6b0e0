import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { Allowance } from '../../src/transport/downstream/allowance.ts'
import { Http2Request } from '../../src/transport/downstream/http2-request.ts'

function request(raw: readonly string[]): Http2Request {
  const headers: IncomingHttpHeaders = {}
  for (let i = 0; i < raw.length; i += 2) headers[raw[i]!] = raw[i + 1]!
  return new Http2Request({} as ServerHttp2Stream, headers, raw, {} as Socket)
}

const pairs = (list: readonly string[]) =>
  list.flatMap((name, i) => (i % 2 === 0 ? [[name, list[i + 1]!] as const] : []))

t.test('a head without pseudo-headers, with the host and everything else where it stood', async t => {
  const name = fc.oneof(
    fc.constantFrom('cookie', 'host', 'x-a', 'content-length'),
    fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/)
  )
  const field = fc.tuple(name, fc.string({ maxLength: 8 }))
  const authority = fc.option(fc.constantFrom('', 'a:1', 'B.example'), { nil: undefined })
  fc.assert(
    fc.property(authority, fc.array(field, { maxLength: 8 }), (authority, fields) => {
      const pseudo = [':method', 'GET', ':path', '/', ...(authority === undefined ? [] : [':authority', authority])]
      const raw = [...pseudo, ...fields.flat()]
      const made = request(raw)
      const list = pairs(made.rawHeaders)
      const known = authority ? authority : undefined
      t.notOk(list.some(([name]) => name.startsWith(':')))
      const others = (all: typeof list) => all.filter(([name]) => name !== 'cookie' && name !== 'host')
      t.same(others(list), others(fields))
      const cookies = fields.filter(([name]) => name === 'cookie').map(([, value]) => value)
      t.same(
        list.filter(([name]) => name === 'cookie').map(([, value]) => value),
        cookies.length > 0 ? [cookies.join('; ')] : []
      )
      const hosts = fields.filter(([name]) => name === 'host').map(([, value]) => value)
      t.same(
        list.filter(([name]) => name === 'host').map(([, value]) => value),
        known === undefined ? hosts : [known]
      )
      const differs = known !== undefined && hosts.some(host => host.toLowerCase() !== known.toLowerCase())
      t.equal(made.contradictory, differs)
      t.equal(made.size, raw.join('').length + (raw.length / 2) * 4)
    })
  )
})

t.test('so many at once, then so many a second', async t => {
  const allowance = new Allowance(3, 2)
  // Whole milliseconds, so that nothing is lost to rounding.
  const start = Math.ceil(performance.now()) + 1_000
  t.same(
    [0, 0, 0, 0].map(at => allowance.take(start + at)),
    [true, true, true, false]
  )
  t.ok(allowance.take(start + 1_000))
  t.notOk(allowance.take(start + 1_001))
  t.same(
    [9_000, 9_000, 9_000, 9_000].map(at => allowance.take(start + at)),
    [true, true, true, false]
  )
})
