/** What a run is pointed at: the reference server itself, or catflap (or a relay) in front of it. Each time a fresh one. */
import { fileURLToPath } from 'node:url'
import { startReferenceServer } from '../fixtures/conformance/http-server.ts'
import { startCatflap } from '../helpers/catflap.ts'
import type { Mutation } from './mutants/mutations.ts'
import { startRelay } from './mutants/relay.ts'

const STDIO_SERVER = fileURLToPath(new URL('../fixtures/conformance/stdio-server.ts', import.meta.url))
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
