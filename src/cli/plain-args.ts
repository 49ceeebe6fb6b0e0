import { SETTINGS } from '../proxy/options.ts'
import { type ForwardArgs, OPTIONS, optionName, REPEATABLE } from './forward-options.ts'

/**
 * `catflap forward` with plain words: options by their full names, each value a word of its own or behind `=`. Such a line is
 * read without yargs, which takes about as long to load as the proxy. Whatever is not plain (help, mistakes, other spellings) is
 * undefined here, and yargs's to judge; a test compares the two.
 */
export function plainForwardArgs(words: readonly string[]): ForwardArgs | undefined {
  const end = words.indexOf('--')
  const [command, ...own] = end < 0 ? words : words.slice(0, end)
  if (command !== 'forward') return undefined
  const args = defaults()
  const given = new Set<string>()
  for (let i = 0; i < own.length; i++) {
    const word = own[i]!
    const { name, value } = partsOf(word)
    if (name === undefined) {
      // yargs takes a last `help` for --help.
      if (word.startsWith('-') || word === '' || word === 'help' || args.url !== undefined) return undefined
      args.url = word
      continue
    }
    const off = /^no-(.+)$/.exec(name)?.[1]
    const kind = kindOf(off ?? name)
    if (off !== undefined && kind !== 'flag') return undefined
    if (kind === undefined || (given.has(off ?? name) && kind !== 'list')) return undefined
    given.add(off ?? name)
    if (kind === 'flag') {
      if (value !== undefined || isBoolean(own[i + 1])) return undefined
      args[off ?? name] = off === undefined
      continue
    }
    const text = value ?? own[++i]
    if (text === undefined || !isPlain(text) || !isAllowed(name, text)) return undefined
    if (kind === 'list') (args[name] as string[]).push(text)
    else args[name] = text
  }
  if (end >= 0 && end < words.length - 1) args['--'] = words.slice(end + 1)
  return args as unknown as ForwardArgs
}

type Kind = 'flag' | 'list' | 'text'

interface Facts {
  readonly type?: string
  readonly default?: unknown
  readonly choices?: readonly unknown[]
}

const facts: Readonly<Record<string, Facts>> = OPTIONS
const settingNames: ReadonlySet<string> = new Set(Object.keys(SETTINGS).map(optionName))

function defaults(): Record<string, unknown> {
  const args: Record<string, unknown> = {}
  for (const [name, { default: value }] of Object.entries(facts))
    if (value !== undefined) args[name] = Array.isArray(value) ? [...value] : value
  return args
}

function partsOf(word: string): { readonly name?: string; readonly value?: string } {
  const m = /^--([a-z][a-z-]*)(?:=(.*))?$/s.exec(word)
  return m ? { name: m[1], value: m[2] } : {}
}

function kindOf(name: string): Kind | undefined {
  if (settingNames.has(name)) return 'text'
  if (!Object.hasOwn(facts, name)) return undefined
  if (REPEATABLE.includes(name)) return 'list'
  return facts[name]!.type === 'boolean' ? 'flag' : 'text'
}

/** yargs takes quotes off, and reads a leading `-` as an option. */
function isPlain(text: string): boolean {
  return /^[^-'"]/.test(text)
}

function isAllowed(name: string, text: string): boolean {
  return facts[name]?.choices?.includes(text) ?? true
}

function isBoolean(word: string | undefined): boolean {
  return word === 'true' || word === 'false'
}
