/** Annotations come from servers: many of them cost no more than many of anything else. */
import t from 'tap'
import { toolHeaders } from '../../src/protocol/tool-headers.ts'

const schema = (names: readonly string[]) => ({
  properties: Object.fromEntries(names.map((name, i) => [`p${i}`, { type: 'string', 'x-mcp-header': name }]))
})

t.test('a schema is read in a time that grows with its annotations, not with their square', t => {
  // Processor time, as that is ours alone however busy the machine is. The first call is for the compiler.
  const [, few, many] = [8_000, 8_000, 64_000].map(count => {
    const given = schema(Array.from({ length: count }, (_, i) => `H${i}`))
    const before = process.cpuUsage()
    const read = toolHeaders(given)
    const { user } = process.cpuUsage(before)
    t.equal('params' in read && read.params.length, count)
    return user
  })
  t.ok(many! < 30 * few!, `${few} and ${many} µs: 8 times as many, and not 64 times as long`)
  t.match(toolHeaders(schema(['A', 'b', 'a'])), { invalid: /two parameters have the x-mcp-header 'a'/ })
  t.end()
})
