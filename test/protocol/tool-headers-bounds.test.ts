/** Annotations come from servers: many of them cost no more than many of anything else. */
import t from 'tap'
import { toolHeaders } from '../../src/protocol/tool-headers.ts'

const schema = (names: readonly string[]) => ({
  properties: Object.fromEntries(names.map((name, i) => [`p${i}`, { type: 'string', 'x-mcp-header': name }]))
})

t.test('a schema is read in a time that grows with its annotations, not with their square', t => {
  const many = schema(Array.from({ length: 30_000 }, (_, i) => `H${i}`))
  const began = performance.now()
  t.match(toolHeaders(many), { params: { length: 30_000 } })
  t.ok(performance.now() - began < 1_500)
  t.match(toolHeaders(schema(['A', 'b', 'a'])), { invalid: /two parameters have the x-mcp-header 'a'/ })
  t.end()
})
