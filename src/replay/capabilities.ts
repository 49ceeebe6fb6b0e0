import type { Message } from '../protocol/message.ts'
import { isObject } from './values.ts'

/** What a client has declared that it can do: `capabilities` of `initialize`, or of the `_meta` of a modern request. */
export type Capabilities = Readonly<Record<string, unknown>>

export const META_CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities'
export const META_LOG_LEVEL = 'io.modelcontextprotocol/logLevel'

/** By a modern request. */
export function declaredIn(message: Message): Capabilities {
  const { params } = message.json as { params?: { _meta?: Record<string, unknown> } }
  const declared = isObject(params?._meta) ? params._meta[META_CAPABILITIES] : undefined
  return isObject(declared) ? declared : {}
}

/** What a request of the server's takes: undefined where nobody need declare anything. */
export function needs(method: string, params: unknown): Capabilities | undefined {
  switch (method) {
    case 'roots/list':
      return { roots: {} }
    case 'sampling/createMessage':
      return { sampling: isObject(params) && params.tools !== undefined ? { tools: {} } : {} }
    case 'elicitation/create':
      return { elicitation: isObject(params) && params.mode === 'url' ? { url: {} } : {} }
    default:
      return method.startsWith('tasks/') ? { tasks: {} } : undefined
  }
}

/** Whether all of that was declared. */
export function declares(capabilities: Capabilities, needed: Capabilities): boolean {
  for (const [name, detail] of Object.entries(needed)) {
    const declared = capabilities[name]
    if (!isObject(declared)) return false
    for (const part of Object.keys(detail as object)) if (!isObject(declared[part])) return false
    // An empty object means forms (spec 2025-11-25 client/elicitation, "Capabilities"); `url` alone does not.
    if (name === 'elicitation' && !('url' in (detail as object)) && 'url' in declared && !('form' in declared))
      return false
  }
  return true
}

/** What a client lacks for an answer. Most do not ask back, and need not be read for it. */
export function lacks(answer: Message, client: { readonly declared: Capabilities }): Capabilities | undefined {
  const mayAsk = answer.bytes.includes('input_required') || answer.bytes.includes('\\u')
  return mayAsk ? lacksFor((answer.json as { result?: unknown }).result, client.declared) : undefined
}

/** What the client lacks for an answer that asks back (`input_required`); undefined: nothing. */
export function lacksFor(result: unknown, capabilities: Capabilities): Capabilities | undefined {
  if (!isObject(result) || result.resultType !== 'input_required' || !isObject(result.inputRequests)) return undefined
  const wanted: Record<string, object> = {}
  const lacking = new Set<string>()
  for (const one of Object.values(result.inputRequests)) {
    if (!isObject(one) || typeof one.method !== 'string') continue
    const needed = needs(one.method, one.params) ?? {}
    const isDeclared = declares(capabilities, needed)
    for (const [name, detail] of Object.entries(needed)) {
      wanted[name] = { ...wanted[name], ...(isForm(one) ? { form: {} } : (detail as object)) }
      if (!isDeclared) lacking.add(name)
    }
  }
  if (lacking.size === 0) return undefined
  return Object.fromEntries([...lacking].map(name => [name, wanted[name]]))
}

function isForm({ method, params }: Readonly<Record<string, unknown>>): boolean {
  return method === 'elicitation/create' && !(isObject(params) && params.mode === 'url')
}

const LEVELS = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency']

/** Modern requests say from which level on they want to hear logs; without that, none (spec 2026-07-28 server/utilities/logging). */
export function wantsLog(wanted: unknown, level: unknown): boolean {
  const least = LEVELS.indexOf(String(wanted))
  if (least < 0) return wanted !== undefined
  const its = LEVELS.indexOf(String(level))
  return its < 0 || its >= least
}
