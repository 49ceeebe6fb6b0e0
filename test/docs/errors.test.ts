import { readFileSync } from 'node:fs'
import t from 'tap'
import { ERROR_TABLE } from '../../src/errors.ts'

const read = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')

const rows = read('docs/errors.md')
  .split('\n')
  .filter(line => line.startsWith('| `'))
  .map(line =>
    line
      .split('|')
      .map(cell => cell.trim())
      .slice(1, -1)
  )
const named = (cells: number): Map<string, string[]> =>
  new Map(rows.filter(r => r.length === cells).map(r => [r[0]!.replaceAll('`', ''), r]))

t.test('every error is documented with its status and number, and nothing else is', async t => {
  const documented = named(5)
  t.same([...documented.keys()], Object.keys(ERROR_TABLE))
  for (const [code, { status, rpc }] of Object.entries(ERROR_TABLE))
    t.same(documented.get(code)?.slice(1, 3), [String(status), String(rpc)], code)
})

t.test('every error of tapes is documented, and nothing else is', async t => {
  const union = /export type TapeErrorCode =([\s\S]*?)\n\n/.exec(read('src/tape/format.ts'))![1]!
  const codes = [...union.matchAll(/'(\w+)'/g)].map(m => m[1])
  t.ok(codes.length > 5)
  t.same([...named(3).keys()], codes)
})

t.test('every row says something in each column', async t => {
  for (const row of rows) t.notOk(row.includes(''), row[0] ?? '')
})

t.test('numbers of our own are unique and outside what JSON-RPC and MCP reserve', async t => {
  const own = Object.values(ERROR_TABLE)
    .map(e => e.rpc as number)
    .filter(n => n > -32000)
  t.equal(new Set(own).size, own.length)
  const reserved = Object.values(ERROR_TABLE)
    .map(e => e.rpc as number)
    .filter(n => n <= -32000)
  // As JSON-RPC and MCP define them.
  t.same([...new Set(reserved)].sort(), [-32020, -32021, -32022, -32600, -32601, -32602, -32700])
})
