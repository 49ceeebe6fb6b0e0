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

export const DEFAULT_RULES: Rules = { defaults: true, requests: [], answers: [] }
