/** Everybody who takes part. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import type { Built } from './build.ts'
import { catflaps } from './catflap.ts'
import { mcpProxy, supergateway } from './gateways.ts'
import type { PeerKind } from './peer.ts'
import { plainEnvironment } from './process.ts'
import { relays } from './relays.ts'
import { haproxy, nginx, nginxDefault } from './servers.ts'

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
  only: [],
  start: async () => {
    const startedAt = performance.now()
    await once(spawn(process.execPath, ['-e', '0'], { stdio: 'ignore', env: plainEnvironment() }), 'close')
    const startedIn = performance.now() - startedAt
    return { url: '', startedIn, cpu: () => undefined, rss: () => undefined, stop: async () => {} }
  }
}

export interface Builds {
  readonly own: Built
  /** Another commit, under the name that those who run the benchmark gave it. */
  readonly other?: { readonly ref: string; readonly commit: string; readonly built: Built }
  readonly profile?: string
}

export const PEER_NAMES: readonly string[] = [
  ...['direct', 'node', 'nginx', 'nginx-default', 'haproxy', 'http-proxy-3', 'http-proxy-3-keep-alive'],
  ...['relay', 'bare-relay', 'mcp-proxy', 'supergateway'],
  ...[
    'catflap',
    'catflap-recording',
    'catflap-metrics',
    'catflap-replay',
    'catflap-tape-rare',
    'catflap-tape-tenth',
    'catflap-reverse',
    'catflap-reverse-ten',
    'catflap-drained',
    'catflap-two',
    'catflap-two-hanging',
    'library',
    'library-ten',
    'library-ten-reading',
    'library-redis',
    'library-redis-two'
  ]
]

export function peerKinds({ own, other, profile }: Builds): PeerKind[] {
  const kinds = [direct, node, nginx, nginxDefault, haproxy, ...relays(own), mcpProxy, supergateway]
  kinds.push(...catflaps(own, { profile }))
  if (other) {
    const commit = `commit ${other.commit.slice(0, 12)}`
    // Profiled as well, if anybody is: a profiler takes so much that a comparison would be one of profilers.
    for (const kind of catflaps(other.built, {
      profile: profile && path.join(profile, `@${other.ref.replaceAll('/', '_')}`)
    }))
      kinds.push({ ...kind, name: `${kind.name}@${other.ref}`, says: `${kind.says}; of ${commit}`, twinOf: kind.name })
  }
  return kinds
}
