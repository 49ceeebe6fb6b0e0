import { Literals } from '../tape/literals.ts'
import { eachLeaf } from './leaves.ts'
import type { VerifyOptions } from './options.ts'

/** What the options supply: servers like to repeat it, and it must get into no tape, no report and no error. */
export function secretsOf(options: VerifyOptions): Literals {
  const literals = new Literals(0)
  for (const value of valuesOf(options)) literals.add(value)
  return literals
}

function valuesOf(options: VerifyOptions): string[] {
  const { target, set = {} } = options
  const headers = 'url' in target ? (target.headers ?? []).filter((_, i) => i % 2 === 1) : []
  const env = 'command' in target ? Object.values(target.env ?? {}) : []
  const values = [...headers, ...headers.map(value => value.replace(/^\w+ /, '')), ...env]
  eachLeaf(Object.values(set), (_, leaf) => void values.push(String(leaf)))
  return [...values, ...urlSecretsOf(options)]
}

const SECRET_NAME = /key|token|secret|sig|auth|pass|credential|code/i

/** What the URL of the server holds: to be shown to nobody. */
function urlSecretsOf({ target }: VerifyOptions): string[] {
  if (!('url' in target) || !URL.canParse(target.url)) return []
  const { searchParams, username, password } = new URL(target.url)
  const named = [...searchParams].filter(([name]) => SECRET_NAME.test(name)).map(([, value]) => value)
  return [...named, username, password].flatMap(value => [value, encodeURIComponent(value)])
}
