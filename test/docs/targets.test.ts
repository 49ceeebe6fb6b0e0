import { readFileSync } from 'node:fs'
import t from 'tap'
import { checkSettings, healthSettings } from '../../src/proxy/health-settings.ts'

const page = readFileSync(new URL('../../docs/targets.md', import.meta.url), 'utf8')
/** What stands in the column of defaults. */
const documented = new Map([...page.matchAll(/^\| `(\w+)` \| ([^|]*) \|/gm)].map(m => [m[1], m[2]!.trim()]))

const inWords = (name: string, value: unknown): string => {
  if (typeof value === 'string') return `\`${value}\``
  return /jection|interval|timeout/.test(name) ? `${Number(value) / 1000} s` : String(value)
}

t.test('every option of health and its default is in it', async t => {
  const { kind: _, ...check } = checkSettings({ kind: 'http' })
  for (const [name, value] of Object.entries({ ...healthSettings({}), ...check }))
    t.equal(documented.get(name), inWords(name, value), name)
})
