/** The tables of docs/configuration.md and docs/rules.md, made from the descriptions of the files (src/config/schema.ts). */
import { file } from '../../src/config/schema.ts'
import type { Key, Keys, Shape } from '../../src/config/shape.ts'

/** The keys of one kind of object, under the path where it stands first: `routes.NAME.target`; empty for the file itself. */
export interface Section {
  readonly path: string
  readonly table: string
}

export function sections(whole: Shape<unknown> = file): Section[] {
  const out: Section[] = []
  const seen = new Set<Keys>()
  const visit = (path: string, { below }: Shape<unknown>): void => {
    if (!below) return
    if ('of' in below) return visit(path + below.suffix, below.of)
    if (seen.has(below.keys)) return
    seen.add(below.keys)
    out.push({ path, table: tableOf(below.keys) })
    for (const [name, { shape, see }] of Object.entries(below.keys))
      if (see === undefined) visit(path === '' ? name : `${path}.${name}`, shape)
  }
  visit('', whole)
  return out
}

function tableOf(keys: Keys): string {
  const rows = Object.entries(keys).map(
    ([name, key]) => `| \`${name}\` | ${typeOf(key)} | ${defaultOf(key)} | ${helpOf(key)} |`
  )
  return ['| key | value | default | meaning |', '|---|---|---|---|', ...rows].join('\n')
}

function typeOf({ shape }: Key): string {
  return shape.type.replaceAll('|', '\\|')
}

function defaultOf({ shape, fallback, otherwise, required, see }: Key): string {
  if (required) return 'required'
  if (fallback !== undefined) return `\`${fallback}\``
  if (see !== undefined) return otherwise ?? 'see there'
  return otherwise ?? (shape.below && 'keys' in shape.below ? 'see below' : 'none')
}

function helpOf({ help, see }: Key): string {
  return `${help}${see === undefined ? '' : `; see \`${see}\``}`.replaceAll('|', '\\|')
}
