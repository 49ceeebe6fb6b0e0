/**
 * Counted tools over Streamable HTTP, with sessions: `node --no-warnings http.ts LEDGER`. It says `listening PORT` on stdout. A line
 * `forget` on stdin makes it lose all sessions, as a restart would, `sessions` has it say `sessions N`; it ends with its input.
 */
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/server'
import { readRequest, serveWeb } from '../../fixtures/servers/node-web.ts'
import { CountedServer } from './counted-tools.ts'

const ledger = process.argv[2]
if (ledger === undefined) throw new Error('usage: http.ts LEDGER')

const sessions = new Map<string, WebStandardStreamableHTTPServerTransport>()

async function open(file: string): Promise<WebStandardStreamableHTTPServerTransport> {
  const { server } = new CountedServer(file)
  const transport = new WebStandardStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: id => void sessions.set(id, transport)
  })
  await server.connect(transport)
  const disconnect = transport.onclose
  transport.onclose = () => {
    if (transport.sessionId !== undefined) sessions.delete(transport.sessionId)
    disconnect?.()
  }
  return transport
}

async function handle(request: Request): Promise<Response> {
  const id = request.headers.get('mcp-session-id')
  if (id === null) return (await open(ledger!)).handleRequest(request)
  const error = { code: -32_001, message: 'Session not found' }
  return sessions.get(id)?.handleRequest(request) ?? Response.json({ jsonrpc: '2.0', error, id: null }, { status: 404 })
}

const server = createServer((req, res) => {
  readRequest(req)
    .then(seen => serveWeb(seen, res, handle))
    .catch(() => res.destroy())
})
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`listening ${(server.address() as AddressInfo).port}\n`)
})

const input = createInterface(process.stdin)
input.on('line', line => {
  if (line === 'sessions') process.stdout.write(`sessions ${sessions.size}\n`)
  if (line !== 'forget') return
  for (const transport of [...sessions.values()]) void transport.close()
  process.stdout.write('forgotten\n')
})
input.once('close', () => process.exit(0))
