import { readFileSync } from 'node:fs'
import t from 'tap'
import { CELLS } from '../matrix/matrix.ts'
import { crossingTable, pairingTable, withBlock } from '../matrix/table.ts'

const page = readFileSync(new URL('../../docs/compatibility.md', import.meta.url), 'utf8')

t.test('the tables say exactly what the tests of the matrix hold catflap to', async t => {
  t.equal(
    withBlock(
      page,
      'pairings',
      pairingTable(cell => cell.verdict)
    ),
    page
  )
  t.equal(withBlock(page, 'crossings', crossingTable()), page)
  t.equal(CELLS.length, 45)
})

t.test('what the page names exists', async t => {
  const options = readFileSync(new URL('../../docs/options.md', import.meta.url), 'utf8')
  for (const [, option = ''] of page.matchAll(/`(--[a-z-]+)/g)) t.ok(options.includes(`| \`${option}\``), option)
})
