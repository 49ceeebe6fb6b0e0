/** Proxies for any HTTP, from Debian: each with one worker, in the best form that its manual gives. nginx as it is by default, too. */
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { asOurselves, startNginx, temporaryFolders } from '../servers/nginx.ts'
import { DEFAULT_FORMS_IN, type PeerKind, type Target, urlOf } from './peer.ts'
import { missingPrograms, requiredProgram, startListening } from './process.ts'

export const nginx: PeerKind = {
  name: 'nginx',
  says: 'nginx as a reverse proxy, one worker, HTTP/1.1 with kept connections to the server, `proxy_buffering off`',
  fronts: ['http'],
  unable: async () => missing('nginx'),
  start: (target, folder) => start(target, folder, KEPT)
}

export const nginxDefault: PeerKind = {
  ...nginx,
  name: 'nginx-default',
  says: 'the same with `proxy_pass` and nothing else: a new connection to the server for each request',
  only: DEFAULT_FORMS_IN,
  start: (target, folder) => start(target, folder, '')
}

export const haproxy: PeerKind = {
  name: 'haproxy',
  says: 'HAProxy, one thread, `http-reuse always`',
  fronts: ['http'],
  unable: async () => missing('haproxy'),
  start: (target, folder) =>
    startListening(async port => {
      await mkdir(folder, { recursive: true })
      const file = path.join(folder, 'haproxy.cfg')
      await writeFile(file, haproxyConfig(port, new URL(urlOf(target)).host))
      return [requiredProgram('haproxy'), '-db', '-f', file]
    })
}

function missing(program: string): string | undefined {
  return missingPrograms([program]).length > 0 ? `not installed; on Debian: apt-get install ${program}` : undefined
}

/** What the manual says for connections to the server that are kept, and for answers that are streams. */
const KEPT = `
      proxy_http_version 1.1;
      proxy_set_header Connection '';
      proxy_buffering off;
      proxy_buffer_size 64k;
      proxy_buffers 8 64k;
      proxy_busy_buffers_size 128k;
      proxy_read_timeout 1h;`

function start(target: Target, folder: string, more: string): ReturnType<PeerKind['start']> {
  return startNginx(path.join(folder, 'nginx'), port => nginxConfig(port, new URL(urlOf(target)).host, more))
}

/** Without `more`, connections are not kept, whatever `keepalive` says: requests go to the server as HTTP/1.0. */
function nginxConfig(port: number, upstream: string, more: string): string {
  return `${asOurselves()}
worker_processes 1;
worker_rlimit_nofile 20000;
daemon off;
pid nginx.pid;
error_log stderr error;
events { worker_connections 16384; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  client_max_body_size 0;
  client_body_buffer_size 16m;
  ${temporaryFolders()}
  upstream server { server ${upstream}; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://server;${more}
    }
  }
}
`
}

function haproxyConfig(port: number, upstream: string): string {
  return `
global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  option http-keep-alive
  http-reuse always
listen mcp
  bind 127.0.0.1:${port} backlog 4096
  server server ${upstream}
`
}
