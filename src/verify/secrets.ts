import { Literals } from '../tape/literals.ts'
import { eachLeaf } from './leaves.ts'
import type { VerifyOptions } from './options.ts'

/** What the options supply: servers like to repeat it, and it must get into no tape, no report and no error. */
export function secretsOf(options: VerifyOptions): Literals {
  const literals = new Literals(0)
  for (const value of valuesOf(options)) literals.add(value)
  return literals
}

function valuesOf({ target, set = {} }: VerifyOptions): string[] {
  const headers = 'url' in target ? (target.headers ?? []).filter((_, i) => i % 2 === 1) : []
  const env = 'command' in target ? Object.values(target.env ?? {}) : []
  const values = [...headers, ...headers.map(value => value.replace(/^\w+ /, '')), ...env]
  eachLeaf(Object.values(set), (_, leaf) => void values.push(String(leaf)))
  return values
}
