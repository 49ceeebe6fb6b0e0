/**
 * Protocol revisions and eras.
 *
 * Source: spec 2026-07-28 basic/versioning ("Terminology"): *legacy* revisions establish a session with an `initialize`
 * handshake, *modern* ones carry version, identity and capabilities in every request's `_meta`.
 */

export type Era = 'legacy' | 'modern'

export const LEGACY_VERSIONS: readonly string[] = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25']
export const FIRST_MODERN_VERSION = '2026-07-28'

/** What a legacy request without `MCP-Protocol-Version` speaks (spec 2025-06-18 and later, basic/transports). */
export const ASSUMED_VERSION = '2025-03-26'

const DATED = /^\d{4}-\d{2}-\d{2}$/

/**
 * The era a version string belongs to. Revisions are dated, so that later ones than we know sort into the modern era;
 * what is not a date (`DRAFT-2026-v1`) tells nothing: undefined.
 */
export function eraOf(version: string): Era | undefined {
  if (!DATED.test(version)) return undefined
  return version >= FIRST_MODERN_VERSION ? 'modern' : 'legacy'
}

/** JSON-RPC batches exist in this one revision only (added in 2025-03-26, removed in 2025-06-18). */
export function allowsBatch(version: string | undefined): boolean {
  return (version ?? ASSUMED_VERSION) === '2025-03-26'
}

/** `_meta` keys of the modern era (spec 2026-07-28 basic/index, "Reserved keys"). */
export const META_VERSION = 'io.modelcontextprotocol/protocolVersion'
export const META_SUBSCRIPTION = 'io.modelcontextprotocol/subscriptionId'
