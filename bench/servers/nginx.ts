/** The server behind: nginx, one worker, static answers. What it answers with follows from the headers of a request. */
import { mkdir, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import path from 'node:path'
import { INITIALIZED, MODERN, MODERN_RESULT, RESULT, resultOfSize } from '../load/messages.ts'
import { type Running, requiredProgram, startListening } from '../peers/process.ts'

/** With this header a result of so many bytes is answered. Every proxy passes it on, as it is end to end. */
export const SIZE_HEADER = 'X-Bench-Size'
/** With this header the result names the session as the server knows it. */
export const NAMED_HEADER = 'X-Bench-Named'

/** The result that names a session. */
export function namedResult(session: string): string {
  return `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"this is session ${session}"}]}}`
}

/** A request without a session is `initialize`; what comes with one gets a result. GET is not offered, as the spec allows. */
function config(port: number): string {
  return `${asOurselves()}
worker_processes 1;
worker_rlimit_nofile 20000;
daemon off;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 8192; }
http {
  access_log off;
  default_type application/json;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  client_max_body_size 0;
  client_body_buffer_size 16m;
  sendfile on;
  open_file_cache max=100 inactive=1h;
  ${temporaryFolders()}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /mcp {
      # \`return\` does not wait for the body. Servers do, and an answer that overtakes its request is more than every proxy bears.
      if ($content_length ~ '^[0-9]{5}') { rewrite ^ /read last; }
      if ($request_method = GET) { return 405; }
      if ($http_mcp_protocol_version = '${MODERN}') { return 200 '${MODERN_RESULT}'; }
      if ($http_mcp_session_id = '') {
        add_header Mcp-Session-Id $request_id;
        return 200 '${INITIALIZED}';
      }
      if ($http_${variable(NAMED_HEADER)}) { return 200 '${namedResult('$http_mcp_session_id')}'; }
      if ($http_${variable(SIZE_HEADER)}) { rewrite ^ /results/$http_${variable(SIZE_HEADER)} last; }
      return 200 '${RESULT}';
    }
    # To mirror a body it has to be read.
    location = /read {
      internal;
      mirror /nowhere;
      root .;
      error_page 405 =200 $uri;
    }
    location = /nowhere { internal; return 204; }
    # Files answer GET alone; this makes one of a POST, without a second way around.
    location /results/ {
      internal;
      root .;
      error_page 405 =200 $uri;
    }
  }
}
`
}

function variable(header: string): string {
  return header.toLowerCase().replaceAll('-', '_')
}

/** The run's folder is its owner's alone; without this, workers of root's nginx would be nobody. */
export function asOurselves(): string {
  return process.getuid?.() === 0 ? `user ${userInfo().username};` : ''
}

/** Relative to the prefix, so that nothing outside the run's folder is touched. */
export function temporaryFolders(): string {
  return ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${name};`).join(' ')
}

export function startNginxServer(folder: string, sizes: readonly number[] = []): Promise<Running> {
  return startNginx(path.join(folder, 'server'), config, async prefix => {
    await mkdir(path.join(prefix, 'results'), { recursive: true })
    await writeFile(path.join(prefix, 'read'), RESULT)
    for (const size of sizes) await writeFile(path.join(prefix, 'results', String(size)), resultOfSize(size))
  })
}

/** An nginx with everything it writes in one folder. */
export function startNginx(
  prefix: string,
  configOf: (port: number) => string,
  prepare?: (prefix: string) => Promise<void>
): Promise<Running> {
  return startListening(async port => {
    await mkdir(prefix, { recursive: true })
    await prepare?.(prefix)
    const file = path.join(prefix, 'nginx.conf')
    await writeFile(file, configOf(port).replaceAll('root .;', `root ${prefix};`))
    return [requiredProgram('nginx'), '-p', prefix, '-c', file, '-e', 'stderr']
  })
}
