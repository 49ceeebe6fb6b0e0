/** docs/rules.md beside the shape of the file and what it does. `TAP_SNAPSHOT=1` writes its tables anew. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Matcher } from '../../src/replay/matching.ts'
import { parseRules } from '../../src/replay/rules.ts'
import { rulesFile, rulesSchema } from '../../src/replay/rules-shape.ts'
import { differInVolatile } from '../../src/replay/volatile.ts'
import { conversationOf } from '../replay/conversation-fixture.ts'
import { sections } from './config-reference.ts'

const PAGE = fileURLToPath(new URL('../../docs/rules.md', import.meta.url))
const SCHEMA = fileURLToPath(new URL('../../docs/rules.schema.json', import.meta.url))
const marker = (at: string): string => `<!-- keys: ${at === '' ? 'the file' : at} -->\n`
const tables = sections(rulesFile)

if (process.env.TAP_SNAPSHOT === '1') {
  let text = readFileSync(PAGE, 'utf8')
  for (const { path: at, table } of tables) {
    const from = text.indexOf(marker(at)) + marker(at).length
    const end = text.indexOf('\n\n', from - 1)
    text = `${text.slice(0, from)}${table}${text.slice(end)}`
  }
  writeFileSync(PAGE, text)
  writeFileSync(SCHEMA, `${JSON.stringify(rulesSchema(), undefined, 2)}\n`)
}

const page = readFileSync(PAGE, 'utf8')

t.test('the keys of the file: values, defaults and meanings', async t => {
  for (const { path: at, table } of tables) {
    const from = page.indexOf(marker(at)) + marker(at).length
    t.same(page.slice(from, page.indexOf('\n\n', from)).split('\n'), table.split('\n'), at)
  }
  t.equal(page.match(/<!-- keys: /g)!.length, tables.length)
})

t.test('the schema for editors is that of the file', async t => {
  t.same(JSON.parse(readFileSync(SCHEMA, 'utf8')), JSON.parse(JSON.stringify(rulesSchema())))
})

const example = parseRules(/```yaml\n([\s\S]*?)```/.exec(page)![1]!, 'example.yaml')

t.test('what the example finds', async t => {
  const rows = [...page.matchAll(/^\| `(\{.*?\})` \| `(\{.*?\})` \| (found|a miss) \|$/gm)]
  t.equal(rows.length, 4)
  for (const [, recorded, asked, said] of rows) {
    const tape = conversationOf([{ method: 'tools/call', params: JSON.parse(recorded!) }])
    const cursor = new Matcher(tape, { mode: 'keyed', repeat: 'last', rules: example }).cursor()
    const match = cursor.match({ method: 'tools/call', params: JSON.parse(asked!) })
    t.equal('miss' in match ? 'a miss' : 'found', said!, asked!)
  }
})

t.test('every pattern is explained', async t => {
  const kinds = [...page.matchAll(/^\| `(\w+)` \| [^|]*\|$/gm)].map(m => m[1]!)
  t.same(kinds, ['time', 'uuid', 'port', 'path', 'number'])
  for (const [kind, a, b] of [
    ['time', 'at 12:00:01', 'at 13:00:00'],
    ['port', 'localhost:1', 'localhost:2'],
    ['path', '/tmp/a', '/var/b']
  ] as const)
    t.ok(differInVolatile(a, b, [kind]))
})

t.test('what the page shows of problems is what is said', async t => {
  const [, text, said] = /```yaml-wrong\n([\s\S]*?)```[\s\S]*?```text\n([\s\S]*?)\n```/.exec(page)!
  t.plan(1)
  try {
    parseRules(text!, 'search.tape.rules.yaml')
  } catch (error) {
    t.equal((error as Error).message, said)
  }
})
