/** The server that everything is measured against: nginx, one worker, one static JSON-RPC result. */
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { type Peer, programPath, startProcess } from './process.ts'

export const SESSION_ID = 'bench-0123456789abcdef0123456789abcdef'

export const INITIALIZE = JSON.stringify({
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'bench', version: '1' } }
})

export const CALL = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: { name: 'weather', arguments: { city: 'Lisbon', days: 3, units: 'metric' } }
})

/** About 200 bytes. */
export const RESULT = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  result: {
    content: [
      { type: 'text', text: 'Lisbon: sunny, 24 degrees; tomorrow clouds, 21 degrees; the day after rain, 18 degrees.' }
    ],
    isError: false
  }
})

const INITIALIZED = JSON.stringify({
  jsonrpc: '2.0',
  id: 0,
  result: { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'nginx', version: '1' } }
})

/** A request without a session is `initialize`; what comes with one gets the result. GET is not offered, as the spec allows. */
function config(port: number): string {
  return `
worker_processes 1;
daemon off;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off;
  default_type application/json;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {
    listen 127.0.0.1:${port};
    location = /mcp {
      if ($request_method = GET) { return 405; }
      if ($http_mcp_session_id = '') {
        add_header Mcp-Session-Id ${SESSION_ID};
        return 200 '${INITIALIZED}';
      }
      return 200 '${RESULT}';
    }
  }
}
`
}

export async function startNginx(folder: string): Promise<Peer> {
  const prefix = path.join(folder, 'nginx')
  await mkdir(prefix, { recursive: true })
  // nginx cannot choose a port itself, so one that was free a moment ago is taken.
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const file = path.join(prefix, 'nginx.conf')
    await writeFile(file, config(port))
    const url = `http://127.0.0.1:${port}/mcp`
    try {
      return await startProcess([programPath('nginx') ?? 'nginx', '-p', prefix, '-c', file, '-e', 'stderr'], {
        url,
        measure: 'children'
      })
    } catch (error) {
      if (attempt === 3) throw error
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}
