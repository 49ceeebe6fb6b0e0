/** Rule 1: what nobody changed leaves as it came, whatever it is. */
import fc from 'fast-check'
import t from 'tap'
import type { Interceptor } from '../../src/index.ts'
import { echo, echoAsSse, type RawHttpServer } from '../fixtures/servers/raw-http.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { MODERN_VERSION, modernHeaders } from '../helpers/rpc.ts'
import { rawDoor } from './http-door.ts'

const space = fc.string({ unit: fc.constantFrom(' ', '\t', '\n', '\r'), maxLength: 3 })
const digits = fc.string({ unit: fc.constantFrom(...'0123456789'), maxLength: 40 })
const number = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.constantFrom('0', '1', '9007199254740993', '12'),
    digits,
    fc.constantFrom('', '.0', '.10e+2', 'E-0', 'e400')
  )
  .map(([sign, head, more, tail]) => `${sign}${head === '0' ? head : head + more}${tail}`)
/** A string as JSON, some of its characters escaped although they need not be. */
const text = fc
  .tuple(
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.constantFrom('', '\\u00e9', '\\/', '\\ud834\\udd1e', '\\ud800', '\\u0000', '\u2028', '\\"')
  )
  .map(([s, more]) => `${JSON.stringify(s).slice(0, -1)}${more}"`)
const leaf = fc.oneof(number, text, fc.constantFrom('true', 'false', 'null'))

const { value } = fc.letrec<{ value: string }>(tie => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.tuple(space, fc.array(tie('value'), { maxLength: 4 })).map(([s, items]) => `[${s}${items.join(`${s},`)}${s}]`),
    // Equal names come up often: duplicates in arguments are nobody's business on the way.
    fc
      .tuple(
        space,
        fc.array(fc.tuple(fc.oneof(text, fc.constantFrom('"a"', '"id"', '"method"')), tie('value')), { maxLength: 4 })
      )
      .map(([s, members]) => `{${s}${members.map(([k, v]) => `${k}${s}:${s}${v}`).join(`,${s}`)}${s}}`)
  )
}))
const deep = fc.integer({ min: 1, max: 3000 }).map(n => `${'[{"a":'.repeat(n)}1${'}]'.repeat(n)}`)
const id = fc.oneof(number, text)
const method = fc.oneof(fc.constantFrom('"tools/call"', '"unknown/method"', '"x\\u002fy"'), text)
const params = fc
  .tuple(space, value, fc.oneof({ weight: 9, arbitrary: value }, { weight: 1, arbitrary: deep }))
  .map(([s, a, b]) => `{${s}"arguments":${a},"x-unknown"${s}:${b}}`)

/** Members in any order, with white space anywhere it may stand. */
const request = fc.tuple(space, id, method, params, fc.boolean(), value).chain(([s, i, m, p, extra, v]) => {
  const members = [`"jsonrpc":${s}"2.0"`, `"id"${s}:${i}`, `"method":${m}`, `"params"${s}:${s}${p}`]
  if (extra) members.push(`"unknown":${v}`)
  return fc
    .shuffledSubarray(members, { minLength: members.length })
    .map(all => `${s}{${s}${all.join(`${s},${s}`)}${s}}${s}`)
})

const token = fc.string({ unit: fc.constantFrom(...'abcXYZ019-_.!'), minLength: 1, maxLength: 12 })
const fieldValue = fc.string({ unit: fc.constantFrom(...'abc XYZ:;,="()/\u00e9\t'), maxLength: 20 }).map(s => s.trim())
const headers = fc.array(
  fc.tuple(
    token.map(name => `X-${name}`),
    fieldValue
  ),
  { maxLength: 6 }
)

/** Fidelity both ways: what the server got, and what the client got of what the server said. */
async function passes(url: string, server: RawHttpServer, body: string, extra: [string, string][]): Promise<boolean> {
  const list = ['Content-Type', 'application/json', 'Accept', 'application/json, text/event-stream', ...extra.flat()]
  const answer = await rawPost(url, body, list)
  const seen = server.exchanges.at(-1)!
  if (answer.status !== 200 || !seen.body.equals(Buffer.from(body))) return false
  const direct = await rawPost(server.url, body, list)
  if (!answer.body.equals(direct.body)) return false
  return extra.every(([name]) =>
    same(
      seen.values(name),
      extra.filter(([n]) => n.toLowerCase() === name.toLowerCase()).map(([, v]) => v)
    )
  )
}

const same = (a: readonly string[], b: readonly string[]) => JSON.stringify(a) === JSON.stringify(b)

for (const [name, script] of Object.entries({ JSON: echo, SSE: echoAsSse })) {
  t.test(`arbitrary requests and headers pass byte for byte, answers in ${name} too`, async t => {
    const { server, url } = await rawDoor(
      t,
      script === echo
        ? echo
        : exchange =>
            exchange.text.includes('\n') || exchange.text.includes('\r') ? echo(exchange) : echoAsSse(exchange)
    )
    await fc.assert(
      fc.asyncProperty(request, headers, (body, extra) => passes(url, server, body, extra)),
      { numRuns: 250 }
    )
    t.same(server.errors, [])
  })
}

t.test('with a hook that looks at every message and a tape, bytes are the same', async t => {
  const file = `${t.testdir()}/t.tape.jsonl`
  const looks: Interceptor = {
    name: 'looks',
    message(_, m) {
      void m.json
      return m
    }
  }
  const { server, url } = await rawDoor(t, echo, { interceptors: [looks], record: { path: file } })
  await fc.assert(
    fc.asyncProperty(request, headers, (body, extra) => passes(url, server, body, extra)),
    { numRuns: 150 }
  )
})

t.test('batches of 2025-03-26 pass byte for byte', async t => {
  const { server, url } = await rawDoor(t)
  const batch = fc
    .tuple(space, fc.array(request, { minLength: 1, maxLength: 4 }))
    .map(([s, all]) => `${s}[${all.join(`,${s}`)}]`)
  await fc.assert(
    fc.asyncProperty(batch, body => passes(url, server, body, [])),
    { numRuns: 80 }
  )
})

t.test('modern requests pass byte for byte', async t => {
  const { server, url } = await rawDoor(t)
  const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"${MODERN_VERSION}","io.modelcontextprotocol/clientCapabilities":{ }}`
  await fc.assert(
    fc.asyncProperty(id, value, async (i, v) => {
      const body = `{"jsonrpc":"2.0","id":${i},"method":"tools/call","params":{"name":"a",${meta},"arguments":${v}}}`
      const list = Object.entries(modernHeaders({ jsonrpc: '2.0', method: 'tools/call', params: { name: 'a' } }))
      const derived = list.filter(([name]) => name.startsWith('mcp-')) as [string, string][]
      return passes(url, server, body, derived)
    }),
    { numRuns: 100 }
  )
})
