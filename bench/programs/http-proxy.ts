/**
 * http-proxy-3 alone, as its manual shows it, with the agent that keeps connections.
 *
 *   node bench/programs/http-proxy.ts PORT http://127.0.0.1:3001/mcp
 */
import { Agent, createServer, ServerResponse } from 'node:http'
import { createProxyServer } from 'http-proxy-3'

const [port, target] = process.argv.slice(2)
const proxy = createProxyServer({ target: new URL(target!).origin, agent: new Agent({ keepAlive: true }) })

proxy.on('error', (_error, _req, res) => {
  if (!(res instanceof ServerResponse) || res.headersSent) res.destroy()
  else res.writeHead(502).end()
})

createServer({ keepAliveTimeout: 600_000 }, (req, res) => void proxy.web(req, res)).listen({
  port: Number(port),
  host: '127.0.0.1',
  backlog: 4096
})
process.once('SIGTERM', () => process.exit(0))
