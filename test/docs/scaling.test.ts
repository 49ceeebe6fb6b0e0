/** The sizes in docs/scaling.md are what bench/sizes.ts computes from the costs that stand above them. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { sizeRows } from '../../bench/sizes.ts'

const page = readFileSync(new URL('../../docs/scaling.md', import.meta.url), 'utf8')

t.test('the table of sizes', async t => {
  for (const row of sizeRows()) t.ok(page.includes(`\n${row}\n`), row)
})
