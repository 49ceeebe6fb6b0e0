import { readFileSync } from 'node:fs'
import t from 'tap'
import { optionName } from '../../src/cli/forward-options.ts'
import { parseDuration, parseSize, SETTINGS } from '../../src/proxy/options.ts'
import { runCatflap } from '../helpers/catflap.ts'

const page = readFileSync(new URL('../../docs/options.md', import.meta.url), 'utf8')
const rows = page
  .split('\n')
  .filter(line => line.startsWith('| `--'))
  .map(line =>
    line
      .split('|')
      .map(cell => cell.trim().replace(/^`([^`]*)`$/, '$1'))
      .slice(1, -1)
  )

const parse = { ms: parseDuration, bytes: parseSize, count: Number }
const unit = { ms: 'duration', bytes: 'size', count: 'number' }

for (const [name, setting] of Object.entries(SETTINGS)) {
  t.test(`${name} is documented with its option, unit and default`, async t => {
    const row = rows.find(r => r[0] === `--${optionName(name)}`)
    if (!row) return t.fail(`no row for --${optionName(name)}`)
    t.equal(row[1], `${unit[setting.unit]}${'zero' in setting ? ', 0: off' : ''}`)
    t.equal(parse[setting.unit](row[2]!), setting.value)
    t.ok(row[3], 'what happens at it')
    t.equal(row[4], name)
  })
}

t.test('what --help lists is documented, and nothing else', async t => {
  const run = runCatflap(['forward', '--help'], { json: false })
  t.equal((await run.exit).code, 0)
  const listed = run.stdout.items.flatMap(line => /^ {2,6}(?:-\w, )?(--[a-z-]+) {2}/.exec(line)?.[1] ?? [])
  const documented = rows.map(row => row[0])
  t.same(documented.toSorted(), listed.filter(o => o !== '--help' && o !== '--version').toSorted())
})
