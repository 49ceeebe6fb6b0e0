// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references of configuration files look like that
import path from 'node:path'
import t, { type Test } from 'tap'
import { jsonSchema } from '../../src/config/schema.ts'
import { folderOf } from '../config/fixtures.ts'
import { runCatflap } from '../helpers/catflap.ts'
import { trackLeaks } from '../helpers/leaks.ts'

const GOOD = `listeners: [{ address: 127.0.0.1:7890 }]
defaults: { tokens: ['\${CONFIG_TEST_TOKEN}'] }
routes:
  files: { command: [node, server.js], tokens: [] }
  docs: { target: http://127.0.0.1:3001/mcp, path: /d/mcp, host: docs.example }
`

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

async function config(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const { exit, stdout, stderr } = runCatflap(['config', ...args], { json: false, env })
  const { code } = await exit
  return { code, stdout: stdout.items.join('\n'), stderr: stderr.items.join('\n') }
}

function fileOf(t: Test, text: string): string {
  return path.join(folderOf(t, { 'catflap.yaml': text }), 'catflap.yaml')
}

t.test('check: a file that is fine', async t => {
  trackLeaks(t)
  const file = fileOf(t, GOOD)
  const { code, stdout, stderr } = await config(['check', file], { CONFIG_TEST_TOKEN: 'a-token-that-is-long' })
  t.equal(stdout, `${file}: fine, 2 routes (files, docs), 1 listener at 127.0.0.1:7890`)
  t.equal(stderr, '')
  t.equal(code, 0)
})

t.test('check: all problems, as editors and terminals read them', async t => {
  trackLeaks(t)
  const file = fileOf(t, `${GOOD}listners: []\naccessLog: "\\u001b[31mred"\n`)
  const { code, stdout, stderr } = await config(['check', file])
  t.same(stdout.split('\n'), [
    `${file}:2:22: defaults.tokens[0]: the variable CONFIG_TEST_TOKEN is not set; give it a value in the environment, or write \${CONFIG_TEST_TOKEN:-default}`,
    `${file}:6:1: listners: no such key; did you mean 'listeners'?`,
    `${file}:7:12: accessLog: '\\u001b[31mred' is not allowed; give one of text, json, off`
  ])
  t.equal(stderr, '')
  t.equal(code, 1)
})

t.test('check: what is unwise goes to stderr, and is no failure', async t => {
  trackLeaks(t)
  const file = fileOf(t, 'routes: { a: { target: { url: https://a/mcp, insecure: true } } }\n')
  const { code, stdout, stderr } = await config(['check', file])
  t.match(stdout, /: fine, 1 route \(a\), 1 listener at 127\.0\.0\.1:7890$/)
  t.match(stderr, /^.*catflap\.yaml:1:\d+: warning: routes\.a\.target\.insecure: anybody between/)
  t.equal(code, 0)
})

t.test('check: a file that is not there', async t => {
  trackLeaks(t)
  const { code, stdout } = await config(['check', '/no/such/file.yaml'])
  t.equal(stdout, '/no/such/file.yaml:1:1: the file cannot be read: there is none')
  t.equal(code, 1)
})

t.test('schema', async t => {
  trackLeaks(t)
  const { code, stdout, stderr } = await config(['schema'])
  t.same(JSON.parse(stdout), JSON.parse(JSON.stringify(jsonSchema())))
  t.equal(stderr, '')
  t.equal(code, 0)
})

t.test('clients: entries for every route, without a token in them', async t => {
  trackLeaks(t)
  const file = fileOf(t, GOOD)
  const env = { CONFIG_TEST_TOKEN: 'a-token-that-is-long' }
  const [json, claude, vscode, elsewhere] = await Promise.all([
    config(['clients', file], env),
    config(['clients', file, '--for', 'claude'], env),
    config(['clients', file, '--for', 'vscode'], env),
    config(['clients', file, '--base-url', 'https://mcp.example.com:8443/base/'], env)
  ])
  const files = { type: 'http', url: 'http://127.0.0.1:7890/files/mcp' }
  const docs = { type: 'http', url: 'http://docs.example:7890/d/mcp' }
  t.same(JSON.parse(json.stdout), {
    mcpServers: { files, docs: { ...docs, headers: { Authorization: 'Bearer YOUR_TOKEN' } } }
  })
  t.same(claude.stdout.split('\n'), [
    'claude mcp add --transport http files http://127.0.0.1:7890/files/mcp',
    'claude mcp add --transport http docs http://docs.example:7890/d/mcp --header "Authorization: Bearer YOUR_TOKEN"'
  ])
  t.same(JSON.parse(vscode.stdout), {
    inputs: [{ type: 'promptString', id: 'catflap-token', description: 'Token for catflap', password: true }],
    servers: { files, docs: { ...docs, headers: { Authorization: 'Bearer ${input:catflap-token}' } } }
  })
  t.match(JSON.parse(elsewhere.stdout), {
    mcpServers: {
      files: { url: 'https://mcp.example.com:8443/base/files/mcp' },
      docs: { url: 'https://docs.example:8443/base/d/mcp' }
    }
  })
  for (const { code, stdout, stderr } of [json, claude, vscode, elsewhere]) {
    t.equal(code, 0)
    t.equal(stderr, '')
    t.notMatch(stdout, /a-token/)
  }
})

t.test('clients: without a port there is no URL', async t => {
  trackLeaks(t)
  const file = fileOf(t, 'listeners: [{ address: 0 }]\nroutes: { a: { target: http://a/ } }\n')
  const [unknown, wrong, broken] = await Promise.all([
    config(['clients', file]),
    config(['clients', file, '--base-url', 'mcp.example.com']),
    config(['clients', fileOf(t, 'routes: {}')])
  ])
  t.match(unknown.stderr, /the first listener takes any free port.*--base-url http:\/\/HOST:PORT/)
  t.equal(unknown.code, 2)
  t.match(wrong.stderr, /--base-url 'mcp\.example\.com' is no URL; write --base-url https:\/\//)
  t.equal(wrong.code, 2)
  t.match(broken.stderr, /catflap\.yaml:1:1: routes: is empty/)
  t.equal(broken.stdout, '')
  t.equal(broken.code, 1)
})

t.test('every command has help with an example', async t => {
  trackLeaks(t)
  const commands = [[], ['check'], ['schema'], ['clients']]
  for (const [i, { code, stdout, stderr }] of (
    await Promise.all(commands.map(one => config([...one, '--help'])))
  ).entries()) {
    const name = ['catflap', 'config', ...commands[i]!].join(' ')
    t.equal(code, 0, name)
    t.match(stdout, name)
    t.match(stdout, /\nExamples:/, name)
    t.equal(stderr, '', name)
  }
})

t.test('wrong usage', async t => {
  trackLeaks(t)
  const [none, noFile, form] = await Promise.all([
    config([]),
    config(['check']),
    config(['clients', 'x', '--for', 'emacs'])
  ])
  t.match(none.stderr, /Name what to do: check, schema or clients/)
  t.match(noFile.stderr, /'catflap config check' needs one more argument/)
  t.match(form.stderr, /--for emacs: give one of json, claude, vscode/)
  for (const { code } of [none, noFile, form]) t.equal(code, 2)
})
