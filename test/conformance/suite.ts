/** Runs the official conformance suite against a URL, and reads what it found. */
import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Check, Revision, Run, Status } from './compare.ts'

export interface SuiteOptions {
  /** Only this scenario. */
  readonly scenario?: string
  /** Where the suite's own results are left; default: nowhere. */
  readonly keep?: string
  /** After which the suite fails a scenario; default 30000. It is ended itself when it is silent for much longer. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** A stable folder for the package, should it not be where Node finds it. */
const OVERRIDE = 'CATFLAP_CONFORMANCE'
const PACKAGE = '@modelcontextprotocol/conformance'

const GRACE_MS = 20_000

export async function runSuite(url: string, revision: Revision, options: SuiteOptions = {}): Promise<Run> {
  const folder = mkdtempSync(join(tmpdir(), 'catflap-conformance-'))
  const which = options.scenario === undefined ? ['--suite', 'all'] : ['--scenario', options.scenario]
  const { timeoutMs = 30_000, signal } = options
  const args = [
    'server',
    '--url',
    url,
    ...which,
    '--spec-version',
    revision,
    '--timeout',
    String(timeoutMs),
    '-o',
    folder
  ]
  try {
    const problem = await run([suiteEntry(), ...args], timeoutMs + GRACE_MS, signal)
    return { ...readResults(folder), ...(problem !== undefined && { problem }) }
  } finally {
    if (options.keep !== undefined) cpSync(folder, options.keep, { recursive: true })
    rmSync(folder, { recursive: true, force: true })
  }
}

function suiteEntry(): string {
  const folder = process.env[OVERRIDE] ?? join(import.meta.dirname, '../../node_modules', PACKAGE)
  const entry = join(folder, 'dist/index.js')
  if (!existsSync(entry))
    throw new Error(`${PACKAGE} is not at ${folder}: npm install, or set ${OVERRIDE} to its folder`)
  return entry
}

/** Resolves with what went wrong, if that is more than failed checks (exit code 1). */
function run(args: readonly string[], silenceMs: number, signal?: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const suite = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' })
    let last = ''
    let silent = false
    const timer = setTimeout(() => {
      silent = true
      suite.kill('SIGKILL')
    }, silenceMs)
    const hear = (chunk: Buffer) => {
      last = (last + chunk).slice(-2_000)
      timer.refresh()
    }
    suite.stdout.on('data', hear)
    suite.stderr.on('data', hear)
    // Waiting for `close` also after an abort, so that nothing of it is left when this returns.
    let failed: Error | undefined
    suite.once('error', error => void (failed = error))
    suite.once('close', code => {
      clearTimeout(timer)
      if (failed) reject(failed)
      else if (silent) resolve(`the suite said nothing for ${silenceMs} ms, at ${lastScenario(last)}`)
      else resolve(code === 0 || code === 1 ? undefined : `the suite ended with ${code}: ${last.slice(-500)}`)
    })
  })
}

function lastScenario(output: string): string {
  return /Running scenario: (\S+) ===(?!.*Running scenario: )/s.exec(output)?.[1] ?? 'its start'
}

const RESULT_FOLDER = /^server-(?<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/

function readResults(folder: string): Run {
  const scenarios: string[] = []
  const checks: Check[] = []
  for (const name of readdirSync(folder).sort()) {
    const scenario = RESULT_FOLDER.exec(name)?.groups?.scenario
    const file = join(folder, name, 'checks.json')
    // A scenario that was cut short has a folder without checks.
    if (scenario === undefined || !existsSync(file)) continue
    scenarios.push(scenario)
    checks.push(...(JSON.parse(readFileSync(file, 'utf8')) as SuiteCheck[]).map(check => checkOf(scenario, check)))
  }
  return { scenarios, checks }
}

interface SuiteCheck {
  readonly id: string
  readonly name: string
  readonly status: Status
  readonly errorMessage?: string
}

function checkOf(scenario: string, { id, name, status, errorMessage }: SuiteCheck): Check {
  return { scenario, id, name, status, ...(errorMessage !== undefined && { message: errorMessage }) }
}
