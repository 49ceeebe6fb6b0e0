/**
 * How fast is catflap, beside a relay that does nothing else?
 *
 *   npm run bench -- [--quick] [--rounds 5] [--seconds 3] [--connections 32] [--peers relay,catflap]
 *                    [--against DIR] [--profile DIR] [--out FILE]
 *
 * A session's `tools/call`, 32 connections of wrk, a static answer of nginx behind. All peers run at once, each loaded in turn
 * (A B C A B C …), so that whatever else the machine does meets all of them. Only ratios of medians say anything.
 * `--against DIR` adds the catflap of another checkout; `--profile DIR` leaves V8 CPU profiles of catflap there.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { openSession, runLoad } from './load.ts'
import { startNginx } from './nginx.ts'
import { missingPrograms, type Peer, startProcess } from './process.ts'
import { type Result, type Round, table } from './report.ts'

interface Options {
  readonly rounds: number
  readonly seconds: number
  readonly connections: number
  readonly peers: readonly string[]
  readonly against: string | undefined
  readonly profile: string | undefined
  readonly out: string
}

const ROOT = path.join(import.meta.dirname, '..')
const DEFAULT_PEERS = ['direct', 'relay', 'bare-relay', 'catflap', 'catflap-recording']

function optionsOf(argv: string[]): Options {
  const { values } = parseArgs({
    args: argv,
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      connections: { type: 'string' },
      peers: { type: 'string' },
      against: { type: 'string' },
      profile: { type: 'string' },
      out: { type: 'string' }
    }
  })
  const whole = (name: 'rounds' | 'seconds' | 'connections', otherwise: number): number => {
    const value = Number(values[name] ?? otherwise)
    if (!Number.isSafeInteger(value) || value < 1)
      throw new TypeError(`--${name}: '${values[name]}' is not allowed; give a whole number from 1`)
    return value
  }
  const possible = [...DEFAULT_PEERS, ...(values.against === undefined ? [] : ['against'])]
  const peers = values.peers?.split(',') ?? possible
  for (const peer of peers)
    if (!possible.includes(peer))
      throw new TypeError(`--peers: '${peer}' is not known; choose from ${possible.join(', ')}`)
  return {
    rounds: whole('rounds', 5),
    seconds: whole('seconds', values.quick ? 1 : 4),
    connections: whole('connections', 32),
    peers,
    against: values.against,
    profile: values.profile,
    out: values.out ?? path.join(os.tmpdir(), `catflap-bench-${Date.now()}.json`)
  }
}

interface Runner extends Peer {
  readonly name: string
  readonly session: string
  readonly rounds: Round[]
  failed?: string
}

async function start(name: string, options: Options, upstream: Peer, folder: string): Promise<Peer> {
  switch (name) {
    case 'direct':
      // It is stopped once, as the upstream of all.
      return { ...upstream, stop: async () => {} }
    case 'relay':
      return startProcess(node([path.join(ROOT, 'bench/relay.ts'), 'plain', upstream.url]))
    case 'bare-relay':
      return startProcess(node([path.join(ROOT, 'bench/relay.ts'), 'bare', upstream.url]))
    case 'catflap':
      return startProcess(node(catflap(ROOT, upstream), options.profile))
    case 'catflap-recording':
      return startProcess(node(catflap(ROOT, upstream, '--record', path.join(folder, 'bench.tape.jsonl'))))
    default:
      return startProcess(node(catflap(options.against!, upstream)))
  }
}

function node(args: readonly string[], profile?: string): [string, ...string[]] {
  const profiler = profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', path.resolve(profile)]
  return [process.execPath, '--no-warnings', ...profiler, ...args]
}

function catflap(root: string, upstream: Peer, ...options: string[]): string[] {
  return [
    path.join(root, 'bin/catflap.ts'),
    'forward',
    '--listen',
    '0',
    '--log-format',
    'json',
    ...options,
    upstream.url
  ]
}

async function round(runner: Runner, options: Options, folder: string): Promise<Round> {
  const { connections, seconds } = options
  const before = runner.cpu()
  const load = await runLoad({ url: runner.url, session: runner.session, connections, seconds, folder })
  const after = runner.cpu()
  const cpu = before === undefined || after === undefined ? undefined : ((after - before) * 1000) / load.requests
  return { rate: load.rate, p50: load.p50, p99: load.p99, cpu }
}

async function rounds(runners: readonly Runner[], options: Options, folder: string): Promise<void> {
  // The first time round the code is still cold: it does not count.
  for (let i = 0; i <= options.rounds; i++) {
    for (const runner of runners) {
      if (runner.failed !== undefined) continue
      try {
        const result = await round(runner, options, folder)
        if (i > 0) runner.rounds.push(result)
      } catch (error) {
        runner.failed = error instanceof Error ? error.message : String(error)
      }
    }
    process.stderr.write(i === 0 ? 'warm' : ` ${i}`)
  }
  process.stderr.write('\n')
}

async function run(options: Options): Promise<Result[]> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'catflap-bench-'))
  const started: Peer[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(started.map(peer => peer.stop()))
    await rm(folder, { recursive: true, force: true })
  }
  const interrupted = (): void => void stop().finally(() => process.exit(130))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted)
  try {
    const upstream = await startNginx(folder)
    started.push(upstream)
    const runners: Runner[] = []
    for (const name of options.peers) {
      const peer = await start(name, options, upstream, folder)
      started.push(peer)
      runners.push({ ...peer, name, session: await openSession(peer.url), rounds: [] })
    }
    await rounds(runners, options, folder)
    return runners.map(({ name, rounds, failed }) => ({ peer: name, rounds, failed }))
  } finally {
    await stop()
  }
}

function machine(): Record<string, string | number> {
  const cpus = os.cpus()
  return {
    cpu: cpus[0]?.model ?? '?',
    cores: cpus.length,
    memory: os.totalmem(),
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    node: process.version
  }
}

function refuse(why: string, code: number): never {
  process.stderr.write(`bench: ${why}\n`)
  process.exit(code)
}

function checkedOptions(): Options {
  try {
    return optionsOf(process.argv.slice(2))
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error), 2)
  }
}

async function main(): Promise<void> {
  const options = checkedOptions()
  const missing = missingPrograms(['nginx', 'wrk'])
  if (missing.length > 0)
    refuse(`${missing.join(' and ')} not found; on Debian: apt-get install ${missing.join(' ')}`, 1)
  const load = os.loadavg()
  const results = await run(options)
  const { rounds: count, seconds, connections } = options
  process.stdout.write(`${table(results, 'relay')}\n`)
  process.stdout.write(`${count} rounds of ${seconds} s, ${connections} connections; medians\n`)
  const raw = { at: new Date().toISOString(), machine: machine(), load, options, results }
  await writeFile(options.out, `${JSON.stringify(raw, null, 2)}\n`)
  process.stdout.write(`raw data: ${options.out}\n`)
  if (results.some(r => r.failed !== undefined)) process.exitCode = 1
}

await main()
