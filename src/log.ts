import { printable, printableJson } from './printable.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'
export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent']

export type LogFacts = Readonly<Record<string, unknown>>

/** One line an event. `event` is a stable word (`listening`, `session-lost`), `facts` what a program reads, `text` what a person does. */
export interface Log {
  debug(event: string, text: string, facts?: LogFacts): void
  info(event: string, text: string, facts?: LogFacts): void
  warn(event: string, text: string, facts?: LogFacts): void
  error(event: string, text: string, facts?: LogFacts): void
}

const nothing = (): void => {}
export const SILENT: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing }

export interface LogOptions {
  readonly level: LogLevel
  readonly format: 'text' | 'json'
  readonly write: (line: string) => void
  /** Takes secrets out of a line. */
  readonly scrub?: (text: string) => string
}

export function createLog(options: LogOptions): Log {
  const threshold = LOG_LEVELS.indexOf(options.level)
  const scrub = options.scrub ?? (text => text)
  const at =
    (level: LogLevel) =>
    (event: string, text: string, facts: LogFacts = {}): void => {
      if (LOG_LEVELS.indexOf(level) < threshold) return
      // What came from a peer must neither steer the terminal it is shown on nor look like a line of our own.
      const line =
        options.format === 'json'
          ? printableJson(scrubbedJson({ time: new Date().toISOString(), level, event, text, ...facts }, scrub))
          : printable(scrub(`catflap: ${level === 'info' ? '' : `${level}: `}${text}`))
      options.write(`${line}\n`)
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** An object as one line of JSON without its secrets. What looks like one may seem to go on behind the end of its string: the line stays JSON all the same. */
export function scrubbedJson(line: object, scrub: (text: string) => string): string {
  const inside = JSON.stringify(line, (_, value: unknown) => (typeof value === 'string' ? scrub(value) : value))
  const whole = scrub(inside)
  return whole === inside || isJson(whole) ? whole : inside
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
