import { ERROR_TABLE, type ErrorCode } from '../errors.ts'
import { excerpt, printable, printableJson } from '../printable.ts'
import type { Message } from '../protocol/message.ts'
import type { Exchange } from '../proxy/exchange.ts'
import { type Interceptor, type Outcome, Slot } from '../proxy/interceptor.ts'
import type { ReplyHead } from '../transport/upstream.ts'

/** What a line holds, in this order; what is not known of an exchange is left out. docs/operations.md lists them (a test compares). */
export const ACCESS_FIELDS = [
  'time',
  'route',
  'client',
  'http',
  'kind',
  'method',
  'name',
  'messages',
  'session',
  'version',
  'transport',
  'status',
  'result',
  'code',
  'rpc',
  'ms',
  'head_ms',
  'in',
  'out',
  'target'
] as const

type Field = (typeof ACCESS_FIELDS)[number]
export type AccessLine = Partial<Record<Field, string | number>>

export interface AccessLogFacts {
  /** Absent in `forward`. */
  readonly route?: string
  readonly format: 'text' | 'json'
  /** Takes secrets out of what a line repeats of others. */
  readonly scrub?: (text: string) => string
}

/** Takes whole lines; `false` from `ready` says that it has no room, so that none need be made. */
export interface Lines {
  readonly ready: boolean
  add(line: string): void
  /** One was not made. */
  miss(): void
}

interface Answered {
  readonly at: number
  readonly member: string | undefined
}

/**
 * One line for each exchange, when it has ended. It names what was asked and how it went, and nothing that could be used or
 * that only client and server should know: no ids of sessions, no arguments, no URIs, no tokens.
 */
export function accessLog(lines: Lines, { route, format, scrub }: AccessLogFacts): Interceptor {
  const answered = new Slot<Answered>()
  const write = format === 'json' ? asJson : asText
  return {
    name: 'access-log',
    head(x: Exchange, head: ReplyHead): void {
      answered.set(x, { at: performance.now(), member: head.member })
    },
    end(x: Exchange, outcome: Outcome): void {
      if (!lines.ready) return lines.miss()
      lines.add(write(scrubbed(accessLine(x, outcome, route, answered.get(x)), scrub)))
    }
  }
}

/** What is told of a request that is no exchange: for a page. */
export interface PassedPage {
  readonly method: string
  readonly path: string
  readonly status: number | undefined
  readonly duration: number
  readonly result: Outcome['result']
  readonly code: string | undefined
  readonly client: string | undefined
}

/** The line of a page: `kind` says so, and `name` is its path. */
export function pageLine(page: PassedPage, { route, format, scrub }: AccessLogFacts): string {
  const { method, path, status, duration, result, code, client } = page
  const write = format === 'json' ? asJson : asText
  const line: AccessLine = {
    time: new Date().toISOString(),
    route,
    client,
    http: short(method),
    kind: 'page',
    name: short(path),
    status,
    result,
    code,
    ms: Math.round(duration * 10) / 10
  }
  return write(scrubbed(line, scrub))
}

/** What others have said, in their own words. */
const WORDS = ['http', 'method', 'name', 'version', 'target'] as const

/** Value by value: a secret's end is not that of the value, and what stands behind it in the line is to stay. */
function scrubbed(line: AccessLine, scrub: AccessLogFacts['scrub']): AccessLine {
  if (!scrub) return line
  for (const field of WORDS) {
    const value = line[field]
    if (typeof value === 'string') line[field] = scrub(value)
  }
  return line
}

function accessLine(
  x: Exchange,
  outcome: Outcome,
  route: string | undefined,
  answer: Answered | undefined
): AccessLine {
  const { message } = x
  const { result, code, duration } = outcome
  return {
    time: new Date().toISOString(),
    route,
    client: x.client?.remoteAddress,
    http: short(x.client?.method),
    kind: x.kind,
    method: short(message?.method),
    name: short(nameOf(message)),
    messages: x.batch?.length,
    session: x.session?.handle,
    version: short(x.session?.record.protocolVersion ?? x.version ?? message?.protocolVersion),
    transport: x.transport,
    // On a pipe there is no status.
    status: x.connection ? undefined : outcome.status,
    result,
    code,
    rpc: rpcCode(x, code),
    ms: tenths(duration),
    head_ms: answer && tenths(answer.at - x.startedAt),
    in: bytesIn(x),
    out: x.reply.sent,
    target: short(x.leg?.member ?? answer?.member)
  }
}

/** Names from outside, as much of them as a line needs. */
const MAX_TEXT = 128

function short(text: string | undefined): string | undefined {
  return text === undefined ? undefined : excerpt(text, MAX_TEXT)
}

/** Of the tool or prompt. A URI is an argument, and may hold a secret. */
function nameOf(message: Message | undefined): string | undefined {
  const method = message?.method
  return method === 'tools/call' || method === 'prompts/get' ? message?.ownName : undefined
}

/** Of our own errors by the table; of the server's, where somebody has looked into its answer (metrics do). */
function rpcCode({ probe }: Exchange, code: string | undefined): number | undefined {
  if (code !== undefined) return ERROR_TABLE[code as ErrorCode]?.rpc
  const said = probe?.failure?.attributes['rpc.response.status_code']
  return said === undefined ? undefined : Number(said)
}

function bytesIn({ body, message, batch }: Exchange): number {
  if (body) return body.length
  return message?.bytes.length ?? batch?.reduce((sum, m) => sum + m.bytes.length, 0) ?? 0
}

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10
}

function asJson(line: AccessLine): string {
  return printableJson(JSON.stringify(line))
}

/** What needs no quotes; `-` and `"` alone would look like something else. */
const PLAIN = /^[\w.:/@[\]*+-]+$/

/** `name=value` pairs, in the way of logfmt: values that are not plain words are quoted as JSON quotes strings. */
function asText(line: AccessLine): string {
  let text = ''
  for (const field of ACCESS_FIELDS) {
    const value = line[field]
    if (value === undefined) continue
    const shown = typeof value === 'number' || PLAIN.test(value) ? value : printable(JSON.stringify(value))
    text += text === '' ? `${field}=${shown}` : ` ${field}=${shown}`
  }
  return text
}
