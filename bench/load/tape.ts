/** That a tape holds what went by. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { filled, type Template } from './messages.ts'

export interface Expecting {
  readonly request: Template
  readonly answer: string
  /** Ids from here on are those of the load. */
  readonly firstId: number
  /** At least so many exchanges are whole: those that the load saw answered. */
  readonly exchanges: number
}

interface Frame {
  readonly side?: string
  readonly dir?: string
  readonly kind?: string
  readonly stream?: string
  readonly note?: string
  readonly text?: string
}

/** Throws unless every exchange is there, with the bytes of its request and of its answer. The number of whole exchanges. */
export async function checkTape(file: string, { request, answer, firstId, exchanges }: Expecting): Promise<number> {
  const asked = new Set<string>()
  const ids = new Set<number>()
  let whole = 0
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const frame = JSON.parse(line) as Frame
    if (frame.note === 'dropped') throw new Error('the tape says that frames were dropped')
    if (frame.side !== 'client' || frame.kind !== 'message') continue
    if (frame.dir === 'up') {
      const id = Number(/"id":(\d{8}),/.exec(frame.text!)?.[1] ?? 0)
      if (id < firstId) continue
      if (frame.text !== filled(request, id)) throw new Error(`request ${id} on the tape is not what was sent`)
      if (ids.has(id)) throw new Error(`request ${id} is on the tape twice`)
      ids.add(id)
      asked.add(frame.stream!)
    } else if (asked.delete(frame.stream!)) {
      if (frame.text !== answer) throw new Error(`the answer on stream ${frame.stream} is not what was answered`)
      whole++
    }
  }
  if (whole < exchanges) throw new Error(`${exchanges} exchanges were answered, ${whole} are on the tape`)
  return whole
}
