/** Servers on stdio whose answers a test writes, and which keep what they were told. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'
import { down, type FrameFacts, request, result, up } from '../replay/recording-door.ts'

export interface SpokenTo {
  readonly target: { readonly command: string; readonly args: readonly string[] }
  /** All that it was told, in order. */
  readonly heard: readonly { readonly id?: unknown; readonly method?: string; readonly [key: string]: unknown }[]
  /** Methods, and of tools/call the names. */
  readonly calls: readonly string[]
}

/**
 * `body`: statements, with the message `m`; `answer(result, id)`, `fail(message)`, `say(json)`, and `state`, which stays. Where it
 * returns true, nothing else is answered.
 */
export function spokenTo(t: Test, body: string): SpokenTo {
  // Not the test's own folder, which is made anew for each that asks for it.
  const dir = mkdtempSync(path.join(tmpdir(), 'catflap-spoken-to-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const log = path.join(dir, 'heard.jsonl')
  writeFileSync(log, '')
  const source = `
    const handle = new Function('m', 'answer', 'fail', 'say', 'state', process.argv[2])
    const say = json => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...json }) + '\\n')
    const state = { n: 0 }
    require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
      require('node:fs').appendFileSync(process.argv[1], line + '\\n')
      const m = JSON.parse(line)
      const answer = (result, id = m.id) => say({ id, result })
      const fail = message => say({ id: m.id, error: { code: -1, message } })
      if (handle(m, answer, fail, say, state) === true || m.id === undefined || !m.method) return
      if (m.method === 'tools/list') answer({ tools: [${JSON.stringify(tool('read'))}] })
      else if (m.method === 'tools/call') answer({ content: [{ type: 'text', text: 'x' }] })
      else answer(m.method === 'initialize' ? { protocolVersion: m.params.protocolVersion } : {})
    })`
  const heard = (): SpokenTo['heard'] =>
    readFileSync(log, 'utf8')
      .split('\n')
      .filter(line => line !== '')
      .map(line => JSON.parse(line))
  return {
    target: { command: process.execPath, args: ['-e', source, log, body] },
    get heard() {
      return heard()
    },
    get calls() {
      return heard().flatMap(({ method, params }) => {
        const { name } = (params ?? {}) as { readonly name?: string }
        return method === undefined ? [] : [name === undefined ? method : `${method} ${name}`]
      })
    }
  }
}

export const tool = (name: string, readOnlyHint = true): object => ({
  name,
  inputSchema: { type: 'object' },
  annotations: { readOnlyHint }
})

export const text = (value: string): object => ({ content: [{ type: 'text', text: value }] })

/** Requests of one client in turn, each with its result. */
export const turns = (...list: readonly (readonly [method: string, params: object, answer: object])[]): FrameFacts[] =>
  list.flatMap(([method, params, answer], i) => [
    up('stdio', request(i + 1, method, params)),
    down('stdio', result(i + 1, answer))
  ])
