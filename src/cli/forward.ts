import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Argv, CommandModule } from 'yargs'
import { createLog, LOG_LEVELS, type Log, type LogLevel } from '../log.ts'
import { createForward, type Forward, type ForwardOptions } from '../proxy/forward.ts'
import { MAX_DURATION, parseDuration, parseSize, SETTINGS, type SettingName } from '../proxy/options.ts'
import { secretsOf } from '../proxy/secrets.ts'
import type { TargetOptions } from '../proxy/target.ts'
import { Redactor } from '../tape/redact.ts'
import { defaultTapeFolder } from '../tape/tape-folder.ts'
import { runUntilStopped } from './run.ts'
import { UsageError } from './usage.ts'

interface ForwardArgs {
  url?: string
  '--'?: string[]
  listen?: string
  stdio: boolean
  path: string
  header: string[]
  env: string[]
  cwd?: string
  record?: string
  'record-overflow': 'block' | 'drop'
  'record-max-message'?: string
  'redact-header': string[]
  'redact-json': string[]
  token: string[]
  'allow-unauthenticated': boolean
  'allow-host': string[]
  'allow-origin': string[]
  ca?: string
  insecure: boolean
  via: string | boolean
  tail: boolean
  'log-level': LogLevel
  'log-format': 'text' | 'json'
}

export const forwardCommand: CommandModule<object, ForwardArgs> = {
  command: 'forward [url]',
  describe: 'put catflap between a client and one server',
  builder: args => settingOptions(recordOptions(accessOptions(targetOptions(args)))) as unknown as Argv<ForwardArgs>,
  handler: args => forward(args)
}

function targetOptions(args: Argv): Argv {
  return args
    .usage(
      '$0 forward [options] <url>\n$0 forward [options] -- <command> [args…]\n\nForwards clients to one MCP server: a URL (Streamable HTTP), or a command (stdio), which catflap starts.'
    )
    .positional('url', { type: 'string', describe: "the server's URL; or give its command after --" })
    .option('listen', {
      type: 'string',
      requiresArg: true,
      describe: 'where clients connect, [host:]port; port 0 = any free one',
      defaultDescription: DEFAULT_LISTEN
    })
    .option('stdio', {
      type: 'boolean',
      default: false,
      describe: "serve one client on catflap's own stdin and stdout"
    })
    .option('path', { type: 'string', requiresArg: true, default: '/mcp', describe: 'path of the endpoint' })
    .option('header', list("'Name: value', sent to the server with every request; repeatable"))
    .option('env', list('NAME=value, added to the environment of the command; repeatable'))
    .option('cwd', { type: 'string', requiresArg: true, describe: 'folder the command runs in' })
    .option('ca', { type: 'string', requiresArg: true, describe: 'PEM file of a certificate authority to trust' })
    .option('insecure', { type: 'boolean', default: false, describe: "do not verify the server's certificate" })
    .option('via', { type: 'string', default: 'catflap', describe: 'name in the Via header; --no-via adds none' })
    .example('$0 forward http://127.0.0.1:3001/mcp', 'clients connect to http://127.0.0.1:7890/mcp')
    .example('$0 forward --record ./tapes/ http://127.0.0.1:3001/mcp', 'one tape a session in ./tapes/')
    .example('$0 forward --stdio -- npx -y @modelcontextprotocol/server-everything', 'as the command of a client')
    .example('$0 forward --listen 8080 -- node server.js', 'a stdio server, served over HTTP')
}

function accessOptions(args: Argv): Argv {
  return args
    .option(
      'token',
      list(
        'clients must present it: Catflap-Token or Authorization: Bearer; better by CATFLAP_TOKEN (ps shows arguments)'
      )
    )
    .option('allow-unauthenticated', {
      type: 'boolean',
      default: false,
      describe: 'listen beyond loopback without a token'
    })
    .option('allow-host', list('a Host header to accept besides loopback names; repeatable'))
    .option('allow-origin', list('an Origin to accept besides loopback ones, like https://app.example; repeatable'))
    .option('log-level', {
      choices: LOG_LEVELS,
      default: 'info' as LogLevel,
      requiresArg: true,
      describe: 'how much is logged on stderr'
    })
    .option('log-format', {
      choices: ['text', 'json'] as const,
      default: 'text' as const,
      requiresArg: true,
      describe: 'how it is logged'
    })
    .option('tail', { type: 'boolean', default: true, describe: 'let catflap tail watch; --no-tail does not' })
}

function recordOptions(args: Argv): Argv {
  return args
    .option('record', {
      type: 'string',
      describe: 'write a tape: a new file, or a folder with one tape a session',
      defaultDescription: 'off; bare: the default folder'
    })
    .option('record-overflow', {
      choices: ['block', 'drop'] as const,
      default: 'block' as const,
      requiresArg: true,
      describe: 'when the disk is too slow: traffic waits, or frames are dropped, counted and marked'
    })
    .option('record-max-message', {
      type: 'string',
      requiresArg: true,
      describe: 'longer messages are kept as a prefix, length and SHA-256',
      defaultDescription: '8M'
    })
    .option('redact-header', list('a header whose value is kept out of tapes, besides the built-in ones; repeatable'))
    .option(
      'redact-json',
      list('a JSON pointer (/params/arguments/password; * for any member) kept out of tapes; repeatable')
    )
}

const DEFAULT_LISTEN = '127.0.0.1:7890'

function list(describe: string): {
  type: 'string'
  array: true
  nargs: 1
  default: string[]
  defaultDescription: string
  describe: string
} {
  return { type: 'string', array: true, nargs: 1, default: [], defaultDescription: 'none', describe }
}

function settingOptions(args: Argv): Argv {
  for (const [name, setting] of Object.entries(SETTINGS)) {
    args.option(optionName(name), {
      type: 'string',
      requiresArg: true,
      group: 'Limits and timeouts:',
      describe: setting.help,
      defaultDescription: shown(setting.value, setting.unit)
    })
  }
  return args
}

export function optionName(setting: string): string {
  return setting.replace(/[A-Z]/g, c => `-${c.toLowerCase()}`)
}

function shown(value: number, unit: 'ms' | 'bytes' | 'count'): string {
  if (unit === 'count') return String(value)
  if (unit === 'bytes') return value % 1048576 === 0 ? `${value / 1048576}M` : `${value / 1024}k`
  if (value === 0) return 'off'
  return value % 3_600_000 === 0
    ? `${value / 3_600_000}h`
    : value % 60_000 === 0
      ? `${value / 60_000}m`
      : `${value / 1000}s`
}

async function forward(args: ForwardArgs): Promise<void> {
  const options = optionsOf(args)
  const redactor = new Redactor({
    redactHeaders: args['redact-header'],
    redactJson: args['redact-json'],
    secrets: secretsOf(options)
  })
  const log = createLog({
    level: args['log-level'],
    format: args['log-format'],
    write: line => process.stderr.write(line),
    scrub: redactor.scrub
  })
  if (args.insecure)
    log.warn(
      'insecure',
      "the server's certificate is not verified (--insecure): anybody in between can read and change everything"
    )
  await runUntilStopped(log, async () => {
    const proxy = await createForward({ ...options, log, redactor, live: args.tail })
    announce(proxy, args, log)
    return proxy
  })
}

/** The one line people wait for: it is printed whatever the log level. */
function announce(proxy: Forward, args: ForwardArgs, log: Log): void {
  const tape = proxy.tape === undefined ? '' : `, recording to ${proxy.tape}`
  if (args.stdio)
    return log.debug('listening', `serving stdio, forwarding to ${proxy.target}${tape}`, {
      url: null,
      target: proxy.target
    })
  if (args['log-format'] === 'json') {
    const event = {
      event: 'listening',
      url: proxy.url,
      target: proxy.target,
      ...(proxy.tape !== undefined && { tape: proxy.tape })
    }
    process.stderr.write(`${JSON.stringify(event)}\n`)
  } else process.stdout.write(`catflap: listening on ${proxy.url}, forwarding to ${proxy.target}${tape}\n`)
}

function optionsOf(args: ForwardArgs): ForwardOptions {
  const { record, url } = recordAndUrl(args)
  const tokens = [...args.token, ...(process.env.CATFLAP_TOKEN ? [process.env.CATFLAP_TOKEN] : [])]
  if (tokens.some(t => t === '')) throw new UsageError("--token '' is empty; give a secret: --token SECRET")
  const listen = args.stdio
    ? { input: process.stdin, output: process.stdout }
    : { ...listenOf(args.listen ?? DEFAULT_LISTEN), path: pathOf(args.path) }
  if (args.stdio && args.listen !== undefined)
    throw new UsageError('--listen and --stdio exclude each other: give one of them')
  const options: ForwardOptions = {
    target: targetOf(args, url),
    listen,
    tokens,
    allowUnauthenticated: args['allow-unauthenticated'],
    allowHosts: args['allow-host'],
    allowOrigins: args['allow-origin'],
    settings: settingsOf(args as unknown as Record<string, unknown>),
    record: record === undefined ? undefined : recordOf(record, args),
    via: args.via === false || args.via === '' ? false : String(args.via)
  }
  if ('host' in listen) mayListen(listen.host, options)
  return options
}

function mayListen(host: string, options: ForwardOptions): void {
  const loopback = host === 'localhost' || host === '::1' || host.startsWith('127.')
  if (loopback || options.tokens!.length > 0 || options.allowUnauthenticated) return
  throw new UsageError(
    `--listen ${host}: other machines can reach this; add --token SECRET (or CATFLAP_TOKEN), or --allow-unauthenticated if that is wanted`
  )
}

/** `--record http://…` records to the default folder: a URL is no path. */
function recordAndUrl(args: ForwardArgs): { record: string | undefined; url: string | undefined } {
  if (args.record !== undefined && args.url === undefined && /^https?:\/\//i.test(args.record))
    return { record: '', url: args.record }
  return { record: args.record, url: args.url }
}

function recordOf(record: string, args: ForwardArgs): ForwardOptions['record'] {
  const maxMessage = args['record-max-message']
  return {
    path: record === '' ? `${defaultTapeFolder()}${path.sep}` : record,
    overflow: args['record-overflow'],
    ...(maxMessage !== undefined && { maxMessage: checked('--record-max-message', maxMessage, parseSize) })
  }
}

function targetOf(args: ForwardArgs, url: string | undefined): TargetOptions {
  const command = args['--'] ?? []
  if (url !== undefined && command.length > 0)
    throw new UsageError(`give a URL or a command, not both: '${url}' and '${command[0]}'`)
  if (command.length > 0) {
    if (args.header.length > 0) throw new UsageError('--header goes with a URL; a command takes --env NAME=value')
    return {
      command: command[0]!,
      args: command.slice(1),
      env: envOf(args.env),
      ...(args.cwd !== undefined && { cwd: args.cwd })
    }
  }
  if (url === undefined)
    throw new UsageError("no server given: 'catflap forward <url>' or 'catflap forward -- <command> [args…]'")
  if (args.env.length > 0 || args.cwd !== undefined)
    throw new UsageError('--env and --cwd go with a command; a URL takes --header')
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new UsageError(`'${url}' is no http or https URL; a command goes after --: 'catflap forward -- ${url}'`)
  return {
    url,
    headers: headersOf(args.header),
    insecure: args.insecure,
    ...(args.ca !== undefined && { ca: readCa(args.ca) })
  }
}

function headersOf(given: readonly string[]): string[] {
  return given.flatMap(header => {
    const m = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/.exec(header)
    if (!m) throw new UsageError(`--header '${header.split(':')[0]}…' is no header; write --header 'Name: value'`)
    return [m[1]!, m[2]!.trimEnd()]
  })
}

function envOf(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map(pair => {
      const at = pair.indexOf('=')
      if (at < 1) throw new UsageError(`--env '${pair}' has no value; write --env NAME=value`)
      return [pair.slice(0, at), pair.slice(at + 1)]
    })
  )
}

function readCa(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`--ca ${file} cannot be read: ${(error as Error).message}`)
  }
}

function listenOf(text: string): { host: string; port: number } {
  const m = /^(?:(\[[0-9a-fA-F:.]+\]|[^:[\]]*):)?(\d{1,5})$/.exec(text)
  const port = Number(m?.[2])
  if (!m || port > 65_535)
    throw new UsageError(
      `--listen '${text}' is no address; write --listen 7890, --listen 127.0.0.1:0 or --listen [::1]:7890`
    )
  return { host: (m[1] || '127.0.0.1').replace(/^\[|\]$/g, ''), port }
}

function pathOf(text: string): string {
  if (!/^\/[\x21-\x7e]*$/.test(text) || /[?#]/.test(text))
    throw new UsageError(`--path '${text}' is no path; write --path /mcp`)
  return text
}

function settingsOf(args: Record<string, unknown>): Partial<Record<SettingName, number>> {
  const out: Partial<Record<SettingName, number>> = {}
  for (const [name, setting] of Object.entries(SETTINGS) as [SettingName, (typeof SETTINGS)[SettingName]][]) {
    const option = optionName(name)
    const text = args[option]
    if (text === undefined) continue
    const parse = { ms: parseDuration, bytes: parseSize, count: parseCount }[setting.unit]
    const value = checked(`--${option}`, String(text), parse)
    if (value === 0 && !('zero' in setting)) throw new UsageError(`--${option} ${text}: 0 is not allowed here`)
    if (setting.unit === 'ms' && value > MAX_DURATION)
      throw new UsageError(`--${option} ${text}: at most ${Math.floor(MAX_DURATION / 3_600_000)}h`)
    out[name] = value
  }
  return out
}

function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new TypeError(`'${text}' is no whole number`)
  return Number(text)
}

function checked(option: string, text: string, parse: (text: string) => number): number {
  try {
    return parse(text)
  } catch (error) {
    throw new UsageError(`${option} ${text}: ${(error as Error).message}`)
  }
}
