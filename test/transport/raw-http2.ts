/** HTTP/2 by hand: frames as bytes, for what no client library would send. */
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Test } from 'tap'
import { CA } from '../fixtures/tls/certificates.ts'
import { Inbox, waitFor } from '../helpers/wait.ts'
import type { Wire } from './wires.ts'

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9
} as const
export const END_STREAM = 1
export const END_HEADERS = 4
export const ACK = 1
export const ENHANCE_YOUR_CALM = 11
export const REFUSED = 7
export const CANCEL = 8

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** HPACK without table or Huffman (RFC 7541 §6.2.2), which any decoder has to take. */
export function fields(...pairs: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(pairs.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]))
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes])
  const length = [127]
  let rest = bytes.length - 127
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128)
  return Buffer.concat([Buffer.of(...length, rest), bytes])
}

export function get(port: number, ...more: readonly (readonly [string, string])[]): Buffer {
  return fields([':method', 'GET'], [':scheme', 'http'], [':path', '/'], [':authority', `localhost:${port}`], ...more)
}

export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export interface RawClient {
  readonly socket: Socket
  readonly frames: Inbox<Frame>
  /** Resolves when the connection is over. */
  readonly closed: Promise<unknown>
  /** Says nothing when the connection is gone. */
  write(...parts: readonly Buffer[]): void
  /** The error code of the server's GOAWAY. */
  goaway(): Promise<number>
  /** The error code of the reset of a stream. */
  reset(stream: number): Promise<number>
}

/** Connected, with preface and `settings` sent and nothing acknowledged. */
export async function rawClient(t: Test, wire: Pick<Wire, 'tls'>, port: number, settings?: Buffer): Promise<RawClient> {
  const socket = wire.tls
    ? connectTls({ port, host: 'localhost', ca: CA, ALPNProtocols: ['h2'] })
    : connect({ port, host: '127.0.0.1' })
  t.teardown(() => void socket.destroy())
  socket.on('error', () => {})
  const closed = new Promise(resolve => socket.once('close', resolve))
  const frames = new Inbox<Frame>('frames')
  void closed.then(() => frames.end('closed'))
  await waitFor(socket, wire.tls ? 'secureConnect' : 'connect')
  readFrames(socket, frames)
  const write = (...parts: readonly Buffer[]): void => {
    if (socket.writable) socket.write(Buffer.concat(parts))
  }
  write(PREFACE, frame(TYPE.settings, 0, 0, settings))
  return {
    socket,
    frames,
    closed,
    write,
    goaway: async () => (await frames.until(f => f.type === TYPE.goaway)).payload.readUInt32BE(4),
    reset: async stream =>
      (await frames.until(f => f.type === TYPE.reset && f.stream === stream)).payload.readUInt32BE(0)
  }
}

function readFrames(socket: Socket, frames: Inbox<Frame>): void {
  let pending: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length > 0 ? Buffer.concat([pending, chunk]) : chunk
    while (pending.length >= 9) {
      const end = 9 + pending.readUIntBE(0, 3)
      if (pending.length < end) return
      const [type, flags] = [pending[3]!, pending[4]!]
      frames.push({ type, flags, stream: pending.readUInt32BE(5), payload: pending.subarray(9, end) })
      pending = pending.subarray(end)
    }
  })
}
