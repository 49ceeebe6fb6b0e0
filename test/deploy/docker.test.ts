import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import path from 'node:path'
import t, { type Test } from 'tap'
import { parseDuration } from '../../src/proxy/options.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { waitFor } from '../helpers/wait.ts'
import { listen } from '../proxy/passthrough-door.ts'
import { type Config, checkConfig, portOf, ROOT, read, skipWithoutCommand, stopTime, yaml } from './example.ts'

interface Instruction {
  readonly name: string
  readonly text: string
}

/** Instructions of a Dockerfile with their lines joined, in stages that begin with FROM. */
function stagesOf(dockerfile: string): Instruction[][] {
  const joined = dockerfile.replace(/^#.*\n/gm, '').replace(/\\\n\s*/g, ' ')
  const all = joined
    .split('\n')
    .filter(line => line.trim() !== '')
    .map(line => {
      const m = /^([A-Z]+) (.+)$/.exec(line)
      if (!m) throw new Error(`no instruction: ${line}`)
      return { name: m[1]!, text: m[2]! }
    })
  const stages: Instruction[][] = []
  for (const one of all) {
    if (one.name === 'FROM') stages.push([])
    stages.at(-1)!.push(one)
  }
  return stages
}

const stages = stagesOf(read('docker/Dockerfile'))
const last = stages.at(-1)!
const one = (name: string): string => last.find(i => i.name === name)!.text
const config = yaml('docker/catflap.yaml') as Config

t.test('the image is built in stages, and what runs is not what builds', async t => {
  t.equal(stages.length, 2)
  for (const stage of stages) {
    const [, major] = /^node:(\d+)-slim/.exec(stage[0]!.text) ?? []
    const { engines } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
      engines: { node: string }
    }
    t.ok(Number(major) >= Number(/\d+/.exec(engines.node)?.[0]), stage[0]!.text)
  }
  const copies = last.filter(i => i.name === 'COPY')
  t.ok(copies.every(i => i.text.startsWith('--from=build /build/')))
  t.notOk(last.some(i => i.name === 'RUN'))
  const allowed = new Set([
    'FROM',
    'LABEL',
    'ENV',
    'WORKDIR',
    'COPY',
    'USER',
    'EXPOSE',
    'HEALTHCHECK',
    'ENTRYPOINT',
    'CMD',
    'RUN'
  ])
  for (const { name } of stages.flat()) t.ok(allowed.has(name), name)
})

t.test('what is copied is there, and let through', async t => {
  const ignore = read('docker/Dockerfile.dockerignore')
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
  t.equal(ignore[0], '*')
  for (const { name, text } of stages[0]!) {
    if (name !== 'COPY') continue
    for (const source of text.split(' ').slice(0, -1)) {
      t.ok(existsSync(path.join(ROOT, source)), source)
      t.ok(ignore.includes(`!${source}`), `${source} is not ignored`)
    }
  }
})

t.test('nobody is root, and the entry is the built command', async t => {
  t.equal(one('USER'), 'node')
  const order = last.map(i => i.name)
  t.ok(order.indexOf('USER') < order.indexOf('ENTRYPOINT'))
  const entry = JSON.parse(one('ENTRYPOINT')) as string[]
  const { bin } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { bin: { catflap: string } }
  t.same(entry, ['node', `${one('WORKDIR')}/${bin.catflap}`])
  t.same((JSON.parse(one('CMD')) as string[]).slice(0, 2), ['reverse', '--config'])
})

t.test('ports are those of the file', async t => {
  t.equal(Number(one('EXPOSE')), portOf(config.listeners[0]!.address))
  t.match(one('HEALTHCHECK'), `http://127.0.0.1:${portOf(config.admin.address)}/livez`)
})

t.test('the health check tells who is well', async t => {
  trackLeaks(t)
  const command = JSON.parse(/CMD (\[.*\])$/.exec(one('HEALTHCHECK'))![1]!) as string[]
  let status = 200
  const server = createServer((req, res) => res.writeHead(req.url === '/livez' ? status : 404).end())
  const port = await listen(t, server)
  const check = async (at: number): Promise<unknown> => {
    const args = command.slice(1).map(arg => arg.replace(String(portOf(config.admin.address)), String(at)))
    const [code] = await waitFor(spawn(process.execPath, args, { stdio: 'ignore' }), 'exit', { timeoutMs: 20_000 })
    return code
  }
  t.equal(await check(port), 0)
  status = 503
  t.equal(await check(port), 1)
  t.equal(await check(1), 1)
})

interface Service {
  readonly image: string
  readonly build?: { readonly context: string; readonly dockerfile: string }
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
  readonly secrets?: readonly string[]
  readonly environment?: Record<string, string>
  readonly depends_on?: Record<string, { readonly condition: string }>
  readonly healthcheck?: { readonly test: readonly string[] }
  readonly stop_grace_period?: string
  readonly networks: readonly string[]
  readonly cap_drop: readonly string[]
  readonly read_only?: boolean
  readonly user?: string
}

t.test('the compose file fits the image, the file and the server', async t => {
  const compose = yaml('docker/compose.yaml') as {
    services: Record<string, Service>
    secrets: Record<string, { file: string }>
    networks: Record<string, unknown>
  }
  const { catflap, everything } = compose.services as { catflap: Service; everything: Service }
  const context = path.resolve(ROOT, 'examples/deploy/docker', catflap.build!.context)
  t.equal(`${context}/`, ROOT)
  t.ok(existsSync(path.join(context, catflap.build!.dockerfile)))
  const [file] = catflap.volumes!.map(v => v.split(':'))
  t.ok(existsSync(path.join(ROOT, 'examples/deploy/docker', file![0]!)))
  t.equal(file![1], (JSON.parse(one('CMD')) as string[])[2])
  t.match(catflap.ports, [`127.0.0.1:${portOf(config.listeners[0]!.address)}:${portOf(config.listeners[0]!.address)}`])
  for (const secret of catflap.secrets!) {
    t.ok(compose.secrets[secret]?.file)
    t.ok(config.routes.everything!.tokens!.includes(`file:/run/secrets/${secret}`))
  }
  const target = new URL(config.routes.everything!.target!)
  t.equal(compose.services[target.hostname], everything)
  t.equal(everything.environment?.PORT, target.port)
  t.equal(catflap.depends_on?.everything?.condition, 'service_healthy')
  t.match(everything.healthcheck!.test.at(-1), `connect(${target.port}`)
  t.ok(parseDuration(catflap.stop_grace_period!) > stopTime(config))
  t.same(catflap.cap_drop, ['ALL'])
  t.equal(catflap.read_only, true)
  t.ok(catflap.networks.some(n => everything.networks.includes(n)))
  for (const n of [...catflap.networks, ...everything.networks]) t.ok(n in compose.networks)
})

t.test('the server that it names is the one that is tried here', async t => {
  const manifest = path.join(ROOT, 'node_modules/@modelcontextprotocol/server-everything/package.json')
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
  t.match(read('docker/compose.yaml'), `@modelcontextprotocol/server-everything@${version}`)
})

t.test('the file is one that catflap takes', { skip: skipWithoutCommand('config') }, t =>
  checkConfig(t, read('docker/catflap.yaml'))
)

t.test('docker compose takes it', { skip: skipWithoutDocker(['compose', 'version']) }, async t => {
  const { status, stderr } = docker(['compose', '-f', 'examples/deploy/docker/compose.yaml', 'config', '--quiet'])
  t.equal(status, 0, stderr)
})

t.test(
  'the image is built, and is healthy',
  { skip: skipWithoutDocker(['image', 'inspect', 'node:24-slim']) },
  async t => {
    build(t)
  }
)

function build(t: Test): void {
  const { status, stderr } = docker(['build', '-f', 'examples/deploy/docker/Dockerfile', '-t', 'catflap-test', '.'])
  t.equal(status, 0, stderr)
  const help = docker(['run', '--rm', 'catflap-test', '--help'])
  t.equal(help.status, 0, help.stderr)
}

function docker(args: readonly string[]): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync('docker', args, { cwd: ROOT, encoding: 'utf8', timeout: 280_000 })
  return { status, stderr }
}

function skipWithoutDocker(probe: readonly string[]): false | string {
  const { status, error } = spawnSync('docker', probe, { stdio: 'ignore', timeout: 10_000 })
  return !error && status === 0 ? false : `docker ${probe.join(' ')} does not work on this machine`
}
