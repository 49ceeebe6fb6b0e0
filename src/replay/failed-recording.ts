import { ERROR_TABLE } from '../errors.ts'
import { parseJson } from './canonical.ts'
import { readRecording } from './read-recording.ts'
import type { Outcome, RecordedRequest, Recording } from './recording.ts'
import { isObject } from './values.ts'

/** Of failures, so many are told. */
const SHOWN = 5

/**
 * Why a recording is of no use as a tape, one line each: nothing was answered, or something has catflap's own word for an answer,
 * since the server was not there, broke off, or was not waited for. None: it is as the server would have it.
 */
export async function failuresOf(file: string): Promise<string[]> {
  const recording = await readRecording([file])
  try {
    const all = requestsOf(recording)
    const failures = all.flatMap(request => failureOf(request) ?? [])
    if (failures.length > SHOWN) return [...failures.slice(0, SHOWN), `… and ${failures.length - SHOWN} more`]
    if (failures.length > 0) return failures
    return all.some(({ outcome }) => outcome.kind !== 'open') ? [] : ['nothing was asked, or nothing answered']
  } finally {
    recording.close()
  }
}

function requestsOf({ legacy, modern }: Recording): RecordedRequest[] {
  return [...legacy, ...(modern ? [modern] : [])].flatMap(({ steps }) => steps.filter(step => step.kind === 'request'))
}

function failureOf({ method, subject, outcome, cancelled }: RecordedRequest): string | undefined {
  const what = subject === undefined ? method : `${method} ${subject}`
  // Such a stream lasts as long as somebody listens.
  if (cancelled || method === 'subscriptions/listen') return undefined
  if (outcome.kind === 'cut') return outcome.how === 'complete' ? undefined : `${what}: ${outcome.how}`
  const reason = reasonOf(outcome)
  return reason === undefined ? undefined : `${what}: ${reason}`
}

/** What catflap says where a server has failed, or catflap has. */
function reasonOf(outcome: Outcome): string | undefined {
  if (outcome.kind !== 'response' || !outcome.own || outcome.truncated) return undefined
  const { error } = parseJson(outcome.text.get()) as { error?: unknown }
  if (!isObject(error) || !isObject(error.data)) return undefined
  const known = Object.entries(ERROR_TABLE).find(([code]) => code === (error.data as { code?: unknown }).code)
  return known && known[1].status >= 500 ? String(error.message) : undefined
}
