import { printable } from '../printable.ts'
import { errnoOf, reasonOf, TapeError, type TapeTarget } from '../tape/format.ts'
import type { TapeReader } from '../tape/reader.ts'
import { keepHeapSmall } from './small-heap.ts'

/** Runs a command whose failures are one line on stderr and exit code 1. */
export async function reporting(run: () => Promise<void>): Promise<void> {
  keepHeapSmall()
  try {
    await run()
  } catch (error) {
    if (!(error instanceof TapeError) && errnoOf(error) === undefined) throw error
    process.stderr.write(`catflap: ${printable(reasonOf(error))}\n`)
    process.exitCode = 1
  }
}

/** Aborts at Ctrl-C; `release` gives the signal back. */
export function untilInterrupted(): {
  readonly signal: AbortSignal
  readonly stop: () => void
  readonly release: () => void
} {
  const controller = new AbortController()
  const stop = () => controller.abort()
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  const release = () => {
    process.off('SIGINT', stop)
    process.off('SIGTERM', stop)
  }
  return { signal: controller.signal, stop, release }
}

/** `1 frame`, `2 frames`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

export function targetText(target: TapeTarget): string {
  return printable(target.url ?? target.argv?.join(' ') ?? target.kind)
}

/** yargs makes an empty string of a lone `-`; an empty argument (an unset shell variable) must not wait for input all the same. */
export function inputOf(file: string): string {
  return file === '' && process.argv.includes('-') ? '-' : file
}

export function warnOfTornEnd({ name, torn }: TapeReader): void {
  if (torn) process.stderr.write(`${printable(name)}:${torn.line}: torn last line (${torn.bytes} bytes) left out\n`)
}
