import { excerpt, printable } from '../printable.ts'
import { type Paint, painter } from './colour.ts'
import { compileFilter, type FrameFilter, type FramePredicate } from './filter.ts'
import type { TapeFrame, TapeHeader } from './format.ts'
import { Pairing, type Seen } from './pairing.ts'

export interface TimelineOptions {
  readonly colour?: boolean
  readonly filter?: FrameFilter
  /** Stands before each line. */
  readonly prefix?: string
  /** With a header, times are wall-clock times; without, seconds since the start. */
  readonly clock?: Pick<TapeHeader, 'started'>
  /** Characters of a line, not counting colours. Default 160. */
  readonly width?: number
}

/** What time, session, side and method take of a line, roughly. */
const PLACE_WIDTH = 50

/** A readable line a frame: pairs requests with answers and latencies, marks errors. Memory is constant. */
export async function* formatTimeline(
  frames: AsyncIterable<TapeFrame>,
  options: TimelineOptions = {}
): AsyncGenerator<string, void, void> {
  const timeline = new Timeline(options)
  for await (const frame of frames) {
    const line = timeline.line(frame)
    if (line !== undefined) yield line
  }
}

/** One frame at a time. Frames that the filter hides must be shown to it too, since answers refer to them. */
export class Timeline {
  readonly #options: TimelineOptions
  readonly pairing = new Pairing()
  readonly #passes: FramePredicate | undefined
  readonly #paint: Paint
  readonly #start: number | undefined
  readonly #width: number

  constructor(options: TimelineOptions = {}) {
    this.#options = options
    this.#passes = compileFilter(options.filter ?? {})
    this.#paint = painter(options.colour ?? false)
    this.#start = options.clock && Date.parse(options.clock.started)
    this.#width = Math.max(40, (options.width ?? 160) - PLACE_WIDTH)
  }

  /** Undefined when the filter hides it. Without line end. */
  line(frame: TapeFrame, seen = this.pairing.see(frame)): string | undefined {
    if (this.#passes && !this.#passes(frame, seen)) return undefined
    if (isPlumbing(frame) && this.#options.filter?.side !== 'server') return undefined
    const where = `${this.#time(frame.t)} ${this.#place(frame)}`
    const own = frame.own ? this.#paint('magenta', '(catflap) ') : ''
    const cut = frame.truncated ? this.#paint('yellow', ` (truncated, ${bytes(frame.truncated.length)})`) : ''
    return `${this.#options.prefix ?? ''}${where} ${own}${this.#what(frame, seen)}${cut}`
  }

  /** Whether the filter lets it pass; for output in other formats. */
  passes(frame: TapeFrame, seen = this.pairing.see(frame)): boolean {
    return !this.#passes || this.#passes(frame, seen)
  }

  #time(t: number): string {
    const text = this.#start === undefined ? `${(t / 1000).toFixed(3).padStart(9)}s` : clockTime(this.#start + t)
    return this.#paint('dim', text)
  }

  /** Position and arrow as in a drawing: client → [catflap] → server. */
  #place(frame: TapeFrame): string {
    const arrow = frame.kind === 'note' ? '·' : frame.dir === 'up' ? '→' : '←'
    const door = frame.side === 'client' ? `client ${arrow}` : `${arrow} server`
    const conversation = [frame.session, frame.stream].filter(s => s !== undefined).join(' ')
    return `${this.#paint('dim', printable(conversation).padEnd(14))} ${this.#paint('cyan', door)}`
  }

  #what(frame: TapeFrame, seen: readonly Seen[]): string {
    const status = frame.http?.status
    const failed = status !== undefined && status >= 400 ? `${this.#paint('red', `HTTP ${status}`)} ` : ''
    switch (frame.kind) {
      case 'message': {
        if (seen.length === 1) return failed + this.#message(seen[0]!)
        if (seen.length === 0) return `${failed}message ${this.#content(frame)}`
        return `${failed}batch of ${seen.length}: ${seen
          .slice(0, 20)
          .map(s => this.#title(s))
          .join(', ')}`
      }
      case 'open':
        return `${this.#paint('bold', printable(frame.http?.method ?? 'open'))} ${this.#short(frame.http?.path ?? '')}`
      case 'head':
        return failed === ''
          ? this.#paint('dim', `HTTP ${status ?? '?'} ${this.#short(contentType(frame))}`)
          : `${failed}${this.#short(contentType(frame))}`
      case 'event':
        return this.#paint('dim', `event ${this.#short(sseText(frame))} ${this.#content(frame)}`.trimEnd())
      case 'body':
        return `${failed}body ${this.#short(contentType(frame))} ${this.#content(frame)}`
      case 'end':
        return this.#paint('dim', `end ${this.#short(frame.outcome ?? '')}`.trimEnd())
      case 'note':
        return this.#note(frame)
      default:
        return `${this.#short(frame.kind)} ${this.#content(frame)}`
    }
  }

  #message(seen: Seen): string {
    const payload = seen.payload === undefined ? '' : ` ${this.#paint('dim', this.#short(seen.payload))}`
    if (seen.kind !== 'response') return this.#title(seen) + payload
    const latency = seen.request ? ` ${this.#paint('green', duration(seen.request.latency))}` : ''
    if (seen.error) {
      const text = `error ${this.#short(`${seen.error.code ?? ''} ${seen.error.message ?? ''}`.trim())}`
      return `${this.#title(seen)}${latency} ${this.#paint('red', text)}${payload}`
    }
    const mark = seen.toolError ? ` ${this.#paint('red', 'isError')}` : ''
    return `${this.#title(seen)}${latency}${mark}${payload}`
  }

  /** `tools/call echo #3` */
  #title(seen: Seen): string {
    const method = seen.method ?? seen.request?.method ?? (seen.kind === 'response' ? 'answer' : 'message')
    const subject = seen.subject ?? seen.request?.subject
    const id = seen.id === undefined ? '' : ` ${this.#paint('dim', `#${printable(excerpt(seen.id, 40))}`)}`
    return `${this.#paint('bold', this.#short(method))}${subject === undefined ? '' : ` ${this.#short(subject)}`}${id}`
  }

  #note(frame: TapeFrame): string {
    const note = frame.note ?? 'note'
    const said = [frame.remark, frame.text].filter(s => s !== undefined).join(': ')
    const facts = frame.data
      ? Object.entries(frame.data)
          .map(([k, v]) => `${k}=${v}`)
          .join(' ')
      : ''
    const text = `! ${note} ${said === '' ? facts : said}`.trimEnd()
    return this.#paint(
      note === 'error' || note === 'dropped' ? 'red' : note === 'stderr' ? 'dim' : 'yellow',
      this.#short(text)
    )
  }

  #content(frame: TapeFrame): string {
    if (frame.text !== undefined) return this.#short(frame.text)
    return frame.base64 === undefined ? '' : `${bytes(Math.floor((frame.base64.length * 3) / 4))} of binary`
  }

  #short(text: string): string {
    // Cut first: escaping a message of megabytes to show a line of it would be waste.
    return excerpt(printable(excerpt(text, this.#width)), this.#width)
  }
}

/** A request over HTTP that went well, behind messages that stand on the client's side: three lines for each of these. */
function isPlumbing({ side, kind, http }: TapeFrame): boolean {
  if (side !== 'server' || (http?.status ?? 0) >= 400) return false
  return kind === 'open' || kind === 'head' || kind === 'end'
}

function contentType(frame: TapeFrame): string {
  return frame.http?.headers?.find(([name]) => name.toLowerCase() === 'content-type')?.[1] ?? ''
}

function sseText(frame: TapeFrame): string {
  const { event, id, retry } = frame.sse ?? {}
  return [event, id && `id=${id}`, retry !== undefined && `retry=${retry}`].filter(Boolean).join(' ')
}

export function duration(ms: number): string {
  if (ms < 1000) return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`
  return ms < 60_000
    ? `${(ms / 1000).toFixed(2)} s`
    : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`
}

export function bytes(n: number): string {
  if (n < 1000) return `${n} B`
  return n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : n < 1e9 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e9).toFixed(1)} GB`
}

function clockTime(ms: number): string {
  const time = new Date(ms)
  if (Number.isNaN(time.getTime())) return '??:??:??.???'
  const two = (n: number) => String(n).padStart(2, '0')
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${String(time.getMilliseconds()).padStart(3, '0')}`
}
