/** docs/compatibility.md: its tables, made from what came out, and the places where they stand. */
import { CROSSINGS, type Crossing } from './crossings.ts'
import { CELLS, type Cell, WIRE_NAMES, WIRES } from './matrix.ts'
import { REVISIONS } from './revisions.ts'

/** A cell in words; `fails` is never committed, as a test compares. */
export type Outcome = 'works' | 'fails' | 'impossible'

const WORDS: Readonly<Record<Outcome, string>> = { works: 'works', fails: 'FAILS', impossible: '–' }
const SPEAKERS: Readonly<Record<Crossing['client' | 'server'], string>> = {
  legacy: '2025-11-25 or earlier',
  modern: '2026-07-28',
  auto: 'both',
  dual: 'both'
}

export function pairingTable(outcomeOf: (cell: Cell) => Outcome): string {
  const rows = WIRES.flatMap(client =>
    WIRES.map(server => {
      const cells = CELLS.filter(cell => cell.client === client && cell.server === server)
      return [WIRE_NAMES[client], WIRE_NAMES[server], ...cells.map(cell => WORDS[outcomeOf(cell)])]
    })
  )
  return table(['client on', 'server on', ...REVISIONS], rows)
}

export function crossingTable(): string {
  const rows = CROSSINGS.map(({ client, server, instead }) => [SPEAKERS[client], SPEAKERS[server], instead])
  return table(['the client speaks', 'the server speaks', 'what happens'], rows)
}

/** The page with `text` between the comments `<!-- name -->` and `<!-- /name -->`. */
export function withBlock(page: string, name: string, text: string): string {
  const [begin, end] = [`<!-- ${name} -->\n`, `\n<!-- /${name} -->`]
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`the page has no ${begin.trim()} … ${end.trim()}`)
  return page.slice(0, from + begin.length) + text + page.slice(to)
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n')
}
