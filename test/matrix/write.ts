/**
 * `node test/matrix/write.ts`: runs every cell of the matrix and every crossing of eras, prints what came out, and writes the
 * tables of docs/compatibility.md from that. Exit code 1 if anything is not as expected.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { CROSSING_CASES, cross } from './crossings.ts'
import { CELLS } from './matrix.ts'
import { runThrough } from './run.ts'
import { crossingTable, type Outcome, pairingTable, withBlock } from './table.ts'

const PAGE = new URL('../../docs/compatibility.md', import.meta.url)

function report(name: string, problem: string | undefined): void {
  process.stdout.write(
    `${problem === undefined ? 'ok  ' : 'FAIL'} ${name}${problem === undefined ? '' : `: ${problem}`}\n`
  )
  if (problem !== undefined) process.exitCode = 1
}

const outcomes = new Map<string, Outcome>()
for (const cell of CELLS) {
  if (cell.verdict === 'impossible') {
    outcomes.set(cell.name, 'impossible')
    continue
  }
  const problem = await runThrough(cell).then(
    () => undefined,
    (error: Error) => error.message
  )
  report(cell.name, problem)
  outcomes.set(cell.name, problem === undefined ? 'works' : 'fails')
}
for (const crossed of CROSSING_CASES) report(crossed.name, (await cross(crossed)).problem)

let page = readFileSync(PAGE, 'utf8')
page = withBlock(
  page,
  'pairings',
  pairingTable(cell => outcomes.get(cell.name) ?? 'fails')
)
page = withBlock(page, 'crossings', crossingTable())
writeFileSync(PAGE, page)
