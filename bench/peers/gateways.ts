/** Gateways from Streamable HTTP to a stdio server, from npm. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { Peer, PeerKind, Target } from './peer.ts'
import { type Argv, startListening } from './process.ts'

const MODULES = path.join(import.meta.dirname, 'node_modules')

export const mcpProxy: PeerKind = {
  name: 'mcp-proxy',
  says: 'the npm package mcp-proxy, Streamable HTTP only',
  fronts: ['stdio'],
  unable: async () => missing('mcp-proxy/dist/bin/mcp-proxy.mjs'),
  start: target =>
    gateway('mcp-proxy/dist/bin/mcp-proxy.mjs', port => [
      ...['--port', String(port), '--host', '127.0.0.1', '--server', 'stream', '--'],
      ...commandOf(target)
    ])
}

export const supergateway: PeerKind = {
  name: 'supergateway',
  says: 'the npm package supergateway, Streamable HTTP, with sessions',
  fronts: ['stdio'],
  unable: async () => missing('supergateway/dist/index.js'),
  start: target =>
    gateway('supergateway/dist/index.js', port => [
      ...['--stdio', commandOf(target).map(quoted).join(' '), '--outputTransport', 'streamableHttp', '--stateful'],
      ...['--port', String(port), '--logLevel', 'none']
    ])
}

function missing(program: string): string | undefined {
  return existsSync(path.join(MODULES, program)) ? undefined : 'not installed; run npm ci --prefix bench/peers'
}

function gateway(program: string, args: (port: number) => readonly string[]): Promise<Peer> {
  const loopback = path.join(import.meta.dirname, '../programs/loopback.mjs')
  return startListening(
    (port): Argv => [
      process.execPath,
      '--no-warnings',
      '--import',
      loopback,
      path.join(MODULES, program),
      ...args(port)
    ]
  )
}

function commandOf(target: Target): Argv {
  if (!('command' in target)) throw new Error('this peer stands in front of a command only')
  return target.command
}

/** Its command is one string for a shell. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}
