import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { ERROR_TABLE } from '../../src/errors.ts'
import { MAX_HOPS } from '../../src/protocol/forwarded.ts'
import { SETTINGS } from '../../src/proxy/options.ts'
import { PassthroughPaths } from '../../src/proxy/passthrough-paths.ts'

const read = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')
const page = read('docs/passthrough.md')
const rows = (text: string): string[][] =>
  [...text.matchAll(/^\| (.*) \|$/gm)].map(m => m[1]!.split(' | ').map(cell => cell.trim()))
const code = (cell: string): string[] => [...cell.matchAll(/`([^`]*)`/g)].map(m => m[1]!)

t.test('the paths of the table are named so', async t => {
  const paths = new PassthroughPaths({
    route: '/everything/mcp',
    target: new URL('http://127.0.0.1:3001/mcp'),
    paths: []
  })
  const table = rows(page).filter(r => r.length === 2 && /^`\/.*`$/.test(r[0]!))
  t.equal(table.length, 5)
  for (const [here, there] of table) t.equal(paths.up(code(here!)[0]!), code(there!)[0])
  t.equal(paths.location('http://127.0.0.1:3001/login', '/everything/x'), '/everything/login')
})

t.test('the limits and errors exist', async t => {
  const limits = rows(page).filter(r => r.length === 3 && r[1]!.startsWith('`'))
  t.equal(limits.length, 6)
  for (const [, settings, what] of limits) {
    for (const name of code(settings!)) t.ok(name in SETTINGS, name)
    const [error] = code(what!)
    const [status] = /^\d+/.exec(what!) ?? []
    if (error) t.equal(String(ERROR_TABLE[error as keyof typeof ERROR_TABLE]?.status), status, error)
  }
  t.match(page, `more than ${MAX_HOPS - 1} hops`)
})

t.test('the files that the page about deployment names exist', async t => {
  const deployment = read('docs/deployment.md')
  const named = [...deployment.matchAll(/`((?:docker|systemd|nginx|tls|kubernetes)\/[\w.-]+)`/g)].map(m => m[1]!)
  t.ok(named.length > 8)
  for (const name of named) t.ok(existsSync(new URL(`../../examples/deploy/${name}`, import.meta.url)), name)
})
