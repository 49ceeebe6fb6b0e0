/** On what, and with what, a run was made. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { ROOT } from '../peers/build.ts'
import { programPath } from '../peers/process.ts'

export function machine(): Record<string, string | number> {
  const cpus = os.cpus()
  return {
    cpu: cpus[0]?.model.trim() ?? '?',
    cores: cpus.length,
    memoryGB: Math.round(os.totalmem() / 1024 ** 3),
    system: `${distribution()}, ${os.type()} ${os.release()} ${os.arch()}`,
    node: process.version,
    load: os.loadavg()[0]!
  }
}

/** Of all cores since the machine was started, in ticks; `stolen` by others on the same host, where this machine is a virtual one. */
export function processorTime(): { readonly all: number; readonly stolen: number } | undefined {
  try {
    const ticks = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!.split(/ +/).slice(1, 9).map(Number)
    return { all: ticks.reduce((a, b) => a + b, 0), stolen: ticks[7]! }
  } catch {
    return undefined
  }
}

function distribution(): string {
  try {
    return /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? os.platform()
  } catch {
    return os.platform()
  }
}

/** Versions of everything that takes part, where it is there. */
export function programs(): Record<string, string> {
  return Object.fromEntries(
    [
      ['catflap', commitOfTree()],
      ['nginx', versionOf('nginx', ['-v'], /nginx\/(\S+)/)],
      ['haproxy', versionOf('haproxy', ['-v'], /version (\S+)/)],
      ['wrk', versionOf('wrk', ['-v'], /^wrk (\S+(?: \S+)?) \[/m)],
      ['undici', versionOfPackage('node_modules/undici')],
      ['http-proxy-3', versionOfPackage('node_modules/http-proxy-3')],
      ['mcp-proxy', versionOfPackage('bench/peers/node_modules/mcp-proxy')],
      ['supergateway', versionOfPackage('bench/peers/node_modules/supergateway')]
    ].filter((entry): entry is [string, string] => entry[1] !== undefined)
  )
}

function versionOf(program: string, args: readonly string[], pattern: RegExp): string | undefined {
  const file = programPath(program)
  if (file === undefined) return undefined
  const { stdout, stderr } = spawnSync(file, args, { encoding: 'utf8', timeout: 5_000 })
  return pattern.exec(`${stdout}${stderr}`)?.[1] ?? '?'
}

function versionOfPackage(folder: string): string | undefined {
  try {
    return (JSON.parse(readFileSync(path.join(ROOT, folder, 'package.json'), 'utf8')) as { version: string }).version
  } catch {
    return undefined
  }
}

/** The commit, and whether the tree differs from it. */
function commitOfTree(): string | undefined {
  const git = (...args: string[]): string =>
    spawnSync('git', ['-C', ROOT, ...args], { encoding: 'utf8' }).stdout?.trim() ?? ''
  const commit = git('rev-parse', '--short=12', 'HEAD')
  if (commit === '') return undefined
  return git('status', '--porcelain', '--', 'src', 'bin') === '' ? commit : `${commit} with changes`
}
