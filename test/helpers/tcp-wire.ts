/** A wire to a server on this machine that can be cut, while others still reach the server. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { Inbox } from './wait.ts'

export interface Wire {
  readonly port: number
  /** `performance.now()` of each connection so far. */
  readonly connected: Inbox<number>
  /** What is connected breaks, and nobody gets through, until `join`. */
  cut(): void
  join(): void
  /** What is said on it gets nowhere, and nobody is told. */
  freeze(): void
  /** Breaks what is connected as soon as the answer comes to the next thing said that holds `text`. Resolves then. */
  loseAnswerTo(text: string): Promise<void>
  close(): Promise<void>
}

export async function startWire(port: number): Promise<Wire> {
  const sockets = new Set<Socket>()
  const connected = new Inbox<number>('connections')
  let isCut = false
  let isFrozen = false
  let lose: { readonly text: string; readonly lost: () => void } | undefined
  const keep = (socket: Socket): Socket => {
    sockets.add(socket)
    return socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  }
  const server = createServer(near => {
    keep(near)
    connected.push(performance.now())
    if (isCut) return near.destroy()
    const far = keep(connect(port, '127.0.0.1'))
    let lost: (() => void) | undefined
    near.on('data', (said: Buffer) => {
      if (isFrozen) return
      if (lose && said.includes(lose.text)) {
        lost = lose.lost
        lose = undefined
      }
      far.write(said)
    })
    far.on('data', (said: Buffer) => {
      if (lost) {
        near.destroy()
        return lost()
      }
      if (!isFrozen) near.write(said)
    })
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
    return undefined
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => {
    isCut = true
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    connected,
    cut,
    join: () => {
      isCut = false
    },
    freeze: () => {
      isFrozen = true
    },
    loseAnswerTo: text => new Promise(lost => (lose = { text, lost: () => lost() })),
    close: async () => {
      cut()
      server.close()
      await once(server, 'close')
    }
  }
}
