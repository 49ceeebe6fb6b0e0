/** What a client asks now. */
export interface AskedRequest {
  readonly method: string
  readonly name: string | undefined
  readonly params: unknown
}

/** Tool, prompt, or URI of a resource. */
export function subjectOf(params: unknown): string | undefined {
  if (typeof params !== 'object' || params === null) return undefined
  for (const member of ['name', 'uri'])
    if (Object.hasOwn(params, member)) {
      const value = (params as Record<string, unknown>)[member]
      if (typeof value === 'string') return value
    }
  return undefined
}
