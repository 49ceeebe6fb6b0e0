/** Any order of operations, against a model that is too simple to be wrong. */
import fc from 'fast-check'
import t from 'tap'
import type { NewSession, SessionRecord, SessionStore } from '../../src/session/store.ts'
import { listAll, type MakeStore, newSession, type StoreSettings } from './session-store-harness.ts'

interface Known {
  version: number
  createdAt: number
  lastSeenAt: number
  claimedAt: number
  facts: NewSession['facts']
}

interface Model {
  readonly settings: StoreSettings
  readonly sessions: Map<string, Known>
  now: number
}

interface Real {
  readonly store: SessionStore
  advance(ms: number): Promise<void>
}

interface Command extends fc.AsyncCommand<Model, Real> {}

const SETTINGS: StoreSettings = { maxSessions: 4, idleTtl: 100, maxTtl: 130, claimTtl: 50 }

export function sessionStoreModel(name: string, makeStore: MakeStore, { numRuns = 500 } = {}): void {
  t.test(`${name}: any order of operations does what the model says`, async () => {
    const commands = fc.commands(commandArbitraries(), { maxCommands: 100, size: 'max' })
    const property = fc.asyncProperty(commands, async run => {
      const { store, advance } = await makeStore(SETTINGS)
      try {
        const real: Real = { store, advance: async ms => advance(ms) }
        await fc.asyncModelRun(() => ({ model: { settings: SETTINGS, sessions: new Map(), now: 0 }, real }), run)
      } finally {
        await store.close()
      }
    })
    await fc.assert(property, { numRuns })
  })
}

function commandArbitraries(): fc.Arbitrary<Command>[] {
  const id = fc.constantFrom('a', 'b', 'c', 'd', 'e')
  const facts = fc.dictionary(fc.string({ maxLength: 3 }), fc.integer(), { maxKeys: 2 })
  return [
    id.map(create),
    id.map(create),
    id.map(get),
    id.map(touch),
    id.map(touch),
    id.map(remove),
    fc.tuple(id, fc.integer({ min: 1, max: 3 }), facts).map(update),
    fc.integer({ min: 1, max: 60 }).map(advance),
    fc.integer({ min: 1, max: 4 }).map(reap),
    fc.integer({ min: 1, max: 4 }).map(list)
  ]
}

function alive({ settings, now }: Model, known: Known | undefined): boolean {
  return !!known && now - known.lastSeenAt < settings.idleTtl && now - known.createdAt < settings.maxTtl
}

function command(text: string, run: (model: Model, real: Real) => Promise<void>): Command {
  return { check: () => true, run, toString: () => text }
}

function create(id: string): Command {
  return command(`create ${id}`, async (model, { store }) => {
    const taken = model.sessions.has(id)
    const full = model.sessions.size >= model.settings.maxSessions
    const code = await codeOf(() => store.create(newSession(id)))
    expect(code, taken ? 'session_exists' : full ? 'session_store_full' : undefined)
    if (code) return
    const now = model.now
    model.sessions.set(id, { version: 1, createdAt: now, lastSeenAt: now, claimedAt: -Infinity, facts: {} })
  })
}

function get(id: string): Command {
  return command(`get ${id}`, async (model, { store }) => same(model, id, await store.get(id)))
}

function touch(id: string): Command {
  return command(`touch ${id}`, async (model, { store }) => {
    const known = model.sessions.get(id)
    const here = alive(model, known)
    expect(await store.touch(id), here)
    if (here) known!.lastSeenAt = model.now
  })
}

function remove(id: string): Command {
  return command(`delete ${id}`, async (model, { store }) => {
    const record = await store.delete(id)
    expect(record?.version, model.sessions.get(id)?.version)
    model.sessions.delete(id)
  })
}

function update([id, version, facts]: [string, number, Record<string, number>]): Command {
  return command(`update ${id} ${version}`, async (model, { store }) => {
    const known = model.sessions.get(id)
    const result = await store.update(id, version, { facts })
    expect(result.ok, alive(model, known) && known?.version === version)
    if (result.ok && known) {
      known.version++
      known.facts = facts
    }
    same(model, id, result.ok ? result.record : result.current)
  })
}

function advance(ms: number): Command {
  return command(`advance ${ms}`, async (model, real) => {
    model.now += ms
    await real.advance(ms)
    expect(await real.store.count(), [...model.sessions.values()].filter(known => alive(model, known)).length)
  })
}

function reap(limit: number): Command {
  return command(`expired ${limit}`, async (model, { store }) => {
    const due = new Set<string>()
    for (const [id, known] of model.sessions) {
      if (!alive(model, known) && model.now - known.claimedAt >= model.settings.claimTtl) due.add(id)
    }
    const records = await store.expired(limit)
    expect(records.length, Math.min(limit, due.size))
    for (const { id, version } of records) {
      const known = model.sessions.get(id)
      if (!known || !due.delete(id)) throw new Error(`${id} was not due`)
      expect(version, known.version)
      known.claimedAt = model.now
    }
  })
}

function list(limit: number): Command {
  return command(`list by ${limit}`, async (model, { store }) => {
    const ids = (await listAll(store, limit)).map(record => record.id).sort()
    const living = [...model.sessions].filter(([, known]) => alive(model, known)).map(([id]) => id)
    expect(ids.join(), living.sort().join())
  })
}

/** Times are compared as ages, since the store's clock starts elsewhere. */
function same(model: Model, id: string, record: SessionRecord | undefined): void {
  const known = model.sessions.get(id)
  expect(record?.id, alive(model, known) ? id : undefined)
  if (!known || !record) return
  expect(record.version, known.version)
  expect(JSON.stringify(record.facts), JSON.stringify(known.facts))
  expect(record.lastSeenAt - record.createdAt, known.lastSeenAt - known.createdAt)
}

async function codeOf(use: () => unknown): Promise<unknown> {
  try {
    await use()
  } catch (error) {
    return (error as { code?: unknown }).code
  }
  return undefined
}

function expect(actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`expected ${String(expected)}, got ${String(actual)}`)
}
