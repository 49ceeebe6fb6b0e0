import type { DiffPath } from '../replay/json-diff.ts'
import { pointerOf, segmentsOf } from '../replay/pointer.ts'
import type { Step } from '../replay/recording.ts'
import { MARK } from '../tape/format.ts'
import { eachLeaf, replaceAt } from './leaves.ts'
import type { VerifyOptions } from './options.ts'
import { isSpoken, jsonOf, nameOf, type Plan, type Spoken } from './plan.ts'

export { isRedactedFrom } from '../replay/marks.ts'

/**
 * Headers that the client's side of a connection makes for itself, or that catflap took for itself; and those by which some
 * servers take a request for another one than it is.
 */
const MADE_ANEW =
  /^(?:host|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|content-.*|accept(?:-.*)?|user-agent|origin|referer|sec-.*|mcp-.*|last-event-id|catflap-.*|via|forwarded|x-forwarded-.*|priority|cache-control|pragma|expect|date|traceparent|tracestate|baggage|(?:x-)?(?:http-)?method(?:-override)?|x-original-.*|x-rewrite-.*)$/

/** The recorded headers that are sent as they were: name and value in turn. Those that were redacted are left out. */
export function sentHeaders(step: Step): string[] {
  const out: string[] = []
  const headers = step.headers ?? []
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i]!
    if (!MADE_ANEW.test(name.toLowerCase()) && !headers[i + 1]!.includes(MARK)) out.push(name, headers[i + 1]!)
  }
  return out
}

/** The name of a header that would be sent, and that HTTP has no way to send. */
export function illegalHeader(step: Step): string | undefined {
  const headers = sentHeaders(step)
  for (let i = 0; i + 1 < headers.length; i += 2)
    if (!LEGAL_NAME.test(headers[i]!) || !LEGAL_VALUE.test(headers[i + 1]!)) return JSON.stringify(headers[i])
  return undefined
}

/** RFC 9110 §5.1 and §5.5. */
const LEGAL_NAME = /^[!#$%&'*+.^_`|~\w-]+$/
const LEGAL_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** Names of headers that were redacted, and that nobody has supplied. */
function missingHeaders(step: Step, { target, withoutHeaders = [] }: VerifyOptions): string[] {
  if (!('url' in target)) return []
  const given = new Set(withoutHeaders.map(name => name.toLowerCase()))
  for (let i = 0; i < (target.headers?.length ?? 0); i += 2) given.add(target.headers![i]!.toLowerCase())
  const names: string[] = []
  const headers = step.headers ?? []
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i]!.toLowerCase()
    if (headers[i + 1]!.includes(MARK) && !MADE_ANEW.test(name) && !given.has(name)) names.push(name)
  }
  return names
}

/** Sentences on what redaction took out and no option supplies. */
export function redactionProblems(plan: Plan, options: VerifyOptions, sends: (step: Spoken) => boolean): string[] {
  const headers = new Map<string, string>()
  const problems: string[] = []
  for (const { step } of plan.acts) {
    if (!isSpoken(step) || !sends(step)) continue
    for (const name of missingHeaders(step, options)) if (!headers.has(name)) headers.set(name, nameOf(step))
    if (problems.length >= MAX_PROBLEMS) continue
    for (const path of marksIn(step, options.set))
      problems.push(
        `${nameOf(step)} holds ${MARK} at ${pointerOf(path)}: supply it with --set '${pointerOf(path)}=VALUE'`
      )
  }
  for (const [name, where] of headers) problems.push(`${where} had a header ${name} that was redacted: ${advice(name)}`)
  return problems
}

const MAX_PROBLEMS = 100

function advice(name: string): string {
  const empty = `--header '${name}:' if the server needs none`
  if (name === 'authorization') return `supply it with --token TOKEN or --header 'Authorization: …', or give ${empty}`
  return `supply it with --header '${name}: …', or give ${empty}`
}

function marksIn(step: Spoken, set: VerifyOptions['set']): DiffPath[] {
  if (!step.text.get().includes(MARK)) return []
  const json = supplied(jsonOf(step), set)
  const found: DiffPath[] = []
  eachLeaf(json, (path, leaf) => {
    if (typeof leaf === 'string' && leaf.includes(MARK)) found.push([...path])
  })
  return found
}

/** The message with what the options supply in the place of what redaction took out. */
export function supplied(json: unknown, set: VerifyOptions['set'] = {}): unknown {
  const places = Object.entries(set).map(([pointer, value]) => ({ segments: segmentsOf(pointer), value }))
  if (places.length === 0) return json
  const found: { readonly path: DiffPath; readonly text: string; readonly value: unknown }[] = []
  eachLeaf(json, (path, leaf) => {
    if (typeof leaf !== 'string' || !leaf.includes(MARK)) return
    const place = places.find(p => matches(p.segments, path))
    if (place) found.push({ path: [...path], text: leaf, value: place.value })
  })
  for (const { path, text, value } of found)
    replaceAt(json, path, text === MARK ? value : text.replaceAll(MARK, () => String(value)))
  return json
}

function matches(segments: readonly string[], path: DiffPath): boolean {
  return segments.length === path.length && segments.every((s, i) => s === '*' || s === String(path[i]))
}
