/** Header fields as undici takes and gives them. */

export interface ReceivedFields {
  readonly list: string[]
  /** As Via names it. */
  readonly protocol: '1.1' | '2'
}

export function receivedFields(headers: unknown): ReceivedFields {
  const out: string[] = []
  if (Array.isArray(headers)) {
    for (const part of headers as (Buffer | string)[])
      out.push(typeof part === 'string' ? part : part.toString('latin1'))
    return { list: out, protocol: '1.1' }
  }
  // HTTP/2 hands over an object; pseudo-headers are no fields.
  for (const [name, value] of Object.entries(headers as Record<string, string | string[] | undefined>)) {
    if (name.startsWith(':') || value === undefined) continue
    for (const one of Array.isArray(value) ? value : [value]) out.push(name, one)
  }
  return { list: out, protocol: '2' }
}

/** undici's proxy agent turns a list into an object and would keep only the last of several equal names. */
export function byName(list: readonly string[]): Record<string, string | string[]> {
  // Without a prototype: a field may be called `constructor`.
  const out: Record<string, string | string[]> = Object.create(null)
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!
    const before = out[name]
    if (before === undefined) out[name] = list[i + 1]!
    else if (Array.isArray(before)) before.push(list[i + 1]!)
    else out[name] = [before, list[i + 1]!]
  }
  return out
}

/** What a URL's user information asks to be sent as Authorization. */
export function basicCredentials(url: URL): string | undefined {
  if (url.username === '' && url.password === '') return undefined
  return `Basic ${Buffer.from(`${decoded(url.username)}:${decoded(url.password)}`).toString('base64')}`
}

/** A per cent sign that escapes nothing stands for itself: `URL` lets it pass, and people write it in passwords. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
