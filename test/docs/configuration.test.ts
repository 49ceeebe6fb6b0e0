/** docs/configuration.md beside the schema, key by key. `TAP_SNAPSHOT=1` writes its tables anew. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { problemText } from '../../src/config/problems.ts'
import { readConfig, readConfigFile } from '../../src/config/read.ts'
import { folderOf } from '../config/fixtures.ts'
import { SERVER_TLS } from '../fixtures/tls/certificates.ts'
import { sections } from './config-reference.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PAGE = path.join(ROOT, 'docs/configuration.md')
const EXAMPLES = path.join(ROOT, 'examples/config')
const marker = (at: string): string => `<!-- keys: ${at === '' ? 'the file' : at} -->\n`

if (process.env.TAP_SNAPSHOT === '1') {
  let text = readFileSync(PAGE, 'utf8')
  for (const { path: at, table } of sections()) {
    const start = text.indexOf(marker(at))
    if (start < 0) continue
    const from = start + marker(at).length
    const end = text.indexOf('\n\n', from)
    text = `${text.slice(0, from)}${table}${end < 0 ? '\n' : text.slice(end)}`
  }
  writeFileSync(PAGE, text)
}

const page = readFileSync(PAGE, 'utf8')

for (const { path: at, table } of sections()) {
  t.test(`the keys of ${at === '' ? 'the file' : at}: values, defaults and meanings`, async t => {
    const start = page.indexOf(marker(at))
    if (start < 0) return t.fail(`no table ${marker(at)}`)
    const from = start + marker(at).length
    t.same(page.slice(from, page.indexOf('\n\n', from)).trimEnd().split('\n'), table.split('\n'))
  })
}

t.test('there is no table of keys that do not exist', async t => {
  const known = new Set(sections().map(s => (s.path === '' ? 'the file' : s.path)))
  const written = [...page.matchAll(/<!-- keys: (.*) -->/g)].map(m => m[1]!)
  t.same(
    written.filter(w => !known.has(w)),
    []
  )
  t.equal(written.length, known.size)
})

const ENV = {
  TEAM_TOKEN: 'a-token-for-the-team',
  TOKEN: 'a-token-for-examples',
  GITHUB_TOKEN: 'a-token-for-github',
  REDIS_PASSWORD: 'a-password-of-redis'
}

/** What the examples name, beside them. */
function besides(t: Test, example: string): string {
  const dir = folderOf(t, {
    'catflap.yaml': example,
    'tls/server.pem': SERVER_TLS.cert,
    'tls/server.key': SERVER_TLS.key,
    'secrets/store-key': `${'0a'.repeat(32)}\n`,
    'secrets/cluster-key': `${'a key of all catflaps '.repeat(2)}\n`,
    'secrets/payroll-token': 'a-token-for-payroll\n',
    'secrets/admin-token': 'a-token-for-operators\n'
  })
  mkdirSync(path.join(dir, 'tapes'))
  return path.join(dir, 'catflap.yaml')
}

t.test('the annotated example is the one in examples/, and is right', async t => {
  const example = readFileSync(path.join(EXAMPLES, 'team.yaml'), 'utf8')
  t.ok(page.includes(`\`\`\`yaml\n${example}\`\`\``))
  const { configuration, problems, warnings } = await readConfigFile(besides(t, example), { env: ENV })
  t.same(problems.map(problemText), [])
  t.same(warnings.map(problemText), [])
  const { routes, listeners } = configuration!.options
  t.same(Object.keys(routes), ['github', 'search', 'files', 'payroll'])
  t.equal(listeners!.length, 2)
  t.same(routes.github!.tokens, ['a-token-for-the-team'])
  t.same(routes.payroll!.tokens, ['a-token-for-payroll'])
  t.match(routes.files!.targets, { env: { LOG_LEVEL: 'info' } })
  for (const secret of ['a-token-for-github', 'a-token-for-operators']) t.ok(configuration!.secrets.includes(secret))
})

t.test('every example is right', async t => {
  for (const name of readdirSync(EXAMPLES)) {
    const file = besides(t, readFileSync(path.join(EXAMPLES, name), 'utf8'))
    const { problems } = await readConfigFile(file, { env: ENV })
    t.same(problems.map(problemText), [], name)
  }
})

t.test('the parts of files on the page are right', async t => {
  const parts = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(m => m[1]!)
  t.equal(parts.length, 4)
  for (const part of parts) {
    const whole = /^routes:/m.test(part) ? part : `${part}routes: { a: { target: 'http://127.0.0.1:3001/mcp' } }\n`
    const { problems } = await readConfigFile(besides(t, whole), { env: ENV })
    t.same(problems.map(problemText), [], part)
  }
})

t.test('what the page shows of problems is what is said', async t => {
  const [, text, said] = /```yaml-wrong\n([\s\S]*?)```[\s\S]*?```text\n([\s\S]*?)```/.exec(page) ?? []
  const { problems } = await readConfig(text!, { file: 'catflap.yaml', env: {} })
  t.same(problems.map(problemText), said!.trimEnd().split('\n'))
})
