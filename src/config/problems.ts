import { excerpt } from '../printable.ts'

/** From 1, as editors count. */
export interface Place {
  readonly line: number
  readonly column: number
}

/** Keys and positions from the root of the file: `['routes', 'github', 'targets', 0]`. */
export type Path = readonly (string | number)[]

/** One thing that is wrong (or unwise) in a configuration file. */
export interface Problem extends Place {
  readonly file: string
  /** `routes.github.targets[0].url`; empty where it is about the file as a whole. */
  readonly path: string
  /** What is wrong: never holds a value that may be secret. */
  readonly wrong: string
  /** What may stand there. */
  readonly allowed?: string
  /** A known name that is close to the one that is not. */
  readonly meant?: string
}

/** `catflap.yaml:3:5: routes.github.url: no such key; did you mean 'target'?` */
export function problemText({ file, line, column, path, wrong, allowed, meant }: Problem): string {
  const what = [wrong, allowed && `give ${allowed}`, meant && `did you mean '${meant}'?`].filter(Boolean).join('; ')
  return `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${what}`
}

export function pathText(path: Path): string {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    // Where a value was written as part of its name, it is not repeated.
    else if (!/^[\w$-]+$/.test(part))
      text += `[${JSON.stringify(excerpt(part.replace(/([:=]|\s\S+\s).*/s, '$1…'), 64))}]`
    else text += `${text === '' ? '' : '.'}${excerpt(part, 64)}`
  }
  return text
}

export interface Finding {
  readonly wrong: string
  readonly allowed?: string
  readonly meant?: string
}

const MAX_PROBLEMS = 100

/** Problems as they are found: at most so many are kept, the others are counted. */
export class Findings {
  readonly #file: string
  readonly #list: Problem[] = []
  readonly #seen = new Set<string>()
  /** Found, and not kept. */
  left = 0

  constructor(file: string) {
    this.#file = file
  }

  add(place: Place, path: Path, finding: Finding): void {
    const problem = { file: this.#file, line: place.line, column: place.column, path: pathText(path), ...finding }
    const key = `${place.line}:${place.column}:${problem.path}:${finding.wrong}`
    if (this.#seen.has(key)) return
    if (this.#list.length >= MAX_PROBLEMS) {
      this.left++
      return
    }
    this.#seen.add(key)
    this.#list.push(problem)
  }

  get any(): boolean {
    return this.#list.length > 0
  }

  under(path: Path): boolean {
    const text = pathText(path)
    return this.#list.some(p => p.path === text || p.path.startsWith(`${text}.`) || p.path.startsWith(`${text}[`))
  }

  /** In the order of the file. */
  get problems(): Problem[] {
    return this.#list.toSorted((a, b) => a.line - b.line || a.column - b.column)
  }
}
