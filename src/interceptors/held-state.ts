import type { Message } from '../protocol/message.ts'
import { argumentAt } from '../protocol/tool-headers.ts'
import type { Exchange } from '../proxy/exchange.ts'
import type { HeldNames } from '../proxy/held-names.ts'
import type { Answer, Interceptor, Place } from '../proxy/interceptor.ts'
import type { Direction } from '../tape/frame.ts'
import { judgedAgain, sharedLeg } from './modern-rules.ts'

/**
 * Requests of the modern era belong to no session, but some only make sense to the server that has begun something: one that is made once more
 * with its `requestState` (spec 2026-07-28 basic/patterns/mrtr), one about a task (extension io.modelcontextprotocol/tasks). Where each of several
 * processes has a server of its own, all of them know which one has given a client what it names. Cursors and ids of subscriptions are
 * not looked at: the first are good at any server with the same lists, the second mean nothing behind their stream.
 */
export function heldState(): Interceptor {
  return { name: 'held-state', wants: answersModern, message }
}

/** How long a client may take for what it was asked, in ms. */
const STATE_TTL = 10 * 60_000
const HOUR = 3_600_000
const DAY = 24 * HOUR
const STATE = '"requestState"'
const TASK = '"taskId"'
const TASKS = '"taskIds"'

function answersModern(place: Place): boolean {
  return 'reply' in place && place.era === 'modern' && place.kind === 'request' && place.connection === undefined
}

/** The client may come back within a moment, to any process: the answer waits until all know. */
function message(place: Place, message: Message, direction: Direction): Message | Promise<Message> {
  if (direction === 'up' || message.kind !== 'response' || message.isError) return message
  const { bytes } = message
  if (!bytes.includes(STATE) && !bytes.includes(TASK)) return message
  const x = place as Exchange
  // Whoever has carried it out holds what it gives.
  const held = x.peer === undefined ? x.core.handOver?.holding(x.core.target) : undefined
  return held ? toldAll(held, message) : message
}

async function toldAll(held: HeldNames, message: Message): Promise<Message> {
  const given = givenIn(message.json)
  if (given.length > 0) await Promise.all(given.map(({ what, ttl }) => held.hold(held.nameOf(what), ttl)))
  return message
}

/** Puts the leg of a modern request to a command on the exchange: to the child here, or to the process whose child knows what it names. */
export function whereHeld(x: Exchange): Answer | undefined | Promise<Answer | undefined> {
  const { core, message } = x
  const held = core.forPeers ? undefined : core.handOver?.holding(core.target)
  const named = held && message?.kind === 'request' ? namedIn(message) : undefined
  if (!held || named === undefined) return sharedLeg(x)
  const name = held.nameOf(named)
  if (held.owns(name)) return sharedLeg(x)
  x.chooseAgain = () => atHolder(x, name, true)
  return atHolder(x, name, false)
}

async function atHolder(x: Exchange, name: string, again: boolean): Promise<Answer | undefined> {
  const refused = await x.core.handOver!.toHolder(x, name, again)
  if (refused || x.ended || x.peer !== undefined) return refused
  return again ? judgedAgain(x) : sharedLeg(x)
}

function namedIn(message: Message): string | undefined {
  const { method = '', bytes } = message
  if (method.startsWith('tasks/')) return asTask(argumentAt(message.json, ['params', 'taskId']))
  if (method === 'subscriptions/listen') return bytes.includes(TASKS) ? firstTask(message.json) : undefined
  return bytes.includes(STATE) ? asState(argumentAt(message.json, ['params', 'requestState'])) : undefined
}

/** A stream comes from one server: that of the first. */
function firstTask(json: unknown): string | undefined {
  const ids = argumentAt(json, ['params', 'notifications', 'taskIds'])
  return Array.isArray(ids) ? asTask(ids[0]) : undefined
}

function givenIn(json: unknown): { readonly what: string; readonly ttl: number }[] {
  const state = asState(argumentAt(json, ['result', 'requestState']))
  const task = asTask(argumentAt(json, ['result', 'taskId']))
  return [
    ...(state === undefined ? [] : [{ what: state, ttl: STATE_TTL }]),
    ...(task === undefined ? [] : [{ what: task, ttl: lifeOf(argumentAt(json, ['result', 'ttlMs'])) }])
  ]
}

/** `null`: it is kept for as long as its server likes. */
function lifeOf(ttl: unknown): number {
  if (ttl === null) return DAY
  return typeof ttl === 'number' ? Math.min(Math.max(Math.ceil(ttl), HOUR), DAY) : HOUR
}

function asState(value: unknown): string | undefined {
  return typeof value === 'string' ? `state\n${value}` : undefined
}

function asTask(value: unknown): string | undefined {
  return typeof value === 'string' ? `task\n${value}` : undefined
}
