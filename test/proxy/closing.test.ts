/** Closing goes on whatever one part does. */
import t from 'tap'
import type { Log } from '../../src/log.ts'
import { closeAll } from '../../src/proxy/closing.ts'
import { createForward } from '../../src/proxy/forward.ts'
import { MemorySessionStore } from '../../src/session/memory-store.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { folderOf } from '../tape/fixtures.ts'

function logInto(lines: string[]): Log {
  const put = (event: string, text: string): void => void lines.push(`${event}: ${text}`)
  return { debug() {}, info() {}, warn: put, error: put }
}

t.test('a step that fails, throws or hangs is logged, and the others are run', async t => {
  trackLeaks(t)
  const lines: string[] = []
  const done: string[] = []
  await closeAll(
    [
      ['a', async () => Promise.reject(new Error('lost'))],
      [
        'b',
        () => {
          throw new Error('broken')
        }
      ],
      ['c', () => new Promise(() => {})],
      ['d', () => undefined],
      ['e', async () => done.push('e')]
    ],
    20,
    logInto(lines)
  )
  t.same(done, ['e'])
  t.same(lines, [
    'close-failed: closing a failed: lost',
    'close-failed: closing b failed: broken',
    'close-failed: closing c failed: it did not end within 20 ms and was left'
  ])
})

t.test('a store that cannot be closed keeps nothing open', async t => {
  trackLeaks(t)
  const lines: string[] = []
  const store = new MemorySessionStore({ maxSessions: 1, idleTtl: 1000, maxTtl: 1000 })
  const close = store.close.bind(store)
  store.close = async () => {
    await close()
    throw new Error('the store is gone')
  }
  const proxy = await createForward({ target: { url: 'http://127.0.0.1:9/mcp' }, store, log: logInto(lines) })
  await proxy.close()
  t.match(lines.join('\n'), /the store is gone/)
  await t.rejects(fetch(proxy.url!))
})

t.test('a start that fails closes the tape', { skip: process.platform !== 'linux' && 'needs /proc' }, async t => {
  const { readdirSync, readlinkSync } = await import('node:fs')
  const folder = await folderOf(t)
  const open = (): string[] =>
    readdirSync('/proc/self/fd').flatMap(fd => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(folder) ? [fd] : []
      } catch {
        return []
      }
    })
  const record = { path: `${folder}/a.tape.jsonl` }
  await t.rejects(createForward({ target: { url: 'ftp://127.0.0.1/' }, record }), { name: 'TypeError' })
  t.same(open(), [])
})
