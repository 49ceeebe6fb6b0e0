import { randomBytes } from 'node:crypto'
import { type NewSession, type SessionChange, type SessionRecord, SessionStoreError } from '../store.ts'
import { nameOf } from './keys.ts'
import type { Seal } from './seal.ts'

/** Fields and values of a hash, in turn. */
export type Fields = readonly string[]

/** What a new session is kept as, but for what the script adds: its times. */
export function fieldsOfNew(
  { id, handle, principal, version = 1, ...rest }: NewSession,
  name: string,
  seal: Seal
): string[] {
  const fields = ['v', String(version), 'h', handle, 'p', principal, 'i', seal.seal(id, `${name} i`)]
  return [...fields, ...fieldsOfChange({ ...rest, legs: rest.legs ?? {}, facts: rest.facts ?? {} }, name, seal)]
}

export function fieldsOfChange({ protocolVersion, legs, facts }: SessionChange, name: string, seal: Seal): string[] {
  const fields = ['n', randomBytes(6).toString('base64url')]
  if (protocolVersion !== undefined) fields.push('r', protocolVersion)
  if (legs !== undefined) fields.push('l', seal.seal(JSON.stringify(legs), `${name} l`))
  if (facts !== undefined) fields.push('f', seal.seal(JSON.stringify(facts), `${name} f`))
  return fields
}

/** Which write of its version it is; nothing in records of releases that did not tell. */
export function nonceOf(fields: Fields): string {
  for (let i = 0; i + 1 < fields.length; i += 2) if (fields[i] === 'n') return fields[i + 1]!
  return ''
}

/** Fields that a newer release has added are left alone. Fails with SessionStoreError. */
export function recordOf(name: string, fields: Fields, seal: Seal): SessionRecord {
  const by = new Map<string, string>()
  for (let i = 0; i + 1 < fields.length; i += 2) by.set(fields[i]!, fields[i + 1]!)
  const handle = by.get('h')
  const text = (field: string): string => by.get(field) ?? fail(handle, `it has no field "${field}"`)
  const sealed = (field: string): string => seal.open(text(field), `${name} ${field}`)
  const id = sealed('i')
  if (nameOf(id) !== name) fail(handle, 'it is another one')
  const protocolVersion = by.get('r')
  try {
    return Object.freeze({
      id,
      handle: text('h'),
      version: Number(text('v')),
      principal: text('p'),
      createdAt: Number(text('c')),
      lastSeenAt: Number(text('t')),
      ...(protocolVersion !== undefined && { protocolVersion }),
      legs: objectIn(sealed('l')) as SessionRecord['legs'],
      facts: objectIn(sealed('f')) as SessionRecord['facts']
    })
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return fail(handle, 'it is no JSON')
  }
}

function objectIn(text: string): object {
  const value: unknown = JSON.parse(text, (_, member) => Object.freeze(member))
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new SyntaxError('no object')
  return value
}

function fail(handle: string | undefined, why: string): never {
  throw new SessionStoreError(
    'session_store_unreadable',
    `session ${handle ?? '?'} in the store cannot be read: ${why}`
  )
}
