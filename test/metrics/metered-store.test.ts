import t from 'tap'
import { MeteredStore, StoreNumbers } from '../../src/metrics/metered-store.ts'
import { LentStores } from '../../src/proxy/lent-stores.ts'
import { MemorySessionStore } from '../../src/session/memory-store.ts'
import { SealError } from '../../src/session/redis/seal.ts'
import { SessionStoreUnavailableError } from '../../src/session/store.ts'
import { fails } from '../contract/session-store-harness.ts'

/** As one that several processes share. */
class SharedStore extends MemorySessionStore {
  readonly shared = true
  readonly #marks = new Set<string>()
  following = 0
  failing: Error | undefined

  follow(_id: string, changed: (ended: boolean) => void): () => void {
    this.following++
    changed(false)
    return () => void this.following--
  }

  async mark(id: string, mark: string): Promise<void> {
    this.#marks.add(`${id} ${mark}`)
  }

  async marked(id: string, mark: string): Promise<boolean> {
    if (this.failing) throw this.failing
    return this.#marks.has(`${id} ${mark}`)
  }
}

const around = {
  counted: (store: MemorySessionStore) => new MeteredStore(store, new StoreNumbers()),
  lent: (store: MemorySessionStore) => new LentStores().lend(store, true)
}

for (const [name, wrap] of Object.entries(around)) {
  t.test(`a store that is ${name} can what it can, and no more`, async t => {
    const shared = new SharedStore()
    const store = wrap(shared)
    t.equal(store.shared, true)
    let changes = 0
    const stop = store.follow!('a', () => void changes++)
    t.same([shared.following, changes], [1, 1])
    stop()
    t.equal(shared.following, 0)
    t.equal(await store.marked!('a', 'm'), false)
    await store.mark!('a', 'm')
    t.equal(await store.marked!('a', 'm'), true)
    const own = wrap(new MemorySessionStore())
    t.notOk(own.shared)
    t.same([own.follow, own.mark, own.marked], [undefined, undefined, undefined])
  })
}

t.test('the errors of a store in Redis are told apart', async t => {
  const shared = new SharedStore()
  const numbers = new StoreNumbers()
  const store = new MeteredStore(shared, numbers)
  for (const error of [new SessionStoreUnavailableError('redis', 'gone'), new SealError('another key')]) {
    shared.failing = error
    t.equal(await fails(() => store.marked!('a', 'm')), error)
  }
  const told = numbers.operations.cells.map(({ attributes }) => attributes['error.type'])
  t.same(told, ['session_store_unavailable', 'session_store_sealed'])
})
