/** Sessions at a peer, and that what it answers is what the server said. */
import { Connection, type Whole } from './connection.ts'
import { HEADERS, INITIALIZE, INITIALIZED, post, postHead, SESSION_HEADER } from './messages.ts'

const AT_ONCE = 32
/** What is asked for correctness is asked so often. */
const SAMPLE = 10

/** Opens so many sessions; their ids. Throws unless each is answered with the bytes of the server and an id. */
export async function openSessions(url: string, count: number): Promise<string[]> {
  const request = post(postHead(url, HEADERS), INITIALIZE)
  const ids: string[] = []
  let begun = 0
  await onConnections(url, Math.min(AT_ONCE, count), async connection => {
    while (begun++ < count) {
      const answer = await connection.ask(request)
      const id = new RegExp(`\\r\\n${SESSION_HEADER}: *([^\\r]+)`, 'i').exec(answer.head)?.[1]
      expectBytes('initialize', answer, INITIALIZED)
      if (id === undefined) throw new Error('initialize: the answer has no session id')
      ids.push(id)
    }
  })
  if (new Set(ids).size !== count) throw new Error('two sessions have the same id')
  return ids
}

/** Opens one session at a server whose words are its own (a real SDK stands behind or within the peer). */
export async function openAnySession(url: string): Promise<string> {
  const connection = new Connection(url)
  try {
    const answer = await connection.ask(post(postHead(url, HEADERS), INITIALIZE))
    const id = new RegExp(`\\r\\n${SESSION_HEADER}: *([^\\r]+)`, 'i').exec(answer.head)?.[1]
    if (answer.status !== 200 || id === undefined)
      throw new Error(`initialize: status ${answer.status}, ${id === undefined ? 'no' : 'a'} session id`)
    const ready = '{"jsonrpc":"2.0","method":"notifications/initialized"}'
    await connection.ask(post(postHead(url, { ...HEADERS, [SESSION_HEADER]: id }), ready))
    return id
  } finally {
    connection.close()
  }
}

export interface Expecting {
  readonly times?: number
  /** By default: status 200 and these bytes. */
  readonly matches?: (answer: Whole, expected: string) => boolean
}

/** Asks some times; throws unless every answer is the expected one. */
export async function expectAnswers(
  url: string,
  request: string,
  expected: string,
  { times = SAMPLE, matches }: Expecting = {}
): Promise<void> {
  const connection = new Connection(url)
  try {
    for (let i = 0; i < times; i++) expectBytes('a call', await connection.ask(request), expected, matches)
  } finally {
    connection.close()
  }
}

export function expectBytes(
  what: string,
  answer: Whole,
  expected: string,
  matches: Expecting['matches'] = sameBytes
): void {
  if (matches(answer, expected)) return
  const said = answer.body.toString('utf8', 0, 200)
  throw new Error(`${what}: status ${answer.status}, ${answer.body.length} bytes that are not the server's: ${said}`)
}

export function sameBytes({ status, body }: Whole, expected: string): boolean {
  return status === 200 && body.equals(Buffer.from(expected))
}

async function onConnections(
  url: string,
  count: number,
  work: (connection: Connection) => Promise<void>
): Promise<void> {
  const connections = Array.from({ length: count }, () => new Connection(url))
  try {
    await Promise.all(connections.map(work))
  } finally {
    for (const connection of connections) connection.close()
  }
}
