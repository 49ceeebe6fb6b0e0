/** catflap in its default configuration, and with what each scenario adds to it. */
import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import path from 'node:path'
import { RARE, TENTH } from '../load/large-tape.ts'
import { CALL, HEADERS, post, postHead, RESULT, SESSION_HEADER } from '../load/messages.ts'
import { expectAnswers, openAnySession } from '../load/sessions.ts'
import { type Built, stripped } from './build.ts'
import { type Peer, type PeerKind, type Target, urlOf } from './peer.ts'
import { freePort, startListening } from './process.ts'
import { shared } from './shared.ts'
import { showing } from './tape-show.ts'

export interface CatflapOptions {
  /** V8 CPU profiles are left there, in a folder a peer. */
  readonly profile?: string
}

/** catflap in all its forms. */
export function catflaps(built: Built, options: CatflapOptions = {}): PeerKind[] {
  const profiler = (name: string): readonly string[] =>
    options.profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', path.join(options.profile, name)]
  const passing = 'as a library, with ten interceptors at the hooks that see exchanges pass'
  const reading = 'as a library, with ten interceptors that moreover want every message'
  return [
    plain(built, profiler('catflap')),
    recording(built, profiler('catflap-recording')),
    withMetrics(built, profiler('catflap-metrics')),
    replaying(built, profiler('catflap-replay')),
    showing(built, profiler('catflap-tape-rare'), 'catflap-tape-rare', 'one call in 5,000', RARE),
    showing(built, profiler('catflap-tape-tenth'), 'catflap-tape-tenth', 'one call in ten', TENTH),
    reversed(built, profiler('catflap-reverse'), 'catflap-reverse', '`catflap reverse` with one route', 1),
    reversed(built, profiler('catflap-reverse-ten'), 'catflap-reverse-ten', '`catflap reverse` with ten routes', 10),
    drained(built, profiler('catflap-drained')),
    twoServers(built, profiler('catflap-two'), 'catflap-two', 'two servers for one route', false),
    twoServers(built, profiler('catflap-two-hanging'), 'catflap-two-hanging', 'two servers, one of which hangs', true),
    asLibrary(built, profiler, 'library', 'catflap as a library, no interceptors', 0, 'none'),
    asLibrary(built, profiler, 'library-ten', passing, 10, 'passing'),
    asLibrary(built, profiler, 'library-ten-reading', reading, 10, 'reading'),
    ...shared(built, profiler)
  ]
}

function plain(built: Built, profiler: readonly string[]): PeerKind {
  return {
    name: 'catflap',
    says: 'this tree, compiled as it is published, default configuration',
    fronts: ['http', 'stdio'],
    start: target => forward(built, target, [], profiler)
  }
}

function recording(built: Built, profiler: readonly string[]): PeerKind {
  return {
    name: 'catflap-recording',
    says: 'the same with `--record FILE` (what is full makes traffic wait, nothing is dropped)',
    fronts: ['http', 'stdio'],
    only: [],
    start: async (target, folder) => {
      await mkdir(folder, { recursive: true })
      const tape = path.join(folder, 'bench.tape.jsonl')
      return { ...(await forward(built, target, ['--record', tape, '--record-overflow', 'block'], profiler)), tape }
    }
  }
}

function withMetrics(built: Built, profiler: readonly string[]): PeerKind {
  return {
    name: 'catflap-metrics',
    says: 'the same with `--metrics`, scraped once a second',
    fronts: ['http', 'stdio'],
    only: [],
    unable: async () => (built.metrics ? undefined : 'this catflap has no --metrics'),
    start: async target => {
      const port = await freePort()
      const peer = await forward(built, target, ['--metrics', `127.0.0.1:${port}`], profiler)
      return { ...peer, metrics: `http://127.0.0.1:${port}/metrics` }
    }
  }
}

/** The server is asked once, for the tape; it is not asked any more under load. */
function replaying(built: Built, profiler: readonly string[]): PeerKind {
  return {
    name: 'catflap-replay',
    says: '`catflap replay` of a tape with that one call on it, recorded with the same server',
    fronts: ['http'],
    only: [],
    start: async (target, folder) => {
      await mkdir(folder, { recursive: true })
      const tape = path.join(folder, `replay-${++tapes}.tape.jsonl`)
      const recorder = await forward(built, target, ['--record', tape], [])
      try {
        const session = await openAnySession(recorder.url)
        const call = post(postHead(recorder.url, { ...HEADERS, [SESSION_HEADER]: session }), CALL)
        await expectAnswers(recorder.url, call, RESULT, { times: 1 })
      } finally {
        await recorder.stop()
      }
      const peer = await startListening(port => [
        ...([process.execPath, ...profiler, built.command] as const),
        ...['replay', '--listen', `127.0.0.1:${port}`, tape]
      ])
      return { ...peer, replays: true }
    }
  }
}

let tapes = 0

/** All routes lead to the one server; the last one is asked. */
function reversed(built: Built, profiler: readonly string[], name: string, says: string, routes: number): PeerKind {
  return {
    name,
    says,
    fronts: ['http'],
    only: [],
    start: async target => {
      const names = Array.from({ length: routes }, (_, i) => `r${i}`)
      const peer = await startListening(port => [
        ...([process.execPath, ...profiler, built.command] as const),
        ...['reverse', '--listen', `127.0.0.1:${port}`, ...names.map(one => `${one}=${urlOf(target)}`)]
      ])
      return { ...peer, url: peer.url.replace(/\/mcp$/, `/${names.at(-1)}/mcp`) }
    }
  }
}

/** With operators, who can ask it to drain. */
function drained(built: Built, profiler: readonly string[]): PeerKind {
  return {
    name: 'catflap-drained',
    says: '`catflap reverse` with one route and `--admin`, drained anew each round',
    fronts: ['http'],
    only: [],
    start: async target => {
      const admin = { url: `http://127.0.0.1:${await freePort()}`, token: randomUUID() }
      const peer = await startListening(
        port => [
          ...([process.execPath, ...profiler, built.command] as const),
          ...['reverse', '--listen', `127.0.0.1:${port}`, '--admin', new URL(admin.url).host, `r0=${urlOf(target)}`]
        ],
        { CATFLAP_ADMIN_TOKEN: admin.token }
      )
      return { ...peer, url: peer.url.replace(/\/mcp$/, '/r0/mcp'), admin }
    }
  }
}

/** The one server under two addresses, or beside one that takes connections and says nothing. */
function twoServers(built: Built, profiler: readonly string[], name: string, says: string, hangs: boolean): PeerKind {
  return {
    name,
    says: `\`catflap reverse\`, ${says}`,
    fronts: ['http'],
    only: [],
    start: async (target, folder) => {
      await mkdir(folder, { recursive: true })
      const url = urlOf(target)
      const silent = hangs ? await silentServer() : undefined
      const targets = [url, silent ? `http://127.0.0.1:${silent.port}/mcp` : url.replace('127.0.0.1', 'localhost')]
      const peer = await startListening(async port => {
        const file = path.join(folder, 'catflap.json')
        const listeners = [{ address: `127.0.0.1:${port}` }]
        await writeFile(file, JSON.stringify({ listeners, routes: { two: { path: '/mcp', targets } } }))
        return [process.execPath, ...profiler, built.command, 'reverse', '--config', file]
      })
      const stop = async (): Promise<void> => {
        await peer.stop()
        silent?.close()
      }
      return { ...peer, stop }
    }
  }
}

async function silentServer(): Promise<{ readonly port: number; close(): void }> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.resume()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const close = (): void => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  return { port: (server.address() as AddressInfo).port, close }
}

/** From a program of one's own: `hooks` says how many interceptors it has, and which hooks these implement. */
function asLibrary(
  built: Built,
  profiler: (name: string) => readonly string[],
  name: string,
  says: string,
  interceptors: number,
  hooks: string
): PeerKind {
  return {
    name,
    says,
    fronts: ['http', 'stdio'],
    only: [],
    start: async target => {
      const program = await stripped('library', built.folder)
      const options = [String(interceptors), hooks, JSON.stringify(targetOptions(target))]
      return startListening(port => [
        ...([process.execPath, ...profiler(name), program] as const),
        ...[built.library, String(port), ...options]
      ])
    }
  }
}

function targetOptions(target: Target): object {
  if ('url' in target) return target
  const [command, ...args] = target.command
  return { command, args }
}

function forward(built: Built, target: Target, options: readonly string[], profiler: readonly string[]): Promise<Peer> {
  const to = 'url' in target ? [target.url] : ['--', ...target.command]
  return startListening(port => [
    ...([process.execPath, ...profiler, built.command] as const),
    ...['forward', '--listen', `127.0.0.1:${port}`, ...options, ...to]
  ])
}
