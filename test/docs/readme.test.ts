/** The recipes of the README are run as they stand there, with what is in this repository in the place of what npx would fetch. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { startCatflap } from '../helpers/catflap.ts'
import { connectHttp, connectStdio } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const README = readFileSync(path.join(ROOT, 'README.md'), 'utf8')
const CATFLAP = [process.execPath, '--no-warnings', path.join(ROOT, 'bin/catflap.ts')]
const EVERYTHING = [
  process.execPath,
  path.join(ROOT, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js')
]

interface Entry {
  readonly type?: string
  readonly command?: string
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly url?: string
}

interface Recipe {
  readonly heading: string
  readonly servers: Readonly<Record<string, Entry>>
}

/** The JSON blocks, under the headings they stand under. */
const recipes: Recipe[] = README.split(/^### /m)
  .slice(1)
  .flatMap(section =>
    [...section.matchAll(/```json\n([\s\S]*?)```/g)].map(([, json]) => {
      const config = JSON.parse(json!) as { mcpServers?: Recipe['servers']; servers?: Recipe['servers'] }
      return { heading: section.split('\n', 1)[0]!, servers: config.mcpServers ?? config.servers ?? {} }
    })
  )

function localArgv(words: readonly string[]): [string, ...string[]] {
  const text = words
    .join('\0')
    .replace(/npx\0-y\0catflap(?=\0|$)/g, CATFLAP.join('\0'))
    .replace(/npx\0-y\0@modelcontextprotocol\/server-everything(?=\0|$)/g, EVERYTHING.join('\0'))
  return text.split('\0') as [string, ...string[]]
}

/** Somewhere for default tapes that is no user's. */
function state(t: Test): { dir: string; env: Record<string, string> } {
  const dir = mkdtempSync(path.join(tmpdir(), 'catflap-readme-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  return { dir, env: { XDG_STATE_HOME: dir, LOCALAPPDATA: dir, HOME: dir, XDG_RUNTIME_DIR: dir } }
}

function tapesIn(dir: string): string[] {
  return readdirSync(dir, { recursive: true })
    .map(String)
    .filter(name => name.endsWith('.tape.jsonl'))
}

async function listsTools(t: Test, argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<void> {
  trackLeaks(t)
  const { dir, env: own } = state(t)
  const [command, ...args] = localArgv(argv)
  t.notMatch([command, ...args].join(' '), /\bnpx\b/, 'nothing is left to fetch')
  const client = await connectStdio({ command, args, env: { ...own, ...env } })
  t.ok((await client.client.listTools()).tools.some(tool => tool.name === 'echo'))
  await client.close()
  const records = argv.includes('--record')
  t.equal(tapesIn(dir).length, records ? 1 : 0, records ? 'one tape was recorded' : 'no tape was recorded')
}

t.test('there is a recipe for each client, in the form it reads', async t => {
  const keys = [...README.matchAll(/"(mcpServers|servers)": \{/g)].map(m => m[1])
  t.same(
    recipes.map(r => r.heading),
    ['Claude Code', 'Cursor', 'VS Code', 'Any other client', 'By URL']
  )
  t.same(keys, ['mcpServers', 'mcpServers', 'servers', 'mcpServers', 'mcpServers'])
})

for (const { heading, servers } of recipes) {
  for (const entry of Object.values(servers)) {
    if (entry.command === undefined) continue
    t.test(`the entry for ${heading} works as it stands`, t =>
      listsTools(t, [entry.command!, ...(entry.args ?? [])], entry.env)
    )
  }
}

t.test('the command for Claude Code works as it stands', async t => {
  const line = /^claude mcp add \S+ -- (npx .*)$/m.exec(README)?.[1]
  await listsTools(t, line?.split(' ') ?? [])
})

t.test('by URL', async t => {
  trackLeaks(t)
  const { dir, env } = state(t)
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const section = README.slice(README.indexOf('### By URL'))
  const line = /^npx -y (catflap forward .*)$/m.exec(section)![1]!
  const [, ...args] = line.replace('http://127.0.0.1:3001/mcp', server.url).split(' ')
  // The port of the recipe may be taken on the machine that runs the tests.
  const catflap = await startCatflap([...args, '--listen', '0'], { env })
  t.teardown(() => catflap.close())
  const entry = recipes.find(r => r.heading === 'By URL')!.servers.everything!
  t.equal(new URL(entry.url!).pathname, new URL(catflap.url).pathname)
  t.equal(entry.type, 'http')
  t.ok(section.includes(`claude mcp add --transport http everything ${entry.url}`))
  const client = await connectHttp(entry.url!.replace(':7890', `:${new URL(catflap.url).port}`))
  t.ok((await client.client.listTools()).tools.some(tool => tool.name === 'echo'))
  await client.terminate()
  await client.close()
  await catflap.close()
  t.equal(tapesIn(dir).length > 0, true)
})

t.test('the port that the recipes name is the default', async t => {
  const options = readFileSync(path.join(ROOT, 'docs/options.md'), 'utf8')
  t.match(options, '| `--listen` | `[host:]port` | `127.0.0.1:7890` |')
})

t.test('every page of the documentation is linked, and every link leads somewhere', async t => {
  const pages = readdirSync(path.join(ROOT, 'docs')).filter(name => name.endsWith('.md'))
  for (const page of pages) t.ok(README.includes(`(docs/${page})`), page)
  for (const file of ['README.md', 'CHANGELOG.md', ...pages.map(p => `docs/${p}`)]) {
    const text = readFileSync(path.join(ROOT, file), 'utf8')
    for (const [, link] of text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      if (/^[a-z]+:/.test(link!)) continue
      t.doesNotThrow(() => readFileSync(path.join(ROOT, path.dirname(file), link!)), `${file}: ${link}`)
    }
  }
})
