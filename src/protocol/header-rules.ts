import { contradicts, getHeader, type RawHeaders, VERSION_HEADER } from './headers.ts'
import type { Message } from './message.ts'
import {
  argumentAt,
  decodeHeaderValue,
  encodeHeaderValue,
  type HeaderParam,
  paramText,
  withoutBlanks
} from './tool-headers.ts'

/**
 * The headers that mirror a modern request, and what is wrong with them (spec 2026-07-28 basic/transports/streamable-http,
 * "Request Metadata"). The sentences name headers, never values: arguments may be secrets.
 */

/** `MCP-Protocol-Version`, `Mcp-Method` and, where the method has one, `Mcp-Name` of a modern message. */
export function standardHeaders(message: Message): string[] {
  const out: string[] = []
  if (message.metaVersion !== undefined) out.push('MCP-Protocol-Version', message.metaVersion)
  if (message.method !== undefined) out.push('Mcp-Method', message.method)
  const name = mirroredName(message)
  if (name !== undefined) out.push('Mcp-Name', encodeHeaderValue(name))
  return out
}

/** What `Mcp-Name` mirrors: of these three methods only ("Standard Request Headers"). */
function mirroredName(message: Message): string | undefined {
  switch (message.method) {
    case 'tools/call':
    case 'prompts/get':
      return message.name
    case 'resources/read': {
      // `params.name` means nothing here, and must not stand for the URI.
      const uri = argumentAt(message.json, ['params', 'uri'])
      return typeof uri === 'string' ? uri : undefined
    }
    default:
      return undefined
  }
}

/** Headers that are there and say something else than the message. */
export function contradiction(headers: RawHeaders, message: Message): string | undefined {
  const version = getHeader(headers, VERSION_HEADER)
  if (contradicts(headers, VERSION_HEADER)) return twice('MCP-Protocol-Version')
  if (version !== undefined && message.metaVersion !== undefined && withoutBlanks(version) !== message.metaVersion)
    return differs('MCP-Protocol-Version', "the protocol version in the request's _meta")
  const method = getHeader(headers, 'mcp-method')
  if (contradicts(headers, 'mcp-method')) return twice('Mcp-Method')
  if (method !== undefined && withoutBlanks(method) !== message.method) return differs('Mcp-Method', 'the method')
  return undefined
}

/** Headers that a request must have and has not; and the name, which is compared once the rest is known to be right. */
export function missingHeader(headers: RawHeaders, message: Message): string | undefined {
  if (getHeader(headers, VERSION_HEADER) === undefined) return missing('MCP-Protocol-Version')
  if (getHeader(headers, 'mcp-method') === undefined) return missing('Mcp-Method')
  const name = mirroredName(message)
  const said = getHeader(headers, 'mcp-name')
  if (contradicts(headers, 'mcp-name')) return twice('Mcp-Name')
  if (said === undefined) return name === undefined ? undefined : missing('Mcp-Name')
  if (!NAMED.has(message.method ?? '')) return undefined
  const decoded = decodeHeaderValue(said)
  if (decoded === undefined) return malformed('Mcp-Name')
  if (decoded !== name?.toWellFormed()) return differs('Mcp-Name', "the request's name or URI")
  return undefined
}

const NAMED = new Set(['tools/call', 'resources/read', 'prompts/get'])

/** What is wrong with the `Mcp-Param-*` headers of a tools/call with these arguments. */
export function paramMismatch(headers: RawHeaders, params: readonly HeaderParam[], args: unknown): string | undefined {
  for (const param of params) {
    const wrong = oneParam(headers, param, argumentAt(args, param.path))
    if (wrong !== undefined) return wrong
  }
  return undefined
}

function oneParam(headers: RawHeaders, param: HeaderParam, value: unknown): string | undefined {
  const header = `Mcp-Param-${param.header}`
  const lower = header.toLowerCase()
  const argument = `the argument '${param.path.join('.')}'`
  if (contradicts(headers, lower)) return twice(header)
  const said = getHeader(headers, lower)
  const text = paramText(value)
  // Of values that no header can carry none is expected; whether the tool takes them is for the server to say.
  if (said === undefined) return text === undefined ? undefined : missing(header)
  const decoded = decodeHeaderValue(said)
  if (decoded === undefined) return malformed(header)
  if (text === undefined || !equal(param, decoded, value, text)) return differs(header, argument)
  return undefined
}

/** An integer with nothing but zeros behind its point. `Number` alone would take `0x2a` and round what is too long. */
const INTEGER = /^-?\d+(?:\.0*)?$/

function equal(param: HeaderParam, said: string, value: unknown, text: string): boolean {
  if (param.type === 'integer' && typeof value === 'number' && INTEGER.test(said)) return Number(said) === value
  return said === text.toWellFormed()
}

function twice(header: string): string {
  return `${header} has two different values: send it once.`
}

function missing(header: string): string {
  return `${header} is missing: it must say what the message says.`
}

function malformed(header: string): string {
  return `${header} has invalid characters or malformed Base64.`
}

function differs(header: string, from: string): string {
  return `${header} differs from ${from}.`
}
