/** A tape as large as those of long recordings, with all kinds of calls on it. */
import { open } from 'node:fs/promises'

export const RARE = 'prompts/get'
export const TENTH = 'resources/read'

export interface LargeTape {
  readonly bytes: number
  /** Frames of each of the two methods above, answers included. */
  readonly frames: Readonly<Record<string, number>>
}

/** Four frames a call, as recorded in front of a server over HTTP; 200 bytes to 20 KB each. */
export async function writeLargeTape(file: string, bytes: number): Promise<LargeTape> {
  const frames: Record<string, number> = { [RARE]: 0, [TENTH]: 0 }
  const handle = await open(file, 'w')
  let written = 0
  try {
    let lines = `${JSON.stringify(HEADER)}\n`
    for (let id = 1; written + lines.length < bytes || id <= 10; id++) {
      const method = methodOf(id)
      if (method in frames) frames[method]! += 4
      lines += linesOf(id, method)
      if (lines.length < CHUNK) continue
      written += (await handle.write(lines)).bytesWritten
      lines = ''
    }
    written += (await handle.write(lines)).bytesWritten
  } finally {
    await handle.close()
  }
  return { bytes: written, frames }
}

const CHUNK = 4 * 1024 * 1024
const HEADER = {
  ...{ catflap: 'tape', version: 1, started: '2026-01-01T00:00:00.000Z' },
  ...{ target: { kind: 'http', url: 'http://127.0.0.1:3000/mcp' }, software: { name: 'catflap', version: '0.1.0' } }
}

function methodOf(id: number): string {
  if (id % 5_000 === 7) return RARE
  if (id % 10 === 3) return TENTH
  return id % 10 === 5 ? 'tools/list' : 'tools/call'
}

/** Texts of servers, from 100 characters to 20 KB, most of them short. */
const TEXTS = Array.from({ length: 100 }, (_, i) =>
  'Lorem ipsum, “dolor” sit amet\n'.repeat(i < 90 ? 3 + i : 60 * (i - 88)).slice(0, 18_000)
)

function linesOf(id: number, method: string): string {
  const params = { name: `tool-${id % 40}`, arguments: { query: `what was asked in ${id}`, limit: id % 100 } }
  const up = JSON.stringify({ jsonrpc: '2.0', id, method, params })
  const down = JSON.stringify({
    ...{ jsonrpc: '2.0', id },
    result: { content: [{ type: 'text', text: TEXTS[(id * 37) % TEXTS.length] }], isError: false }
  })
  const asked = { method: 'POST', path: '/mcp', headers: [['content-type', 'application/json']] }
  const answered = { status: 200, headers: [['content-type', 'application/json']] }
  const line = (i: number, side: string, dir: string, http: object, text: string): string =>
    `${JSON.stringify({ n: 4 * id - 3 + i, t: id * 5 + i, side, dir, kind: 'message', session: `s-${id % 20}`, stream: `post-${id}`, http, text })}\n`
  return (
    line(0, 'client', 'up', asked, up) +
    line(1, 'server', 'up', asked, up) +
    line(2, 'server', 'down', answered, down) +
    line(3, 'client', 'down', answered, down)
  )
}
