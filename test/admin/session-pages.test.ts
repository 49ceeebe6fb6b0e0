import fc from 'fast-check'
import t from 'tap'
import { sessionPage } from '../../src/admin/session-pages.ts'
import type { SessionView } from '../../src/admin/subject.ts'

const view = (handle: string, createdAt: number, route = 'a'): SessionView => ({
  handle,
  route,
  transport: 'http',
  createdAt,
  lastSeenAt: createdAt,
  inFlight: 0
})

const some = fc.array(
  fc.record({
    handle: fc.integer({ min: 0, max: 999 }),
    createdAt: fc.integer({ min: 0, max: 20 }),
    route: fc.constantFrom('a', 'b')
  }),
  { maxLength: 120 }
)

/** Distinct, as sessions are. */
function views(records: readonly { handle: number; createdAt: number; route: string }[]): SessionView[] {
  const all = records.map(r => view(`s-${r.handle}`, r.createdAt, r.route))
  return [...new Map(all.map(s => [`${s.createdAt} ${s.handle} ${s.route}`, s])).values()]
}

t.test('a pass over all pages gives each session that lives throughout exactly once, in order of age', async () => {
  fc.assert(
    fc.property(some, some, fc.integer({ min: 1, max: 10 }), (stay, come, limit) => {
      const lasting = views(stay)
      const known = new Set(lasting.map(s => s.handle))
      const passing = views(come).filter(s => !known.has(s.handle))
      const seen: SessionView[] = []
      let cursor: string | undefined
      for (let i = 0; ; i++) {
        // Others are there on every second page only.
        const page = sessionPage(i % 2 === 0 ? lasting : [...passing, ...lasting], { limit, cursor })
        if (page.sessions.length > limit) return false
        seen.push(...page.sessions)
        cursor = page.cursor
        if (cursor === undefined) break
      }
      const ages = seen.map(s => s.createdAt)
      const mine = seen.filter(s => known.has(s.handle))
      return (
        mine.length === lasting.length &&
        new Set(mine).size === mine.length &&
        ages.every((a, i) => i === 0 || ages[i - 1]! <= a)
      )
    })
  )
})

t.test('of one route only, where that is asked', async t => {
  const all = [view('s-1', 1, 'a'), view('s-2', 2, 'b'), view('s-3', 3, 'a')]
  const page = sessionPage(all, { limit: 1, route: 'a' })
  t.same(
    page.sessions.map(s => s.handle),
    ['s-1']
  )
  const next = sessionPage(all, { limit: 1, route: 'a', cursor: page.cursor })
  t.same([next.sessions.map(s => s.handle), next.cursor], [['s-3'], undefined])
})

t.test('whatever else comes as a cursor is refused', async t => {
  fc.assert(
    fc.property(fc.string(), text => {
      try {
        sessionPage([], { limit: 1, cursor: text })
        return Array.isArray(JSON.parse(Buffer.from(text, 'base64url').toString()))
      } catch (error) {
        return (error as { code?: string }).code === 'invalid_parameter'
      }
    })
  )
  t.throws(() => sessionPage([], { limit: 1, cursor: 'x'.repeat(100_000) }), { code: 'invalid_parameter' })
})
