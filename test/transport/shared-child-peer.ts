/** A shared child with everything it tells, and calls on it with everything they hear. */
import type { Test } from 'tap'
import { Message } from '../../src/protocol/message.ts'
import { SharedChild, type SharedChildOptions } from '../../src/transport/upstream/shared-child.ts'
import { StdioLeg } from '../../src/transport/upstream/stdio.ts'
import type { CallReceiver, Leg, LegEvents, UpstreamCall } from '../../src/transport/upstream.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { Inbox } from '../helpers/wait.ts'

export interface Heard {
  readonly handle: UpstreamCall
  /** `message <text>`, `last <text>`, `end`, `error <code>` in order. */
  readonly log: Inbox<string>
}

export interface Peer {
  readonly shared: SharedChild
  /** `unowned`, `late`, `own`, `lost` with what follows them, and the lines of the children's stderr. */
  readonly log: Inbox<string>
  /** When each child was started. */
  readonly starts: number[]
  call(leg: Leg, message: object): Heard
}

export type PeerOptions = Partial<Omit<SharedChildOptions, 'label' | 'open'>>

export function sharedPeer(
  t: Test,
  [command, ...args]: readonly [string, ...string[]],
  options: PeerOptions = {}
): Peer {
  trackLeaks(t)
  const log = new Inbox<string>('what the shared child says')
  const starts: number[] = []
  const open = (events: LegEvents): Leg => {
    starts.push(performance.now())
    const limits = { maxLine: 10_000_000, maxInput: 1_000_000, killGrace: { stdin: 500, term: 500 } }
    return new StdioLeg({ label: 'peer', command, args, ...limits }, events)
  }
  const shared = new SharedChild(
    { label: 'peer', open, maxQueue: 1_000_000, restartDelay: 1, ...options },
    {
      unowned: m => log.push(`unowned ${m.bytes}`),
      late: m => log.push(`late ${m.bytes}`),
      noise: bytes => log.push(`noise ${bytes}`),
      stderr: line => log.push(line),
      lost: (error, facts) => log.push(`lost ${facts.expected} ${error.message}`),
      own: m => log.push(`own ${m.bytes}`)
    }
  )
  t.teardown(() => shared.close())
  return { shared, log, starts, call }
}

function call(leg: Leg, message: object): Heard {
  const log = new Inbox<string>(`what the call ${JSON.stringify(message).slice(0, 80)} hears`)
  const receiver: CallReceiver = {
    onHead() {},
    onData() {},
    onMessage: (m, last) => log.push(`${last ? 'last' : 'message'} ${m.bytes}`),
    onEnd: () => log.push('end'),
    onError: error => log.push(`error ${error.code}`),
    deliver(m) {
      log.push(`message ${m.bytes}`)
      return true
    }
  }
  const m = Message.from(message)
  const kind = m.kind === 'request' ? 'request' : 'notify'
  const input = { kind, era: 'modern', message: m, batch: undefined, body: undefined, headers: [] } as const
  return { log, handle: leg.call(input, receiver) }
}

/** A request that the puppet obeys. */
export function order(id: number | string, params: object = {}): object {
  return { jsonrpc: '2.0', id, method: 'do', params }
}

/** A line for the puppet to say. */
export function line(message: object): string {
  return `${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`
}
