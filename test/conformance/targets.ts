/** What a run is pointed at: the reference server itself, or catflap (or a relay) in front of it. Each time a fresh one. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startReferenceServer } from '../fixtures/conformance/http-server.ts'
import { runCatflap, startCatflap } from '../helpers/catflap.ts'
import { startH2Front } from './h2-front.ts'
import type { Mutation } from './mutants/mutations.ts'
import { startRelay } from './mutants/relay.ts'

const STDIO_SERVER = fileURLToPath(new URL('../fixtures/conformance/stdio-server.ts', import.meta.url))
const TLS = {
  certificate: fileURLToPath(new URL('../fixtures/tls/server.pem', import.meta.url)),
  key: fileURLToPath(new URL('../fixtures/tls/server.key', import.meta.url)),
  ca: fileURLToPath(new URL('../fixtures/tls/ca.pem', import.meta.url))
}
const LISTEN = ['--listen', '127.0.0.1:0']

export interface Target {
  readonly url: string
  close(): Promise<void>
}

export type OpenTarget = () => Promise<Target>

export const direct: OpenTarget = startReferenceServer

/** By the name under which a difference may be expected, and which the table shows. */
export const THROUGH: Readonly<Record<string, OpenTarget>> = {
  http: () => inFront(url => startCatflap(['forward', ...LISTEN, url])),
  stdio: async () => {
    const catflap = await startCatflap(['forward', ...LISTEN, '--', process.execPath, '--no-warnings', STDIO_SERVER])
    return { url: catflap.url, close: async () => void (await catflap.close()) }
  },
  reverse: () => inFront(url => startReverse(['reverse', ...LISTEN, `other=${url}`, `reference=${url}`])),
  'reverse-h2': () => inFront(overH2),
  'reverse-stdio': async () => {
    const command = [process.execPath, '--no-warnings', STDIO_SERVER]
    return startWithConfig({ listeners: [{ address: '127.0.0.1:0' }], routes: { reference: { command } } })
  }
}

/** catflap that records to this file, in front of the reference server on either transport. */
export const recorded = {
  http: (tape: string) => inFront(url => startCatflap(['forward', ...LISTEN, ...taping(tape), url])),
  stdio: async (tape: string): Promise<Target> => {
    const command = [process.execPath, '--no-warnings', STDIO_SERVER]
    const catflap = await startCatflap(['forward', ...LISTEN, ...taping(tape), '--', ...command])
    return { url: catflap.url, close: async () => void (await catflap.close()) }
  }
}

function taping(tape: string): string[] {
  return ['--record', tape, '--no-tail']
}

/** The URL of its last route. */
async function startReverse(args: readonly string[]): Promise<Target> {
  const run = runCatflap(args)
  try {
    const told = await run.events.until(event => event.event === 'listening', { timeoutMs: 15_000 })
    const { url } = (told.routes as { url: string }[]).at(-1)!
    return { url, close: async () => void (await run.close()) }
  } catch (error) {
    await run.kill9()
    throw error
  }
}

async function startWithConfig(config: object): Promise<Target> {
  const folder = mkdtempSync(join(tmpdir(), 'catflap-config-'))
  const file = join(folder, 'catflap.json')
  writeFileSync(file, JSON.stringify(config))
  const leave = (): void => rmSync(folder, { recursive: true, force: true })
  try {
    const started = await startReverse(['reverse', '--config', file])
    return { ...started, close: () => started.close().finally(leave) }
  } catch (error) {
    leave()
    throw error
  }
}

/** HTTP/2 over TLS; the suite itself speaks HTTP/1.1 only. */
async function overH2(url: string): Promise<Target> {
  const tls = { certificate: TLS.certificate, key: TLS.key }
  const listeners = [{ address: '127.0.0.1:0', tls }]
  const catflap = await startWithConfig({ listeners, routes: { reference: { target: url } } })
  try {
    const front = await startH2Front(catflap.url, readFileSync(TLS.ca, 'utf8'))
    return { url: front.url, close: () => front.close().finally(() => catflap.close()) }
  } catch (error) {
    await catflap.close()
    throw error
  }
}

export function mutant(mutation: Mutation): OpenTarget {
  return () => inFront(url => startRelay(url, mutation))
}

async function inFront(start: (url: string) => Promise<{ url: string; close(): Promise<unknown> }>): Promise<Target> {
  const server = await startReferenceServer()
  try {
    const relay = await start(server.url)
    return {
      url: relay.url,
      async close() {
        await relay.close().finally(() => server.close())
      }
    }
  } catch (error) {
    await server.close()
    throw error
  }
}
