/** HAProxy that gives each request to the next instance, whoever asks and whatever it is about. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { freePort, programPath } from '../../bench/peers/process.ts'
import { skipBecause } from '../helpers/require.ts'
import { spawnPeer } from '../helpers/stdio-peer.ts'
import { within } from '../helpers/wait.ts'

export interface Balancer {
  readonly url: string
  close(): Promise<void>
}

export function skipWithoutBalancer(): false | string {
  return programPath('haproxy') === undefined && skipBecause('haproxy is not installed')
}

export async function startBalancer(ports: readonly number[]): Promise<Balancer> {
  const program = programPath('haproxy')
  if (program === undefined) throw new Error('haproxy is not installed')
  // Somebody else may have taken the port meanwhile.
  for (let tries = 1; ; tries++) {
    const balancer = await tryBalancer(program, await freePort(), ports)
    if (typeof balancer !== 'string') return balancer
    if (tries === 5) throw new Error(`haproxy does not start: ${balancer}`)
  }
}

async function tryBalancer(program: string, port: number, ports: readonly number[]): Promise<Balancer | string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'catflap-balancer-'))
  const file = path.join(folder, 'haproxy.cfg')
  await writeFile(file, configuration(port, ports))
  const peer = spawnPeer([program, '-db', '-f', file])
  const close = async (): Promise<void> => {
    peer.proc.kill('SIGTERM')
    await within(peer.exit, { timeoutMs: 5_000, what: 'haproxy to end' }).catch(() => {
      peer.proc.kill('SIGKILL')
      return peer.exit
    })
    await rm(folder, { recursive: true, force: true })
  }
  while (peer.proc.exitCode === null && peer.proc.signalCode === null) {
    if (await accepts(port)) return { url: `http://127.0.0.1:${port}`, close }
    await pause(5)
  }
  await close()
  return peer.stderr.items.join('\n')
}

/**
 * It knows nothing of sessions, and does not look whether an instance is well. A connection that is refused is tried at the next, as
 * nothing was sent; whatever was sent is sent once.
 */
function configuration(port: number, ports: readonly number[]): string {
  const servers = ports.map((to, i) => `  server instance${i} 127.0.0.1:${to}`)
  return `
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
listen instances
  bind 127.0.0.1:${port} backlog 4096
  balance roundrobin
  http-reuse never
  option redispatch 1
  option abortonclose
  retries 6
  retry-on conn-failure
${servers.join('\n')}
`
}

function accepts(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    const done = (yes: boolean): void => {
      socket.destroy()
      resolve(yes)
    }
    socket.once('connect', () => done(true)).once('error', () => done(false))
  })
}
