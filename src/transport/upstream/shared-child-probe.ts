import { CatflapError } from '../../errors.ts'
import { MODERN_ERRORS } from '../../protocol/error-codes.ts'
import { Message } from '../../protocol/message.ts'
import { versionsIn } from '../../protocol/named-versions.ts'
import { FIRST_MODERN_VERSION } from '../../protocol/versions.ts'
import type { Leg, LegEvents } from '../upstream.ts'
import { ask, ownMeta } from './shared-child-ask.ts'

/** What a server is. */
export type Verdict =
  | {
      readonly era: 'modern'
      /** The revisions it named; undefined where nobody asked it, or it named none. */
      readonly versions: readonly string[] | undefined
    }
  | {
      readonly era: 'legacy'
      /** Its own error in answer to server/discover, where there was one. */
      readonly error: Message | undefined
      /** In words. */
      readonly reason: string
      /** It said nothing, or ended: that can be chance, so it is asked again some time. */
      readonly vague: boolean
      /** The revisions that it speaks, where that is known. */
      readonly versions?: readonly string[] | undefined
    }

let probes = 0

/**
 * Asks a child which era it is of (spec 2026-07-28 basic/transports/stdio, "Backward Compatibility"). Any error but those
 * of the modern era, silence, and a child that ends at a request before `initialize` (some do) mean the legacy era.
 * Rejects where the child could not be started at all.
 */
export async function probe(leg: Leg, label: string, timeout: number, own: LegEvents['own']): Promise<Verdict> {
  const request = Message.from({
    jsonrpc: '2.0',
    id: `catflap-discover-${++probes}`,
    method: 'server/discover',
    params: { _meta: ownMeta() }
  })
  own?.(request)
  try {
    return judge(await ask(leg, label, request, timeout), label)
  } catch (error) {
    if (!(error instanceof CatflapError) || !VAGUE.has(error.code)) throw error
    return { era: 'legacy', error: undefined, reason: error.message, vague: true }
  }
}

const VAGUE = new Set(['upstream_timeout', 'child_exited', 'message_too_large'])

function judge(answer: Message, label: string): Verdict {
  const { result, error } = answer.json as {
    result?: { supportedVersions?: unknown } | null
    error?: { code?: unknown } | null
  }
  const discovered = error === undefined && Array.isArray(result?.supportedVersions)
  if (discovered || MODERN_ERRORS.has(error?.code)) return { era: 'modern', versions: versionsIn(answer) }
  const reason = `${label} speaks revisions before ${FIRST_MODERN_VERSION}.`
  return { era: 'legacy', error: error === undefined ? undefined : answer, reason, vague: false }
}
