/** What the streaming server and those who read from it have agreed on. */
import path from 'node:path'
import { type Running, startListening } from '../peers/process.ts'

/** `stream`, `paced`, `large=BLOCKS`, `flood=EVENTS`, `listen` or `broadcast`. Every proxy passes it on, as it is end to end. */
export const ANSWER_HEADER = 'X-Bench-Answer'

/** Between two events of a paced stream, in ms. */
export const PACE_MS = 1

/** A large result is this text so many times, within one string. */
export const BLOCK = Buffer.alloc(64 * 1024, 'catflap ')
export const LARGE_BEFORE = Buffer.from('{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"')
export const LARGE_AFTER = Buffer.from('"}],"isError":false}}')

/** An event of 16 KB. */
export function floodEvent(): Buffer {
  const params = { level: 'info', data: 'catflap '.repeat(2040) }
  return Buffer.from(
    `event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/message', params })}\n\n`
  )
}

export function startStreams(): Promise<Running> {
  const program = path.join(import.meta.dirname, 'streams.ts')
  return startListening(port => [process.execPath, '--no-warnings', program, String(port)])
}
