/** Answers larger than anybody should hold in memory. */
import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { Connection } from '../load/connection.ts'
import { CALL, HEADERS, post, postHead, RESULT, SESSION_HEADER, STREAM } from '../load/messages.ts'
import { expectAnswers, openSessions } from '../load/sessions.ts'
import { within } from '../owner.ts'
import type { Peer } from '../peers/peer.ts'
import type { Metric, Round } from '../report/results.ts'
import { ANSWER_HEADER, BLOCK, floodEvent, LARGE_AFTER, LARGE_BEFORE } from '../servers/streams-wire.ts'
import { small } from './calls.ts'
import { rssNow, settledRss } from './idle.ts'
import { type Context, type Load, type Scenario, THROUGHPUT } from './scenario.ts'
import { streamServer } from './streams.ts'

const MB = 1024 * 1024
const LOOK_EVERY = 20
const TIMEOUT = 120_000
/** The slow reader reads nothing at first, then so many bytes at a time with a pause after each. */
const STALL_MS = 1_000
const GULP = MB
const GULP_PAUSE = 15

const GROWTH: Metric = { key: 'growth', label: 'MB growth at most', digits: 1, better: 'less' }
const PEERS = ['nginx', 'haproxy', 'http-proxy-3-keep-alive', 'relay', 'bare-relay', 'catflap']

interface Body {
  readonly answer: string
  readonly bytes: () => Iterable<Buffer>
}

export const largest: Scenario = {
  ...small,
  name: 'largest',
  title: 'A result of 256 MB',
  says:
    'One call, answered with 256 MB as JSON, read as fast as it comes: by how much resident memory grows meanwhile, looked at every ' +
    `${LOOK_EVERY} ms. The SHA-256 of what arrives is that of what was sent.`,
  metrics: [GROWTH, THROUGHPUT],
  base: 'relay',
  peers: PEERS,
  fresh: true,
  server: streamServer,
  open: (peer, _kind, context) => oneAnswer(peer, context, largeBody(context.plan.largestResult), () => () => {})
}

export const slowReader: Scenario = {
  ...largest,
  name: 'slow-reader',
  title: 'A slow reader',
  says:
    'One call, answered with 200 MB of SSE by a server that writes as fast as it may; its client reads nothing for a second, and then ' +
    'slowly: by how much resident memory grows meanwhile. The SHA-256 of what arrives is that of what was sent.',
  metrics: [GROWTH],
  open: (peer, _kind, context) => oneAnswer(peer, context, floodBody(context), slowly)
}

function largeBody(bytes: number): Body {
  const blocks = Math.round(bytes / BLOCK.length)
  return {
    answer: `large=${blocks}`,
    *bytes() {
      yield LARGE_BEFORE
      for (let i = 0; i < blocks; i++) yield BLOCK
      yield LARGE_AFTER
    }
  }
}

function floodBody({ plan }: Context): Body {
  const event = floodEvent()
  const events = Math.round(plan.flood / event.length)
  return {
    answer: `flood=${events}`,
    *bytes() {
      for (let i = 0; i < events; i++) yield event
      yield Buffer.from(STREAM.at(-1)!)
    }
  }
}

/** Told of all bytes that have come so far, each time some have. */
type Pace = (socket: Socket, bytes: number) => void

async function oneAnswer(peer: Peer, { plan }: Context, body: Body, newPace: () => Pace): Promise<Load> {
  const [session] = await openSessions(peer.url, 1)
  const headers = { ...HEADERS, [SESSION_HEADER]: session! }
  await expectAnswers(peer.url, post(postHead(peer.url, headers), CALL), RESULT)
  const expected = sha256(body.bytes())
  const request = post(postHead(peer.url, { ...headers, [ANSWER_HEADER]: body.answer }), CALL)
  return {
    round: async () => {
      const before = await settledRss(peer, plan)
      let most = before
      // Who has ended meanwhile has none any more, and is told of below.
      const watch = setInterval(() => void (most = Math.max(most, peer.rss() ?? 0)), LOOK_EVERY)
      try {
        const { sum, bytes, ms } = await within(TIMEOUT, 'the whole answer', read(peer, request, newPace()))
        if (sum !== expected) throw new Error(`${bytes} bytes came that are not the server's`)
        most = Math.max(most, rssNow(peer))
        return { growth: (most - before) / MB, mb: bytes / 1000 / ms } satisfies Round
      } finally {
        clearInterval(watch)
      }
    }
  }
}

function sha256(chunks: Iterable<Buffer>): string {
  const hash = createHash('sha256')
  for (const chunk of chunks) hash.update(chunk)
  return hash.digest('hex')
}

async function read(peer: Peer, request: string, pace: Pace): Promise<{ sum: string; bytes: number; ms: number }> {
  const connection = new Connection(peer.url)
  const startedAt = performance.now()
  const hash = createHash('sha256')
  let bytes = 0
  try {
    await new Promise<void>((resolve, reject) => {
      const onBody = (chunk: Buffer): void => {
        hash.update(chunk)
        bytes += chunk.length
        pace(connection.socket, bytes)
      }
      connection.send(request, { onBody, onEnd: resolve }, reject)
    })
    return { sum: hash.digest('hex'), bytes, ms: performance.now() - startedAt }
  } finally {
    connection.close()
  }
}

/** A reader that is slow anew for each answer. */
function slowly(): Pace {
  let next = 0
  return (socket, bytes) => {
    if (bytes < next) return
    socket.pause()
    setTimeout(() => socket.resume(), next === 0 ? STALL_MS : GULP_PAUSE)
    next = bytes + GULP
  }
}
