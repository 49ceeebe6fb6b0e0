import { readFileSync } from 'node:fs'
import path from 'node:path'
import { mayListen } from '../proxy/bind.ts'
import { checkCa, checkHost, checkOrigin, isTaken } from '../proxy/check-options.ts'
import type { ForwardOptions } from '../proxy/forward.ts'
import { MAX_NAMES, type MetricsOptions } from '../proxy/metering.ts'
import { MAX_DURATION, parseDuration, parseSize, SETTINGS, type SettingName } from '../proxy/options.ts'
import type { TargetOptions, UrlTarget } from '../proxy/target.ts'
import { defaultTapeFolder } from '../tape/tape-folder.ts'
import { adminToken } from './admin-token.ts'
import { DEFAULT_LISTEN, type ForwardArgs, optionName } from './forward-options.ts'
import { refuseSharing, sharingOf } from './store-args.ts'
import { UsageError } from './usage.ts'

/** What the arguments mean. Throws UsageError, which names the option and shows the right form. */
export function forwardOptionsOf(args: ForwardArgs): ForwardOptions {
  const { record, url } = recordAndUrl(args)
  if (args.stdio) refuseSharing(args)
  return { ...optionsFor(args, targetOf(args, url), record), ...(!args.stdio && sharingOf(args)) }
}

/** The same for a target that is known already. */
export function optionsFor(args: ForwardArgs, target: TargetOptions, record = args.record): ForwardOptions {
  const tokens = [...args.token, ...(process.env.CATFLAP_TOKEN ? [process.env.CATFLAP_TOKEN] : [])]
  if (tokens.some(t => t === '')) throw new UsageError("--token '' is empty; give a secret: --token SECRET")
  const listen = args.stdio
    ? { input: process.stdin, output: process.stdout }
    : { ...listenOf('--listen', args.listen ?? DEFAULT_LISTEN), path: pathOf(args.path) }
  if (args.stdio && args.listen !== undefined)
    throw new UsageError('--listen and --stdio exclude each other: give one of them')
  const options: ForwardOptions = {
    target,
    listen,
    sessionLoss: args['session-loss'],
    tokens,
    allowUnauthenticated: args['allow-unauthenticated'],
    allowHosts: args['allow-host'],
    allowOrigins: args['allow-origin'],
    settings: settingsOf(args as unknown as Record<string, unknown>),
    record: record === undefined ? undefined : recordOf(record, args),
    metrics: metricsOf(args),
    admin: adminOf(args),
    via: args.via === false || args.via === '' ? false : String(args.via)
  }
  if ('host' in listen) checkBind('--listen', listen.host, options)
  if (typeof options.metrics === 'object') checkBind('--metrics', options.metrics.host!, options)
  for (const host of args['allow-host']) named('--allow-host', () => checkHost(host))
  for (const origin of args['allow-origin']) named('--allow-origin', () => checkOrigin(origin))
  return options
}

/** The library's refusal, under the name of the command line's option. */
export function named(option: string, check: () => void): void {
  try {
    check()
  } catch (error) {
    throw new UsageError((error as Error).message.replace(/^\w+:/, option))
  }
}

function checkBind(option: string, host: string, options: ForwardOptions): void {
  if (mayListen(host, options)) return
  throw new UsageError(
    `${option} ${host}: other machines can reach this; add --token SECRET (or CATFLAP_TOKEN), or --allow-unauthenticated if that is wanted`
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

/** The server that the arguments name. */
export function targetOf(args: ForwardArgs, url: string | undefined): TargetOptions {
  const command = args['--'] ?? []
  if (url !== undefined && command.length > 0)
    throw new UsageError(`give a URL or a command, not both: '${url}' and '${command[0]}'`)
  if (command.length > 0) {
    if (args.header.length > 0) throw new UsageError('--header goes with a URL; a command takes --env NAME=value')
    if (args['upstream-transport'] !== 'auto')
      throw new UsageError('--upstream-transport goes with a URL; a command speaks stdio')
    return {
      command: command[0]!,
      args: command.slice(1),
      env: envOf(args.env),
      era: args['upstream-era'],
      ...(args.cwd !== undefined && { cwd: args.cwd })
    }
  }
  if (url?.startsWith('tape:')) return tapeOf(args, url.slice('tape:'.length))
  if (url === undefined)
    throw new UsageError("no server given: 'catflap forward <url>' or 'catflap forward -- <command> [args…]'")
  if (args.env.length > 0 || args.cwd !== undefined)
    throw new UsageError('--env and --cwd go with a command; a URL takes --header')
  checkUrl(url)
  return urlTargetOf(args, url)
}

/** Of a URL that is one. */
export function urlTargetOf(args: ForwardArgs, url: string): UrlTarget {
  if (args['upstream-transport'] === 'sse' && args['upstream-era'] === 'modern')
    throw new UsageError(
      '--upstream-transport sse and --upstream-era modern exclude each other: revision 2026-07-28 has no HTTP+SSE'
    )
  return {
    url,
    headers: headersOf(args.header),
    insecure: args.insecure,
    transport: args['upstream-transport'],
    era: args['upstream-era'],
    ...(args.ca !== undefined && { ca: readCa(args.ca) })
  }
}

function checkUrl(url: string): void {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new UsageError(`'${url}' is no http or https URL; a command goes after --: 'catflap forward -- ${url}'`)
  if (!hasReadableCredentials(new URL(url)))
    throw new UsageError("the URL's user name or password holds a % that begins no escape; write it as %25")
}

/** A tape in the place of a server, replayed as `catflap replay` does by itself. */
function tapeOf(args: ForwardArgs, tape: string): TargetOptions {
  if (tape === '') throw new UsageError("'tape:' names no file; write tape:FILE, as in tape:a.tape.jsonl")
  if (args.header.length > 0 || args.ca !== undefined || args.insecure)
    throw new UsageError('--header, --ca and --insecure go with a URL; a tape asks nobody')
  if (args['upstream-transport'] !== 'auto' || args['upstream-era'] !== 'auto')
    throw new UsageError('--upstream-transport and --upstream-era go with a server; a tape says itself what it holds')
  return { tape }
}

function hasReadableCredentials({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password)
    return true
  } catch {
    return false
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

/** PEM text of an authority. */
export function readCa(file: string, option = '--ca'): string {
  let pem: string
  try {
    pem = readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`${option} ${file} cannot be read: ${(error as Error).message}`)
  }
  named(option, () => checkCa(pem, file))
  return pem
}

function adminOf({ admin, stdio }: ForwardArgs): ForwardOptions['admin'] {
  if (admin === undefined) return undefined
  if (stdio) throw new UsageError('--admin and --stdio exclude each other: a client on stdio is served alone')
  return { ...listenOf('--admin', admin), ...adminToken() }
}

function metricsOf(args: ForwardArgs): MetricsOptions | undefined {
  const names = args['metrics-max-names']
  if (args.metrics === undefined) {
    if (names !== undefined) throw new UsageError('--metrics-max-names goes with --metrics [host:]port')
    return undefined
  }
  const maxNames = names === undefined ? undefined : checked('--metrics-max-names', names, parseCount)
  if (maxNames !== undefined && maxNames > MAX_NAMES)
    throw new UsageError(`--metrics-max-names ${names}: at most ${MAX_NAMES}`)
  return { ...listenOf('--metrics', args.metrics), maxNames }
}

export function listenOf(option: string, text: string): { host: string; port: number } {
  const m = /^(?:(\[[0-9a-fA-F:.]+\]|[^:[\]]*):)?(\d{1,5})$/.exec(text)
  const port = Number(m?.[2])
  if (!m || port > 65_535)
    throw new UsageError(
      `${option} '${text}' is no address; write ${option} 7890, ${option} 127.0.0.1:0 or ${option} [::1]:7890`
    )
  return { host: (m[1] || '127.0.0.1').replace(/^\[|\]$/g, ''), port }
}

function pathOf(text: string): string {
  if (!/^\/[\x21-\x7e]*$/.test(text) || /[?#]/.test(text))
    throw new UsageError(`--path '${text}' is no path; write --path /mcp`)
  if (isTaken(text))
    throw new UsageError(
      `--path '${text}': clients of HTTP+SSE connect at 'sse' and 'messages' beside the endpoint; write --path /mcp`
    )
  return text
}

export function settingsOf(args: Record<string, unknown>): Partial<Record<SettingName, number>> {
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

export function checked(option: string, text: string, parse: (text: string) => number): number {
  let value: number
  try {
    value = parse(text)
  } catch (error) {
    throw new UsageError(`${option} ${text}: ${(error as Error).message}`)
  }
  if (!Number.isSafeInteger(value)) throw new UsageError(`${option} ${text}: that is too much`)
  return value
}
