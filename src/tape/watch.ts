import { connect, type Socket } from 'node:net'
import path from 'node:path'
import { Changes } from './changes.ts'
import { TapeReader } from './reader.ts'
import {
  type LiveProcess,
  listDescriptions,
  openRuntimeFolder,
  readDescription,
  runtimeFolder
} from './runtime-folder.ts'

export interface WatchOptions {
  readonly folder?: string
  readonly signal?: AbortSignal
  /** Only those that run now. */
  readonly once?: boolean
}

/** Every running catflap of this user; without `once`, also those that start later. Throws TapeError `runtime_folder`. */
export async function* runningProcesses(options: WatchOptions = {}): AsyncGenerator<LiveProcess, void, void> {
  const folder = options.folder ?? runtimeFolder()
  await openRuntimeFolder(folder)
  const known = new Set<string>()
  const changes = options.once ? undefined : new Changes(folder, options.signal)
  try {
    for (;;) {
      changes?.reset()
      const names = await listDescriptions(folder)
      for (const name of known) if (!names.includes(name)) known.delete(name)
      for (const name of names) {
        if (known.has(name)) continue
        known.add(name)
        const description = await readDescription(path.join(folder, name))
        if (description) yield description
      }
      if (!changes || options.signal?.aborted) return
      await changes.next()
      if (options.signal?.aborted) return
    }
  } finally {
    changes?.close()
  }
}

/** What a running catflap sees from now on. Undefined when it is gone. Throws TapeError. */
export async function attach(described: LiveProcess, signal?: AbortSignal): Promise<TapeReader | undefined> {
  const socket = connect(described.socket)
  const stop = () => socket.destroy()
  signal?.addEventListener('abort', stop)
  socket.once('close', () => signal?.removeEventListener('abort', stop))
  const connected = await new Promise<boolean>(resolve => {
    socket.once('connect', () => resolve(true))
    socket.once('close', () => resolve(false))
    socket.once('error', () => resolve(false))
  })
  if (!connected || signal?.aborted) {
    socket.destroy()
    return undefined
  }
  socket.write(`${described.key}\n`)
  return TapeReader.from(chunksOf(socket), `catflap ${described.pid}`)
}

/** Its bytes until it closes, however it closes: a catflap that was killed is no error of ours. */
async function* chunksOf(socket: Socket): AsyncGenerator<Buffer, void, void> {
  try {
    for await (const chunk of socket) yield chunk as Buffer
  } catch {
    // Reset or destroyed: the same end.
  } finally {
    socket.destroy()
  }
}
