import { existsSync, readdirSync, readFileSync } from 'node:fs'
import t from 'tap'

const root = new URL('../../', import.meta.url)
const page = readFileSync(new URL('docs/architecture.md', root), 'utf8')

t.test('every file it names exists', async t => {
  const named = new Set([...page.matchAll(/`((?:src|bin|test)\/[\w./-]*)`/g)].map(m => m[1]!))
  t.ok(named.size > 20)
  for (const name of named) t.ok(existsSync(new URL(name, root)), name)
})

t.test('every folder of src is in it, and every interceptor', async t => {
  for (const entry of readdirSync(new URL('src', root), { withFileTypes: true })) {
    const used = entry.isDirectory() && readdirSync(new URL(`src/${entry.name}`, root)).length > 0
    if (used) t.ok(page.includes(`\`src/${entry.name}/\``), entry.name)
  }
  for (const name of readdirSync(new URL('src/interceptors', root))) t.ok(page.includes(name), name)
})
