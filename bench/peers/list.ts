/** Everybody who takes part. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Built } from './build.ts'
import { asLibrary, catflap, recording, withMetrics } from './catflap.ts'
import { mcpProxy, supergateway } from './gateways.ts'
import type { PeerKind } from './peer.ts'
import { plainEnvironment } from './process.ts'
import { relays } from './relays.ts'
import { haproxy, nginx } from './servers.ts'

/** The server itself, without anybody between. The scenario has started it. */
const direct: PeerKind = {
  name: 'direct',
  says: 'no proxy: the server itself, whose processor time it is',
  fronts: ['http'],
  start: async () => Promise.reject(new Error('this server cannot be reached without a proxy'))
}

const node: PeerKind = {
  name: 'node',
  says: '`node -e 0`: what any program on Node takes to start',
  fronts: ['http'],
  start: async () => {
    const startedAt = performance.now()
    await once(spawn(process.execPath, ['-e', '0'], { stdio: 'ignore', env: plainEnvironment() }), 'close')
    const startedIn = performance.now() - startedAt
    return { url: '', startedIn, cpu: () => undefined, rss: () => undefined, stop: async () => {} }
  }
}

export interface Builds {
  readonly own: Built
  /** Another commit, under the name it has in the results. */
  readonly other?: { readonly name: string; readonly commit: string; readonly built: Built }
  readonly profile?: string
}

export const PEER_NAMES: readonly string[] = [
  ...['direct', 'node', 'nginx', 'haproxy', 'http-proxy-3', 'relay', 'bare-relay', 'mcp-proxy', 'supergateway'],
  ...['catflap', 'catflap-recording', 'catflap-metrics', 'library', 'library-ten', 'library-ten-reading']
]

export function peerKinds({ own, other, profile }: Builds): PeerKind[] {
  const passing = 'as a library, with ten interceptors at the hooks that see exchanges pass'
  const kinds = [
    ...[direct, node, nginx, haproxy],
    ...relays(own),
    ...[mcpProxy, supergateway],
    catflap(own, { profile }),
    recording(own),
    withMetrics(own),
    asLibrary(own, 'library', 'catflap as a library, no interceptors', 0, 'none'),
    asLibrary(own, 'library-ten', passing, 10, 'passing'),
    asLibrary(
      own,
      'library-ten-reading',
      'as a library, with ten interceptors that moreover want every message',
      10,
      'reading'
    )
  ]
  if (other)
    kinds.push(
      catflap(other.built, { name: other.name, says: `commit ${other.commit.slice(0, 12)}, compiled likewise` })
    )
  return kinds
}
