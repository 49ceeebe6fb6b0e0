import { parseDuration } from '../proxy/options.ts'
import type { TargetOptions } from '../proxy/target.ts'
import { parseJson } from '../replay/canonical.ts'
import type { VerifyOptions } from '../verify/options.ts'
import { checked, targetOf } from './forward-args.ts'
import type { ForwardArgs } from './forward-options.ts'
import { UsageError } from './usage.ts'
import type { VerifyArgs } from './verify-options.ts'

export type ReporterName = 'text' | 'json' | 'junit'

export interface Reporter {
  readonly name: ReporterName
  /** Undefined: standard output. */
  readonly file: string | undefined
}

export interface VerifyCall {
  readonly tapes: readonly string[]
  readonly options: Omit<VerifyOptions, 'rules' | 'onProgress' | 'signal'>
  readonly reporters: readonly Reporter[]
}

/** What the arguments mean. Throws UsageError. */
export function verifyCallOf(args: VerifyArgs): VerifyCall {
  const { tapes, url } = tapesAndUrl(args)
  refuseContradictions(args)
  const { headers, without } = headersOf(args)
  const target = targetOf({ ...args, header: headers } as unknown as ForwardArgs, url)
  if ('tape' in target) throw new UsageError("verify asks a server; 'catflap tape diff' compares two tapes")
  const timeout = checked('--timeout', args.timeout, parseDuration)
  if (timeout === 0) throw new UsageError('--timeout 0: give a time, like 30s')
  return {
    tapes,
    reporters: reportersOf(args.reporter),
    options: {
      target: target as TargetOptions,
      timeout,
      withoutHeaders: without,
      allowWrites: args['allow-writes'],
      onlySafe: args['only-safe'],
      noBind: !args.bind,
      driftOnly: args['drift-only'],
      failOn: args['fail-on'],
      ...(args.session.length > 0 && { sessions: args.session }),
      ...(args.set.length > 0 && { set: setOf(args.set) })
    }
  }
}

function tapesAndUrl({ tapes, '--': command = [] }: VerifyArgs): { tapes: string[]; url: string | undefined } {
  if (tapes.some(tape => tape === '')) throw new UsageError("a tape's name is empty; write catflap verify FILE… URL")
  const last = tapes.at(-1)
  const url = last !== undefined && /^[a-z][a-z0-9+.-]+:\/\//i.test(last) ? last : undefined
  if (url !== undefined && !/^https?:/i.test(url))
    throw new UsageError(
      `'${url.slice(0, url.indexOf('://'))}://…' is no server: give a URL that begins with http:// or https://, or -- COMMAND`
    )
  const files = url === undefined ? tapes : tapes.slice(0, -1)
  const stray = files.find(file => /^https?:\/\//i.test(file))
  if (stray !== undefined) throw new UsageError(`'${stray}': the URL of the server comes last, behind the tapes`)
  if (url === undefined && command.length === 0)
    throw new UsageError("no server given: 'catflap verify TAPE… URL' or 'catflap verify TAPE… -- COMMAND [ARGS…]'")
  if (files.length === 0) throw new UsageError("no tape given: 'catflap verify TAPE… URL'")
  return { tapes: files, url }
}

function refuseContradictions(args: VerifyArgs): void {
  const both = (a: keyof VerifyArgs, b: keyof VerifyArgs, why: string): void => {
    if (args[a] && args[b]) throw new UsageError(`--${a} and --${b} exclude each other: ${why}`)
  }
  both('allow-writes', 'only-safe', 'call what may change something, or leave it out')
  both('update', 'only-safe', 'what is left out has no answer that could be written')
  both('update', 'drift-only', 'lists alone are compared as a whole')
  both('update', 'dry-run', 'nothing is sent')
  both('update', 'learn', 'one after the other')
  both('learn', 'dry-run', 'nothing is sent')
  both('learn', 'drift-only', 'lists alone are compared as a whole')
  if (args.update && args.session.length > 0)
    throw new UsageError('--update and --session exclude each other: a tape is written as a whole')
}

/** `Name:` without a value says that the server needs none. */
function headersOf({ header, token, '--': command = [] }: VerifyArgs): { headers: string[]; without: string[] } {
  if (token.length > 1) throw new UsageError('--token is given more than once; give it once')
  if (token.length === 1 && command.length > 0)
    throw new UsageError('--token goes with a URL; a command takes --env NAME=value')
  if (token[0] === '') throw new UsageError("--token '' is empty; give a secret: --token SECRET")
  const empty = header.filter(h => /^[^:]+:\s*$/.test(h))
  const headers = header.filter(h => !empty.includes(h))
  if (token.length === 1) headers.push(`Authorization: Bearer ${token[0]}`)
  return { headers, without: empty.map(h => h.slice(0, h.indexOf(':')).trim()) }
}

function setOf(given: readonly string[]): Record<string, unknown> {
  const out: Record<string, unknown> = Object.create(null)
  for (const text of given) {
    const m = /^(\/(?:[^=:]|:(?!=))*?)(:?=)(.*)$/s.exec(text)
    // The value may be a secret, and is not shown.
    if (!m) throw new UsageError("--set: write --set '/params/arguments/name=value'")
    out[m[1]!] = m[2] === '=' ? m[3] : jsonOf(m[1]!, m[3]!)
  }
  return out
}

function jsonOf(pointer: string, text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    throw new UsageError(`--set '${pointer}:=…' is no JSON; write ${pointer}=value for a text`)
  }
}

function reportersOf(given: readonly string[]): Reporter[] {
  const reporters = given.map(text => {
    const [name, ...rest] = text.split('=')
    if (name !== 'text' && name !== 'json' && name !== 'junit')
      throw new UsageError(`--reporter ${text}: give text, json or junit, with =FILE where it is to be a file`)
    const file = rest.length > 0 ? rest.join('=') : undefined
    if (file === '') throw new UsageError(`--reporter ${text} names no file`)
    return { name: name as ReporterName, file }
  })
  if (reporters.filter(r => r.file === undefined).length > 1)
    throw new UsageError('--reporter: only one can write to standard output; give the others a file: junit=report.xml')
  // People at a terminal want to read something, too.
  return reporters.some(r => r.file === undefined) ? reporters : [{ name: 'text', file: undefined }, ...reporters]
}
