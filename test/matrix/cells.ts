/** The rows of the matrix as tests. */
import t from 'tap'
import { trackLeaks } from '../helpers/leaks.ts'
import { CROSSING_CASES, cross } from './crossings.ts'
import { CELLS, type Wire } from './matrix.ts'
import { runThrough } from './run.ts'

/** The script in every cell that works, for clients on one transport. */
export function testCells(client: Wire): void {
  for (const cell of CELLS.filter(cell => cell.client === client && cell.verdict === 'works')) {
    t.test(cell.name, async t => {
      trackLeaks(t)
      const played = await runThrough(cell)
      t.pass(`${played.length} steps`)
    })
  }
}

/** Clients and servers of different eras, with catflap between them. */
export function testCrossings(clients: readonly Wire[]): void {
  for (const crossed of CROSSING_CASES.filter(({ client }) => clients.includes(client))) {
    t.test(crossed.name, async t => {
      trackLeaks(t)
      t.equal((await cross(crossed)).problem, undefined)
    })
  }
}
