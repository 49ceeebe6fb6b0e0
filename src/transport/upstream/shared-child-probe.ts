import { CatflapError } from '../../errors.ts'
import { Message } from '../../protocol/message.ts'
import { FIRST_MODERN_VERSION, META_VERSION } from '../../protocol/versions.ts'
import { VERSION } from '../../version.ts'
import type { Leg, LegEvents } from '../upstream.ts'
import { ask } from './shared-child-ask.ts'

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
    }

/** The errors that only a server of the modern era has (spec 2026-07-28 basic/index, "Error Codes"). */
const MODERN_ERRORS = new Set([-32020, -32021, -32022])

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
    params: {
      _meta: {
        [META_VERSION]: FIRST_MODERN_VERSION,
        'io.modelcontextprotocol/clientInfo': { name: 'catflap', version: VERSION },
        'io.modelcontextprotocol/clientCapabilities': {}
      }
    }
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
    error?: { code?: unknown; data?: { supported?: unknown } | null } | null
  }
  if (error === undefined && Array.isArray(result?.supportedVersions))
    return { era: 'modern', versions: texts(result.supportedVersions) }
  if (typeof error?.code === 'number' && MODERN_ERRORS.has(error.code))
    return { era: 'modern', versions: texts(error.data?.supported) }
  const reason = `${label} speaks revisions before ${FIRST_MODERN_VERSION}.`
  return { era: 'legacy', error: error === undefined ? undefined : answer, reason, vague: false }
}

function texts(list: unknown): readonly string[] | undefined {
  if (!Array.isArray(list)) return undefined
  const versions = (list as unknown[]).filter(v => typeof v === 'string')
  return versions.length > 0 ? versions : undefined
}
