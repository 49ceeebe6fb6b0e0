/** The example for GitHub Actions: that it has the form of a workflow, and that its commands do what it says. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parse } from 'yaml'
import { callTool, command, recorded } from '../replay/replay-stage.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const ENTRY = path.join(ROOT, 'bin/catflap.ts')
const workflow = parse(readFileSync(path.join(ROOT, 'examples/ci/drift-gate.yml'), 'utf8')) as Workflow

interface Workflow {
  readonly on: Readonly<Record<string, unknown>>
  readonly permissions: Readonly<Record<string, string>>
  readonly jobs: Readonly<Record<string, { 'runs-on': string; 'timeout-minutes': number; steps: readonly Step[] }>>
}

interface Step {
  readonly uses?: string
  readonly run?: string
}

const steps = Object.values(workflow.jobs).flatMap(job => job.steps)

t.test('it is a workflow that may do nothing but read', async t => {
  t.match(Object.keys(workflow), ['name', 'on', 'permissions', 'jobs'])
  t.ok('pull_request' in workflow.on)
  t.same(workflow.permissions, { contents: 'read' })
  for (const job of Object.values(workflow.jobs)) {
    t.type(job['runs-on'], 'string')
    t.ok(job['timeout-minutes'] > 0)
  }
  for (const { uses, run } of steps) {
    t.ok((uses === undefined) !== (run === undefined), 'a step uses or runs something')
    if (uses !== undefined) t.match(uses, /^actions\/[a-z-]+@v\d+$/)
  }
})

t.test(
  'its commands pass with the server that was recorded, and leave their reports',
  { timeout: 120_000 },
  async t => {
    const { file } = await recorded(t, { client: 'http', server: 'stdio' }, async c => {
      await c.client.listTools()
      return await callTool(c, 'add', { a: 1, b: 2 })
    })
    const cwd = path.dirname(file)
    const commands = steps.flatMap(({ run = '' }) => /^npx -y catflap (verify .*)$/.exec(run)?.[1] ?? [])
    t.equal(commands.length, 2)
    for (const line of commands) {
      const [args, server] = line.split(' -- ') as [string, string]
      t.equal(server, 'node server.js')
      const argv = args.split(' ').map(word => (word.endsWith('.tape.jsonl') ? file : word))
      const run = spawn(process.execPath, ['--no-warnings', ENTRY, ...argv, '--', ...command('legacy')], { cwd })
      let said = ''
      for (const stream of [run.stdout, run.stderr]) stream.on('data', (chunk: Buffer) => void (said += chunk))
      const [code] = (await once(run, 'close')) as [number]
      t.equal(code, 0, `${line}: ${said}`)
      const report = /junit=(\S+)/.exec(line)![1]!
      t.ok(existsSync(path.join(cwd, report)), report)
      t.match(readFileSync(path.join(cwd, report), 'utf8'), /^<\?xml[\s\S]*<testsuites?[ >]/)
    }
  }
)
