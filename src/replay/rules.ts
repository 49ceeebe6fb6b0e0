import { existsSync } from 'node:fs'
import path from 'node:path'
import { readBounded } from '../config/files.ts'
import { Findings, type Problem, problemText } from '../config/problems.ts'
import { Reader } from '../config/reader.ts'
import { parseTree } from '../config/tree.ts'
import { printable } from '../printable.ts'
import { TapeError } from '../tape/format.ts'
import { rulesFile } from './rules-shape.ts'
import type { VolatileKind } from './volatile.ts'

/** What of requests and answers does not count: a reviewable file beside the tape, and what holds without one. */
export interface Rules {
  /** Whether the built-in rules for answers apply: uuids, and times near the moment at which they were said, are alike. */
  readonly defaults: boolean
  readonly requests: readonly RequestRule[]
  readonly answers: readonly AnswerRule[]
}

/** Whose requests a rule is about: wildcards; undefined stands for all. */
export interface RuleSubject {
  readonly method?: string
  /** Tool, prompt, or URI of a resource. */
  readonly name?: string
}

export interface RequestRule extends RuleSubject {
  /** JSON pointers below the parameters; `*` stands for any member or element. */
  readonly ignore?: readonly string[]
  /** Values that match are equal, by pointer. */
  readonly where?: Readonly<Record<string, TextPattern>>
}

/** A wildcard text, or a regular expression for the whole of the value. */
export type TextPattern = string | { readonly regex: string }

export interface AnswerRule extends RuleSubject {
  /** JSON pointers below the message: `/result/…`, `/error/…`, of notifications `/params/…`. */
  readonly ignore?: readonly string[]
  readonly patterns?: Readonly<Record<string, AnswerPattern | readonly AnswerPattern[]>>
  /** Arrays whose order does not count. */
  readonly unordered?: readonly string[]
}

/** What changes by itself: values that differ in such parts alone are equal. */
export type AnswerPattern = VolatileKind | { readonly regex: string }

/** Without a file. */
export const DEFAULT_RULES: Rules = { defaults: true, requests: [], answers: [] }

/** What is wrong with a file of rules: a line for each problem, with file, line, column, and what is allowed. */
export class RulesError extends TapeError {
  readonly problems: readonly Problem[]

  constructor(
    code: 'rules_unreadable' | 'rules_invalid' | 'rules_unwritable',
    message: string,
    problems: readonly Problem[] = []
  ) {
    super(code, message)
    this.name = 'RulesError'
    this.problems = problems
  }
}

/** Throws RulesError. */
export async function readRules(file: string): Promise<Rules> {
  const content = await readBounded(path.resolve(file))
  if ('text' in content) return parseRules(content.text, file)
  throw new RulesError('rules_unreadable', `the rules ${printable(file)} cannot be read: ${content.failure}`)
}

/** `file` is what problems call it. Throws RulesError. */
export function parseRules(text: string, file: string): Rules {
  const findings = new Findings(file)
  const tree = parseTree(text, findings)
  const reader = new Reader({
    tree,
    findings,
    advice: new Findings(file),
    folder: path.dirname(path.resolve(file)),
    env: {},
    files: new Map()
  })
  const values = tree.root && rulesFile.read(tree.root, [], reader)
  if (findings.any || !values) throw invalid(findings)
  const { defaults = true, requests = [], answers = [] } = values
  return { defaults, requests, answers }
}

function invalid({ problems, left }: Findings): RulesError {
  const lines = problems.map(problem => printable(problemText(problem)))
  if (left > 0) lines.push(`and ${left} more`)
  return new RulesError('rules_invalid', lines.join('\n'), problems)
}

/** Beside the tape: `a.tape.rules.yaml` of `a.tape.jsonl`. */
export function rulesFileOf(tape: string): string {
  return `${tape.replace(/\.jsonl$/, '')}.rules.yaml`
}

/** Of the file beside the tape, if there is one; else the built-in ones. Throws RulesError. */
export async function rulesBeside(tape: string): Promise<Rules> {
  const file = rulesFileOf(tape)
  return existsSync(file) ? await readRules(file) : DEFAULT_RULES
}
