import type { ListenerOptions, ReverseOptions, RouteOptions } from '../proxy/reverse-options.ts'

/** Where a client finds one route. */
export interface ClientEntry {
  readonly name: string
  readonly url: string
  readonly needsToken: boolean
}

/** `json`: the `mcpServers` that most clients read; `claude`: commands for Claude Code; `vscode`: `.vscode/mcp.json`. */
export const CLIENT_FORMS = ['json', 'claude', 'vscode'] as const
export type ClientForm = (typeof CLIENT_FORMS)[number]

/** What stands where a token has to be filled in: configurations of clients are shared, and tokens are not. */
const PLACEHOLDER = 'YOUR_TOKEN'
const INPUT = 'catflap-token'

/**
 * One entry a route. `baseUrl` is how clients reach catflap; without it, that is the first listener.
 * Throws a TypeError where that has no port yet.
 */
export function clientEntries({ listeners = [], routes }: ReverseOptions, baseUrl?: string): ClientEntry[] {
  const base = baseUrl ?? baseOf(listeners[0])
  return Object.entries(routes).map(([name, route]) => ({
    name,
    url: urlOf(base, name, route),
    needsToken: (route.tokens?.length ?? 0) > 0
  }))
}

function baseOf({ host = '127.0.0.1', port = 0, tls }: ListenerOptions = {}): string {
  if (port === 0) throw new TypeError('the first listener takes any free port, so that its URL is not known yet')
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `${tls ? 'https' : 'http'}://${reached.includes(':') ? `[${reached}]` : reached}:${port}`
}

function urlOf(base: string, name: string, { path = `/${name}/mcp`, host }: RouteOptions): string {
  const url = new URL(base)
  if (host !== undefined) url.hostname = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
  return `${url.origin}${url.pathname.replace(/\/$/, '')}${path}`
}

export function clientText(entries: readonly ClientEntry[], form: ClientForm): string {
  if (form === 'claude') return entries.map(claudeLine).join('\n')
  const all = Object.fromEntries(entries.map(entry => [entry.name, entryOf(entry, form)]))
  if (form === 'json') return JSON.stringify({ mcpServers: all }, undefined, 2)
  const inputs = [{ type: 'promptString', id: INPUT, description: 'Token for catflap', password: true }]
  return JSON.stringify({ ...(entries.some(e => e.needsToken) && { inputs }), servers: all }, undefined, 2)
}

function entryOf({ url, needsToken }: ClientEntry, form: ClientForm): object {
  const token = form === 'vscode' ? `\${input:${INPUT}}` : PLACEHOLDER
  return { type: 'http', url, ...(needsToken && { headers: { Authorization: `Bearer ${token}` } }) }
}

function claudeLine({ name, url, needsToken }: ClientEntry): string {
  const header = needsToken ? ` --header "Authorization: Bearer ${PLACEHOLDER}"` : ''
  return `claude mcp add --transport http ${name} ${quoted(url)}${header}`
}

/** Paths may hold what shells read in their own way. */
function quoted(word: string): string {
  return /^[\w./:@%+=,[\]-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
