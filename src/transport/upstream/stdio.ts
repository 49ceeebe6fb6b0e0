import { CatflapError } from '../../errors.ts'
import type { Message } from '../../protocol/message.ts'
import type { LegEvents } from '../upstream.ts'
import { Child, type ChildOptions, type ExitInfo } from './child.ts'
import { PipeLeg, type PipeLegOptions } from './pipe-leg.ts'

export interface StdioLegOptions extends ChildOptions, PipeLegOptions {
  /** Takes secrets out of what the child said last, before clients are told. */
  readonly scrub?: (text: string) => string
}

/** One child process as a leg. */
export class StdioLeg extends PipeLeg {
  readonly #child: Child

  constructor(options: StdioLegOptions, events: LegEvents) {
    super(options, events)
    this.#child = new Child(options, {
      line: line => this.line(line),
      oversize: info => this.oversize(info),
      stderr: line => events.stderr(line),
      exit: info => {
        const last = info.stderr.slice(-5).map(line => options.scrub?.(line) ?? line)
        const error = endOf(options, info, last)
        this.lose(error, { code: info.code, signal: info.signal })
      },
      error: reason => {
        const text = `${options.label} could not be started: ${reason.message}`
        this.lose(new CatflapError('child_start_failed', text, { cause: reason, data: { target: options.label } }), {
          reason: reason.message
        })
      },
      drain: () => this.drained()
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  pause(): void {
    this.#child.pause()
  }

  resume(): void {
    this.#child.resume()
  }

  /** The client has nothing more to say; the child may finish what it has. */
  endInput(): void {
    this.#child.endInput()
  }

  protected transmit(message: Message): boolean {
    return this.#child.write(message.oneLine())
  }

  protected end(): Promise<void> {
    return this.#child.close()
  }
}

function endOf({ label, maxMemory = 0 }: StdioLegOptions, info: ExitInfo, last: readonly string[]): CatflapError {
  const data = { target: label, exitCode: info.code, signal: info.signal, stderr: last }
  const tail = last.length > 0 ? ` Its last words on stderr: ${last.join(' | ')}` : ''
  if (info.memory !== undefined) {
    const text = `${label} took ${mebibytes(info.memory)} MiB of memory and was ended; it may have ${mebibytes(maxMemory)} MiB.${tail}`
    return new CatflapError('child_memory', text, { data: { ...data, memory: info.memory } })
  }
  const how = info.signal ? `was ended by ${info.signal}` : `exited with code ${info.code}`
  return new CatflapError('child_exited', `${label} ${how}.${tail}`, { data })
}

function mebibytes(bytes: number): number {
  return Math.ceil(bytes / (1024 * 1024))
}
