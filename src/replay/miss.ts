import { nearest } from '../config/near.ts'
import { excerpt, printable } from '../printable.ts'
import { MARK } from '../tape/format.ts'
import type { AskedRequest } from './asked.ts'
import type { Bucket } from './buckets.ts'
import { below, countedParams, type View } from './canonical.ts'
import { fitsGap } from './gaps.ts'
import { type DiffPath, differences, differenceText } from './json-diff.ts'
import type { Miss } from './matching.ts'
import type { RecordedRequest } from './recording.ts'
import { type RequestIndex, recordedParams } from './request-index.ts'

/** A request that is none of the recorded ones. */
export function missOf(index: RequestIndex, asked: AskedRequest): Miss {
  const named = index.alike(asked.method, asked.name)
  const positions = named.length > 0 ? named : index.alike(asked.method)
  if (positions.length === 0) return { text: unknownMethod(index, asked), closest: undefined, difference: [] }
  const best = closestOf(index, asked, positions)
  const wrong = named.length > 0 ? `no recorded ${titleOf(asked)} is like this one` : unknownName(index, asked)
  const cut = named.map(i => index.all.at(i)).find(r => r.truncated)
  const end = cut ? `; the one at ${placeOf(cut)} matches nothing, since the tape holds only its beginning` : ''
  const lacks = index.lacksGaps(asked.method) ? '; redacted requests of this method are too many to find them all' : ''
  return {
    text: `${wrong}${best ? `; the closest is at ${placeOf(best.request)}` : ''}${end}${lacks}`,
    closest: best?.request ?? cut,
    difference: best?.difference ?? []
  }
}

/** Each of its recordings was used. */
export function usedUp(index: RequestIndex, asked: AskedRequest, { positions }: Bucket): Miss {
  const closest = index.all.at(positions.at(-1)!)
  const { length } = positions
  const count = length === 1 ? 'the one recording' : `all ${length} recordings`
  return {
    text: `${count} of this ${titleOf(asked)} ${length === 1 ? 'was' : 'were'} used, the last is at ${placeOf(closest)}`,
    closest,
    difference: []
  }
}

/** It is on the tape, but something else has to come first. */
export function outOfOrder(index: RequestIndex, asked: AskedRequest, bucket: Bucket, next: RecordedRequest): Miss {
  const closest = index.all.at(bucket.positions[0]!)
  const awaited = titleOf({ method: next.method, name: next.subject })
  return {
    text: `in the order of the tape ${awaited} comes next (${placeOf(next)}); this ${titleOf(asked)} stands at ${placeOf(closest)}`,
    closest,
    difference: []
  }
}

function unknownMethod(index: RequestIndex, { method }: AskedRequest): string {
  const known = index.methods.filter(name => !NOT_WORTH_NAMING.has(name))
  const near = nearest(method, known.slice(0, MAX_COMPARED))
  const list = known.length === 0 ? 'no requests' : listed(known, known.length)
  return `the tape holds no ${shown(method)}${near === undefined ? `: it holds ${list}` : `; did you mean '${shown(near)}'?`}`
}

const NOT_WORTH_NAMING = new Set(['initialize', 'ping', 'server/discover'])
/** Names that may be what was meant. */
const MAX_COMPARED = 1000

function unknownName(index: RequestIndex, asked: AskedRequest): string {
  if (asked.name === undefined) return `no recorded ${titleOf(asked)} is like this one`
  const { first, count } = index.namesOf(asked.method, MAX_COMPARED)
  const near = nearest(asked.name, first)
  const quoted = first.slice(0, MAX_LISTED).map(name => JSON.stringify(name))
  const list = count === 0 ? '' : `; recorded ones are of ${listed(quoted, count)}`
  return `the tape holds no ${titleOf(asked)}${near === undefined ? list : `; did you mean ${JSON.stringify(near)}?`}`
}

const MAX_LISTED = 8

function listed(names: readonly string[], count: number): string {
  const first = names.slice(0, MAX_LISTED).map(shown).join(', ')
  return count > MAX_LISTED ? `${first} and ${count - MAX_LISTED} more` : first
}

function titleOf({ method, name }: Pick<AskedRequest, 'method' | 'name'>): string {
  return name === undefined ? shown(method) : `${shown(method)} of ${shown(JSON.stringify(name))}`
}

function shown(text: string): string {
  return printable(excerpt(text, 100))
}

function placeOf({ place }: RecordedRequest): string {
  return `${printable(place.file)}:${place.line}`
}

interface Close {
  readonly request: RecordedRequest
  readonly difference: readonly string[]
}

/** Texts read to find the closest: a miss costs no more, whatever the tape holds. In characters. */
const MAX_READ = 4 * 1024 * 1024
/** More differences are neither counted nor shown. */
const MAX_DIFFERENCES = 20

function closestOf(index: RequestIndex, asked: AskedRequest, positions: readonly number[]): Close | undefined {
  const views = index.viewsOf(asked.method, asked.name)
  const after = { params: countedParams(asked.params) }
  let best: Close | undefined
  let left = MAX_READ
  for (const position of positions) {
    const request = index.all.at(position)
    left -= request.text.length
    if (left < 0 && best) break
    if (request.truncated) continue
    const before = { params: countedParams(recordedParams(request)) }
    const found = differences(before, after, { limit: MAX_DIFFERENCES, ignore: matching(views) })
    if (best && found.length >= best.difference.length) continue
    best = { request, difference: found.map(differenceText) }
  }
  return best
}

/** In what a request differs from a recorded one: none where that cannot be read. */
export function differenceTo(index: RequestIndex, position: number, asked: AskedRequest): readonly string[] {
  return closestOf(index, asked, [position])?.difference ?? []
}

/** What the rules, and marks of redaction, make equal. */
function matching(views: readonly View[]) {
  return (path: DiffPath, before: unknown, after: unknown): boolean => {
    if (typeof before === 'string' && before.includes(MARK) && after !== undefined && isGap(before, after)) return true
    let here = views
    for (const part of path.slice(1)) {
      if (here.length === 0) return false
      here = below(here, String(part))
    }
    if (path.length === 0) return false
    return here.some(({ ignored, standIn }) => {
      if (ignored) return true
      const other = standIn?.(before)
      return other !== undefined && other === standIn!(after)
    })
  }
}

function isGap(recorded: string, asked: unknown): boolean {
  return fitsGap(recorded.split(MARK), asked)
}
