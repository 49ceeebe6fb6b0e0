/**
 * http-proxy-3 alone.
 *
 *   node bench/programs/http-proxy.ts PORT default|keep-alive http://127.0.0.1:3001/mcp
 *
 * `default` is the first example of its README. `keep-alive` is the best form that we could find: it has the agent that keeps
 * connections to the server, and a server that keeps those of clients.
 */
import { Agent, createServer, ServerResponse } from 'node:http'
import { createProxyServer } from 'http-proxy-3'

const [port, form, url] = process.argv.slice(2)
const target = new URL(url!).origin
const proxy = createProxyServer(form === 'keep-alive' ? { target, agent: new Agent({ keepAlive: true }) } : { target })

proxy.on('error', (_error, _req, res) => {
  if (!(res instanceof ServerResponse) || res.headersSent) res?.destroy()
  else res.writeHead(502).end()
})

if (form === 'keep-alive') {
  const server = createServer({ keepAliveTimeout: 600_000 }, (req, res) => void proxy.web(req, res))
  server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 })
} else proxy.listen(Number(port), '127.0.0.1')
process.once('SIGTERM', () => process.exit(0))
