/** A wire to a server on this machine that can be cut, while others still reach the server. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Wire {
  readonly port: number
  /** What is connected breaks, and nobody gets through, until `join`. */
  cut(): void
  join(): void
  /** What is asked next in which `text` occurs gets there, and the answer does not: the connection breaks in its place. Resolves when that has happened. */
  loseAnswerTo(text: string): Promise<void>
  close(): Promise<void>
}

export async function startWire(port: number): Promise<Wire> {
  const sockets = new Set<Socket>()
  let isCut = false
  let losing: { readonly text: string; readonly lost: () => void } | undefined
  const keep = (socket: Socket): Socket => {
    sockets.add(socket)
    return socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  }
  const server = createServer(near => {
    keep(near)
    if (isCut) return near.destroy()
    const far = keep(connect(port, '127.0.0.1'))
    near.on('data', (asked: Buffer) => {
      if (!losing || !asked.includes(losing.text)) return
      const { lost } = losing
      losing = undefined
      far.unpipe(near).once('data', () => {
        near.destroy()
        lost()
      })
      far.resume()
    })
    near.pipe(far).pipe(near)
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
    cut,
    join: () => {
      isCut = false
    },
    loseAnswerTo: text =>
      new Promise(lost => {
        losing = { text, lost }
      }),
    close: async () => {
      cut()
      server.close()
      await once(server, 'close')
    }
  }
}
