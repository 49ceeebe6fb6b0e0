import type { Socket } from 'node:net'

/** What every client of HTTP/2 says first (RFC 9113 §3.4). No request of HTTP/1.1 can begin so. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export type FirstWord = 'http1' | 'http2' | 'silence'

/**
 * Which protocol a client on clear text speaks, by its first bytes (RFC 9113 §3.3), which are put back. `silence`: it has not
 * said enough within `patience` ms. Nothing is told of a client that left.
 */
export function firstWord(socket: Socket, patience: number, told: (word: FirstWord) => void): void {
  let heard: Buffer | undefined
  const timer = setTimeout(() => done('silence'), patience)

  function look(): void {
    const bytes = socket.read() as Buffer | null
    if (bytes === null) return
    heard = heard ? Buffer.concat([heard, bytes]) : bytes
    const seen = Math.min(heard.length, PREFACE.length)
    if (heard.compare(PREFACE, 0, seen, 0, seen) !== 0) done('http1')
    else if (seen === PREFACE.length) done('http2')
  }

  function gone(): void {
    clearTimeout(timer)
    socket.destroy()
  }

  function done(word: FirstWord): void {
    clearTimeout(timer)
    socket.off('readable', look)
    socket.off('end', gone)
    socket.off('close', gone)
    // One unshift at the end: each would make the socket readable anew.
    if (heard) socket.unshift(heard)
    told(word)
  }

  socket.on('readable', look)
  socket.on('end', gone)
  socket.on('close', gone)
}
