/** The OpenAPI document and the handlers say the same: each documented answer is given, and each given one is documented. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { ENDPOINTS } from '../../src/admin/endpoints.ts'
import { OPENAPI } from '../../src/admin/openapi.ts'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { type RawResponse, rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize } from '../helpers/rpc.ts'
import { openAdmin, openStage, TOKEN, withHealth } from './stage.ts'

interface Operation {
  readonly operationId: string
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, { schema: object }>> }>>
}
type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>

const paths = OPENAPI.paths as unknown as Paths
const operations = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation }))
)

const ajv = new Ajv2020({ strict: false, allErrors: true })
ajv.addFormat('date-time', /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/)
ajv.addSchema({ $id: 'openapi', ...OPENAPI })

/** What is wrong with an answer, by the document. */
function faults({ status, headers, text }: RawResponse, operation: Operation): string | undefined {
  const documented = operation.responses[status]
  if (!documented) return `${operation.operationId}: status ${status} is not documented`
  const type = headers['content-type']?.split(';', 1)[0]
  if (!documented.content) return text === '' ? undefined : 'content where none is documented'
  const schema = documented.content[type ?? '']?.schema
  if (!schema) return `${operation.operationId}: type ${type} is not documented for ${status}`
  if (type === 'text/plain') return undefined
  const validate = ajv.compile(absolute(schema))
  return validate(JSON.parse(text)) ? undefined : ajv.errorsText(validate.errors)
}

function absolute(schema: object): object {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"openapi#/components/')) as object
}

t.test('every handler is documented, and nothing else is', async t => {
  const handled = ENDPOINTS.flatMap(({ path, operations }) =>
    Object.keys(operations).map(method => `${method} ${path}`)
  )
  t.same(operations.map(({ path, method }) => `${method} ${path}`).toSorted(), handled.toSorted())
  const ids = operations.map(({ operation }) => operation.operationId)
  t.equal(new Set(ids).size, ids.length)
})

t.test('what needs no token says so', async t => {
  for (const { path, open } of ENDPOINTS)
    for (const operation of Object.values(paths[path]!)) {
      const { security } = operation as unknown as { security?: readonly object[] }
      t.equal(
        security !== undefined && (security.length === 0 || security.some(s => Object.keys(s).length === 0)),
        open === true,
        path
      )
      t.equal('401' in operation.responses, open !== true, path)
    }
})

t.test('every documented path, method and status is given, as its schema says', async t => {
  trackLeaks(t)
  const server = await startRawHttp(x =>
    x.json(200, '{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{}}}', [
      'Mcp-Session-Id',
      'theirs'
    ])
  )
  t.teardown(() => server.close())
  const stage = await openStage(t, { one: { target: { url: server.url } }, two: { target: { url: server.url } } })
  const seen = new Set<string>()
  const ask = async (
    admin: string,
    method: string,
    template: string,
    { suffix = '', headers = { authorization: `Bearer ${TOKEN}` }, handle = 's-00000000' } = {}
  ): Promise<RawResponse> => {
    const url = `${admin}${template.replace('{handle}', handle)}${suffix}`
    const answer = await rawRequest(url, { method, headers: headers as Record<string, string> })
    const operation = paths[template]![method.toLowerCase()]!
    t.equal(faults(answer, operation), undefined, `${method} ${template} ${answer.status}`)
    seen.add(`${operation.operationId} ${answer.status}`)
    return answer
  }
  const { admin, subject } = await openAdmin(t, stage, { metricsText: () => ['a 1\n'] })
  const bare = await openAdmin(t, stage)
  for (const { path, method } of operations) {
    await ask(admin, method, path, { headers: {} as never })
    await ask(admin, method, path, { headers: { authorization: `Bearer ${TOKEN}`, host: 'evil.example' } as never })
  }
  for (let i = 0; i < 3; i++) await rawPost(stage.url(i < 2 ? 'one' : 'two'), initialize())
  for (const path of ['/livez', '/readyz', '/metrics', '/openapi.json', '/api/status', '/api/sessions', '/api/drain'])
    t.equal((await ask(admin, 'GET', path)).status, 200, path)
  const page = (await ask(admin, 'GET', '/api/sessions', { suffix: '?limit=1&route=one' })).json() as {
    sessions: { handle: string }[]
    cursor: string
  }
  await ask(admin, 'GET', '/api/sessions', { suffix: `?limit=1&route=one&cursor=${page.cursor}` })
  for (const suffix of ['?limit=0', '?limit=x', '?cursor=x', '?route=three', '?nope=1'])
    t.equal((await ask(admin, 'GET', '/api/sessions', { suffix })).status, 400, suffix)
  t.equal((await ask(admin, 'DELETE', '/api/sessions/{handle}', { handle: page.sessions[0]!.handle })).status, 204)
  t.equal((await ask(admin, 'DELETE', '/api/sessions/{handle}')).status, 404)
  t.equal((await ask(bare.admin, 'GET', '/metrics')).status, 404)
  withHealth(stage.cores.get('two')!, () => [
    { member: 'a', label: 'http://a/', state: 'ejected', reason: 'refused', inFlight: 0, until: Date.now() + 60_000 }
  ])
  t.equal((await ask(admin, 'GET', '/readyz')).status, 503)
  t.equal((await ask(admin, 'GET', '/readyz', { headers: {} as never })).status, 503)
  await ask(admin, 'GET', '/api/status')
  for (const suffix of ['?timeout=soon', '?grace=-1s', '?timeout=', '?until=5s'])
    t.equal((await ask(admin, 'POST', '/api/drain', { suffix })).status, 400, suffix)
  t.equal(subject.state, 'ready')
  t.equal((await ask(admin, 'POST', '/api/drain', { suffix: '?timeout=1s&grace=0' })).status, 202)
  await ask(admin, 'GET', '/api/drain')
  await ask(admin, 'GET', '/api/status')
  const documented = operations.flatMap(({ operation }) =>
    Object.keys(operation.responses).map(status => `${operation.operationId} ${status}`)
  )
  t.same([...seen].toSorted(), documented.toSorted())
})

t.test('the document is served, and is what it says', async t => {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const stage = await openStage(t, { one: { target: { url: server.url } } })
  const { admin } = await openAdmin(t, stage)
  const { text } = await rawRequest(`${admin}/openapi.json`, { method: 'GET', headers: { 'catflap-token': TOKEN } })
  t.same(JSON.parse(text), JSON.parse(JSON.stringify(OPENAPI)))
  t.match(OPENAPI.openapi, /^3\.1\./)
  const named = [...JSON.stringify(OPENAPI).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(m => m[1]!)
  t.same(
    [...new Set(named)].toSorted(),
    Object.keys(OPENAPI.components.schemas).toSorted(),
    'no schema is missing or left over'
  )
})
