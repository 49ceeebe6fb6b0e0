/** Saturation by h2load (of nghttp2), which speaks HTTP/1.1 and HTTP/2: the same load over both. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { within } from '../owner.ts'
import { kill, owned, requiredProgram } from '../peers/process.ts'

export interface H2LoadOptions {
  readonly url: string
  readonly http1: boolean
  readonly connections: number
  /** Requests at once on each connection. */
  readonly streams: number
  /** Whole seconds, at least one. */
  readonly seconds: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** For the body, which h2load reads from a file. */
  readonly folder: string
}

export interface H2LoadResult {
  readonly requests: number
  /** Requests a second. */
  readonly rate: number
}

/** Throws where anything but answers of status 2xx came. */
export async function h2load(options: H2LoadOptions): Promise<H2LoadResult> {
  const { url, http1, connections, streams, seconds, headers, body, folder } = options
  const file = path.join(folder, `body-${process.pid}-${serial++}`)
  await writeFile(file, body)
  const named = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name.toLowerCase()}: ${value}`])
  const load = ['-D', String(seconds), '-c', String(connections), '-m', String(streams), '-t', '1', '-d', file]
  const args = [...(http1 ? ['--h1'] : []), ...load, ...named, url]
  const child = spawn(requiredProgram('h2load', 'nghttp2-client'), args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true
  })
  owned(child)
  try {
    const outputs = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
    const [stdout, stderr] = await within(seconds * 1000 + 30_000, 'h2load', outputs)
    return resultOf(stdout, stderr)
  } finally {
    kill(child)
  }
}

let serial = 0

function resultOf(stdout: string, stderr: string): H2LoadResult {
  const rate = Number(/^finished in .*, ([\d.]+) req\/s/m.exec(stdout)?.[1])
  const counts = /^requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/m.exec(stdout)
  const codes = /^status codes: (\d+) 2xx/m.exec(stdout)
  if (!counts || !codes || !(rate > 0)) throw new Error(`h2load printed no result: ${stdout}${stderr}`)
  const [done, , failed, errored, late] = counts.slice(1).map(Number) as [number, number, number, number, number]
  if (failed + errored + late > 0 || Number(codes[1]) < done)
    throw new Error(`h2load saw errors: ${counts[0]}; ${codes[0]}`)
  return { requests: done, rate }
}
